"""Which rank owns an id, and in which order a rank sends its ids. Rule: sync_training 2.2.1, 4."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["owner_of", "send_order"]


def owner_of(fid: int, ranks: int, empty_rank0: bool = False) -> int:
    """The rank of an id: the remainder, never negative; with the option, rank 0 of five or more owns nothing."""
    if empty_rank0 and ranks > 4:
        return fid % (ranks - 1) + 1
    return fid % ranks


def send_order(ids: Sequence[int], ranks: int, empty_rank0: bool = False) -> tuple[list[int], list[int]]:
    """(ids for each owner counted, distinct ids by owner and first occurrence)."""
    distinct = list(dict.fromkeys(ids))
    sent = [[fid for fid in distinct if owner_of(fid, ranks, empty_rank0) == rank] for rank in range(ranks)]
    return [len(part) for part in sent], [fid for part in sent for fid in part]
