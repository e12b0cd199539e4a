"""Work on several tables by several threads: tables share nothing, so the order between them changes no bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from monolith_kernels.target import Target
from monolith_kernels.threads import run_shares

__all__ = ["by_group"]

Item = TypeVar("Item")


def by_group(target: Target, items: Sequence[Item], group: Callable[[Item], int], work: Callable[[Item], None]) -> None:
    """Call ``work`` for every item; items of one group in their order, groups shared out between ``target.threads``."""
    groups: dict[int, list[Item]] = {}
    for item in items:
        groups.setdefault(group(item), []).append(item)
    lists = list(groups.values())

    def share(lo: int, hi: int) -> None:
        for part in lists[lo:hi]:
            for item in part:
                work(item)

    run_shares(share, len(lists), target.threads if target.name == "cpu" else 1, 1)
