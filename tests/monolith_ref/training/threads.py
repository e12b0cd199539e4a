"""Ranks as threads of one process: what several ranks come to, without a launcher."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from monolith_ref.sync.communicator import Traffic

__all__ = ["ThreadRanks"]


class _Rank:
    """One rank's end: every call leaves its data on a board, waits for the others, and takes theirs."""

    name = "threads"

    def __init__(self, group: ThreadRanks, rank: int) -> None:
        self._group = group
        self.rank, self.size = rank, group.size
        self.timeout = 60.0
        self.traffic: dict[str, Traffic] = {}

    def _exchange(self, data: Any, what: str) -> list[Any]:
        self.traffic.setdefault(what, Traffic()).add(0, 0, 0.0)
        group = self._group
        group.board[self.rank] = (what, data)
        group.barrier.wait(self.timeout)
        seen = list(group.board)
        group.barrier.wait(self.timeout)
        assert all(other == what for other, _ in seen), f"ranks are at different calls: {[w for w, _ in seen]}"
        return [content for _, content in seen]

    def barrier(self, what: str) -> None:
        self._exchange(None, what)

    def allgather(self, values: Any, what: str) -> Any:
        return np.stack(self._exchange(np.array(values), what))

    def allgatherv(self, values: Any, what: str) -> list[Any]:
        return self._exchange(np.array(values), what)

    def allgather_bytes(self, data: bytes, what: str) -> list[bytes]:
        return self._exchange(bytes(data), what)

    def broadcast_bytes(self, data: bytes, root: int, what: str) -> bytes:
        return bytes(self._exchange(bytes(data), what)[root])

    def alltoall(self, send: Any, what: str) -> Any:
        return np.stack([part[self.rank] for part in self._exchange(np.array(send), what)])

    def alltoallv(self, send: Any, send_counts: Any, recv: Any, recv_counts: Any, what: str) -> Any:
        parts = []
        for data, counts in self._exchange((np.array(send), np.array(send_counts)), what):
            first = int(counts[: self.rank].sum())
            parts.append(data[first : first + int(counts[self.rank])])
        assert [len(part) for part in parts] == list(recv_counts)
        total = int(np.sum(recv_counts))
        recv[:total] = np.concatenate(parts)
        return recv[:total]

    def sum_int64(self, values: Any, what: str) -> Any:
        return np.sum(self._exchange(np.array(values, np.int64), what), axis=0)

    def abort(self, code: int) -> NoReturn:
        raise SystemExit(code)

    def close(self) -> None:
        """Nothing to leave."""


class ThreadRanks:
    """``ThreadRanks(3).run(work)`` calls ``work(communicator)`` on three ranks and returns their results."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.board: list[Any] = [None] * size
        self.barrier = threading.Barrier(size)

    def run(self, work: Callable[[Any], Any]) -> list[Any]:
        results: list[Any] = [None] * self.size
        errors: list[BaseException] = []

        def one(rank: int) -> None:
            try:
                results[rank] = work(_Rank(self, rank))
            except BaseException as error:
                if not isinstance(error, threading.BrokenBarrierError):
                    errors.append(error)
                self.barrier.abort()

        threads = [threading.Thread(target=one, args=(rank,)) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return results
