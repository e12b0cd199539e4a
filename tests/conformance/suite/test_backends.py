"""Engine and oracle conform to what the suite asks of them; what they lack is refused, not passed."""

from __future__ import annotations

import pytest
from monolith_conformance.backends import make_backend
from monolith_conformance.cases import LEVELS, all_cases
from monolith_conformance.runner import run_cases

from monolith_ref.errors import ConfigError
from monolith_ref.quirks import Quirks

pytestmark = pytest.mark.filterwarnings("ignore:slot 40000")


@pytest.mark.parametrize("profile", ["ieee", "avx"])
@pytest.mark.parametrize("quirks", ["default", "original +unbuilt_rules", "clean"])
@pytest.mark.parametrize("name", ["engine-cpu", "oracle"])
def test_it_conforms(name: str, quirks: str, profile: str) -> None:
    summary = run_cases(make_backend(name), list(all_cases().values()), profile=profile, quirks=Quirks.parse(quirks))
    bad = [
        (o.case.id, str(o.mismatch or o.message)) for o in summary.outcomes.values() if o.status in ("failed", "fault")
    ]
    assert bad == []
    assert summary.conforms == [level for level in LEVELS if any(c.level == level for c in all_cases().values())]
    assert summary.count("passed") > 350


def test_the_null_backend_passes_nothing() -> None:
    summary = run_cases(make_backend("null"), list(all_cases().values()), quirks=Quirks.parse("default"))
    assert summary.count("passed") == 0
    assert summary.conforms == []


def test_an_unknown_backend_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="engine-cpu"):
        make_backend("engine")
