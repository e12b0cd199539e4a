"""Golden vectors on the CUDA kernels, in the simulator."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
from monolith_conformance.vectors.registry import Setting
from monolith_conformance.vectors.run import replay_file

pytestmark = pytest.mark.cudasim
GOLDEN = Path(str(files("monolith_conformance") / "golden" / "vectors"))


@pytest.mark.parametrize("profile", ["ieee", "avx"])
@pytest.mark.parametrize("name", ["rows_sgd", "rows_adagrad", "rows_ftrl", "rows_group_adagrad", "rows_compressors"])
def test_vectors_pass(name: str, profile: str) -> None:
    result = replay_file(GOLDEN / f"{name}.json", Setting("cuda", profile, ("default",)))
    assert result.problem == ""
    assert [(o.case, o.note) for o in result.outcomes if o.status != "passed"] == []
    assert result.outcomes
