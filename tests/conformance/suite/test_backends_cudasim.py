"""The engine on a simulated device: a few cases of every level that a device can differ in."""

from __future__ import annotations

import pytest
from monolith_conformance.backends import make_backend
from monolith_conformance.cases import all_cases
from monolith_conformance.runner import run_cases

from monolith_ref.quirks import Quirks

pytestmark = pytest.mark.cudasim

CASES = (
    "core/lookup/bits-are-kept",
    "core/lookup/unknown-reads-zero",
    "core/update/unknown-is-created",
    "core/learning_rate/one-a-segment",
    "core/optimizer.adam/defaults",
    "core/combiner.reduce_mean/gradient-counts-rows",
    "table/duplicates/summed-before-the-step",
    "table/duplicates/last-assignment-wins",
    "filter/admission/one-batch-with-dedup",
    "sync/exact/cancels",
    "checkpoint/single/clears-first",
)


def test_a_simulated_device_passes() -> None:
    cases = [all_cases()[case_id] for case_id in CASES]
    summary = run_cases(make_backend("engine-cuda"), cases, quirks=Quirks.parse("default"), selection="some")
    bad = {o.case.id: str(o.mismatch or o.message) for o in summary.outcomes.values() if o.status != "passed"}
    assert bad == {}
