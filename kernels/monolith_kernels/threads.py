"""A persistent pool of threads in which the caller does one share itself.

Kernels release the GIL and take ranges. Dispatching costs some 40 microseconds, so callers state below how many items
it is not worth it.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["run_shares", "share_bounds"]


def share_bounds(count: int, threads: int, grain: int) -> list[int]:
    """Bounds of at most ``threads`` nearly equal shares of ``count`` items, each of at least ``grain`` (one if fewer)."""
    raise NotImplementedError


def run_shares(work: Callable[[int, int], None], count: int, threads: int, grain: int) -> None:
    """Call ``work(lo, hi)`` for every share of ``range(count)``; returns when all are done, raises what a share raised."""
    raise NotImplementedError
