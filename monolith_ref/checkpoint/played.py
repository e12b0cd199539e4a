"""Several ranks played by threads of one process, for tools that write a job's checkpoint for many ranks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["PlayedRank", "play"]

Result = TypeVar("Result")


class PlayedRank:
    """One rank of :func:`play`; what saving needs of a communicator."""

    def __init__(self, rank: int, size: int, box: list[bytes], barrier: threading.Barrier) -> None:
        self.rank = rank
        self.size = size
        self._box = box
        self._barrier = barrier

    def allgather_bytes(self, data: bytes, what: str) -> list[bytes]:
        """``data`` of every rank, in rank order."""
        self._box[self.rank] = data
        self._barrier.wait()
        found = list(self._box)
        self._barrier.wait()
        return found


def play(size: int, work: Callable[[PlayedRank], Result]) -> list[Result]:
    """Call ``work`` once per rank, all at the same time; results in rank order, or the first rank's error."""
    box, barrier = [b""] * size, threading.Barrier(size)
    results: dict[int, Result] = {}
    errors: dict[int, BaseException] = {}

    def run(rank: int) -> None:
        try:
            results[rank] = work(PlayedRank(rank, size, box, barrier))
        except BaseException as error:
            errors[rank] = error
            barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    real = [errors[rank] for rank in sorted(errors) if not isinstance(errors[rank], threading.BrokenBarrierError)]
    for error in real or list(errors.values()):
        raise error
    return [results[rank] for rank in range(size)]
