"""Tables on the CUDA simulator, at a small size."""

from __future__ import annotations

import json
from pathlib import Path

import monolith_conformance
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from monolith_conformance.vectors.registry import Setting
from monolith_conformance.vectors.table_cases import replay_case
from monolith_kernels import target

from monolith_ref.quirks import Quirks

from .machine import EVENTS, TableMachine
from .support import DAY, adagrad, content, entry_of, instance, message, multi, single

pytestmark = pytest.mark.cudasim

GOLDEN = Path(monolith_conformance.__file__).parent / "golden" / "vectors" / "table_traces.json"


class DeviceMachine(TableMachine):
    """Two training tables on the device."""

    target = "cuda"
    names = ("rounded", "two")


def test_tables_agree_with_dictionaries() -> None:
    EVENTS.clear()
    chosen = settings(
        max_examples=5,
        stateful_step_count=12,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(DeviceMachine, settings=chosen)  # type: ignore[no-untyped-call]
    assert EVENTS["repeated ids"]
    assert sum(EVENTS.values()) > 5


@pytest.mark.parametrize("name", ["edge_slots", "edge_random_uniform", "edge_fixed_r8"])
def test_measured_traces(name: str) -> None:
    case = next(c for c in json.loads(GOLDEN.read_text())["cases"] if c["name"] == name)
    assert replay_case(case, Setting(target="cuda"), Quirks()) == ""


def test_the_same_bits_as_on_the_cpu() -> None:
    tables = [single(message(adagrad(3)), [0.1], target=target(name)) for name in ("cpu", "cuda")]
    ids = [5, 6, 5, 5, -9, -(2**63)]
    grads = np.linspace(-1, 1, 18, dtype=np.float32)
    for table in tables:
        table.apply_gradients(ids, grads, 0, req_time=7)
        table.apply_gradients(ids, grads, 1, enable_dedup=True, req_time=8)
        table.assign([6, 8], np.ones((2, 3), np.float32), req_time=9)
        table.assign_add([6, 6], np.ones((2, 3), np.float32), req_time=9)
        table.reinitialize([8, 77], req_time=10)
    # The stores hold device arrays: compare what comes out.
    first, second = tables
    everything = [*ids, 8, 77, 1]
    assert first.lookup(everything).view(np.uint32).tolist() == second.lookup(everything).view(np.uint32).tolist()
    assert first.lookup_entry(everything).tolist() == second.lookup_entry(everything).tolist()
    assert [table.evict(9 + 36500 * DAY) for table in tables] == [5 - 1, 5 - 1]
    assert second.table.store.free.tolist() == first.table.store.free.tolist()


def test_several_tables() -> None:
    made = [
        multi({"a": instance(message(adagrad(1))), "b": instance(message(adagrad(2)))}, target=target(name))
        for name in ("cpu", "cuda")
    ]
    for tables in made:
        tables.fused_apply_gradient([1, 1, 4, 9], None, [2, 1, 0, 1], [1, 2, 3, 4, 5, 6], None, None, 0, 3, 2)
    first, second = (tables.fused_lookup([1, 4, 9, 5], [1, 1, 0, 2], 2).embeddings for tables in made)
    assert first.view(np.uint32).tolist() == second.view(np.uint32).tolist()
    assert entry_of(made[0].tables["b"], 9)[2] == 3
    assert content(made[0])["a"][4] == 3
