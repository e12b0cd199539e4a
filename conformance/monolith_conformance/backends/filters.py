"""Filter requests, for backends in this process: operations on one fresh filter, in order."""

from __future__ import annotations

from typing import Protocol

from monolith_protos import testee_pb2

from monolith_ref.errors import ArgumentError

__all__ = ["PlayedFilter", "play_filter"]


class PlayedFilter(Protocol):
    """What a filter answers: counts before the call, or whether an id is kept out."""

    def add(self, fid: int, count: int) -> int: ...
    def get(self, fid: int) -> int: ...
    def should_be_filtered(self, fid: int, count: int, threshold: int) -> bool: ...


def play_filter(made: PlayedFilter, message: testee_pb2.Filter) -> testee_pb2.Result:
    """``ints`` holds one answer an operation (``should_be_filtered``: 1 where the id is kept out)."""
    result = testee_pb2.Result()
    for op in message.ops:
        if op.op == "add":
            result.ints.append(made.add(op.id, op.count))
        elif op.op == "get":
            result.ints.append(made.get(op.id))
        elif op.op == "should_be_filtered":
            result.ints.append(int(made.should_be_filtered(op.id, op.count, op.threshold)))
        else:
            raise ArgumentError(f"filter operation {op.op!r}; there are add, get and should_be_filtered")
    return result
