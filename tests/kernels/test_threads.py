"""Shares of work: every item once, errors reach the caller, and shares inside shares cannot wait for each other."""

from __future__ import annotations

import threading

import pytest
from monolith_kernels.threads import run_shares, share_bounds


def test_shares_inside_shares_run_in_their_thread() -> None:
    done: list[tuple[int, int]] = []
    lock = threading.Lock()

    def outer(lo: int, hi: int) -> None:
        for group in range(lo, hi):
            caller = threading.get_ident()

            def inner(first: int, last: int, group: int = group, caller: int = caller) -> None:
                assert threading.get_ident() == caller
                with lock:
                    done.extend((group, item) for item in range(first, last))

            run_shares(inner, 10, 4, 1)

    for _ in range(20):
        done.clear()
        run_shares(outer, 8, 3, 1)
        assert sorted(done) == [(group, item) for group in range(8) for item in range(10)]


def test_errors_of_any_share_reach_the_caller_and_leave_the_pool_usable() -> None:
    for wrong in range(3):

        def work(lo: int, hi: int, wrong: int = wrong) -> None:
            if lo <= wrong < hi:
                raise ValueError(f"item {wrong}")

        with pytest.raises(ValueError, match=f"item {wrong}"):
            run_shares(work, 3, 3, 1)
    seen: list[int] = []
    run_shares(lambda lo, hi: seen.extend(range(lo, hi)), 3, 3, 1)
    assert sorted(seen) == [0, 1, 2]


def test_bounds_are_nearly_equal_and_never_below_the_grain() -> None:
    assert share_bounds(10, 3, 1) == [0, 3, 6, 10]
    assert share_bounds(10, 3, 6) == [0, 10]
