"""All operations in any order, on the CPU, against dictionaries."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from .machine import EVENTS, TableMachine

EXPECTED = [
    "absent ids read",
    "erased by a zero row",
    "evicted",
    "held back by the filter",
    "kept by eviction",
    "left out of a save",
    "let in by the filter",
    "reinitialized",
    "repeated ids",
    "restored",
    "short rows restored",
    "summed gradients",
]


class FusedMachine(TableMachine):
    """The same in the profile of the original's production build."""

    profile = "avx"


def run(machine: type[TableMachine], examples: int, steps: int) -> None:
    EVENTS.clear()
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=chosen)  # type: ignore[no-untyped-call]
    assert [event for event in EXPECTED if not EVENTS[event]] == []


@pytest.mark.parametrize("machine", [TableMachine, FusedMachine])
def test_tables_agree_with_dictionaries(machine: type[TableMachine]) -> None:
    run(machine, 60, 25)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_tables_agree_with_dictionaries_for_longer() -> None:
    run(TableMachine, 250, 40)
    assert EVENTS["filter moved its head"]
