"""The comparison with the engine's kernels in the CUDA simulator, as small as it can be."""

from __future__ import annotations

from pathlib import Path

import pytest
from monolith_conformance.compare.run import run_one
from monolith_kernels.target import target

from tests.conformance.compare.support import job_of

pytestmark = pytest.mark.cudasim


def test_one_step_on_the_simulator(tmp_path: Path) -> None:
    job = job_of({"steps": "1", "batch-size": "2"})
    on_cuda = run_one(job, "merged", target("cuda"), tmp_path / "cuda", lambda made, loss: None)
    on_cpu = run_one(job, "merged", target("cpu"), tmp_path / "cpu", lambda made, loss: None)
    assert (on_cuda.verdict, on_cpu.verdict) == ("pass", "pass")
    assert on_cuda.digests == on_cpu.digests
