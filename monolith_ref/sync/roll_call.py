"""Who is still there? Short messages beside the exchanges, by which waiting ranks find out who is silent."""

from __future__ import annotations

from time import perf_counter, sleep
from typing import Any

import numpy as np

__all__ = ["RollCall", "name_ranks"]

ASK, ANSWER = 1, 2
LENGTH = 120


class RollCall:
    """Questions and answers between ranks on a communicator of their own."""

    def __init__(self, mpi: Any, comm: Any) -> None:
        self._mpi = mpi
        self._comm = comm
        self._rank: int = comm.Get_rank()
        self._size: int = comm.Get_size()
        self._sending: list[tuple[Any, Any]] = []
        self._answers: dict[int, str] = {}

    def ask(self) -> None:
        """Ask every other rank where it is."""
        for peer in range(self._size):
            if peer != self._rank:
                self._send(peer, ASK, "")

    def listen(self, what: str, here: str | None = None) -> dict[int, str]:
        """Answer questions that have arrived (this rank waits in ``what``).

        Returns the ranks that have answered to wait elsewhere than ``here`` (None: in any exchange), with its name.
        """
        status = self._mpi.Status()
        while self._comm.Iprobe(self._mpi.ANY_SOURCE, self._mpi.ANY_TAG, status):
            message = np.empty(LENGTH, np.uint8)
            peer, tag = status.Get_source(), status.Get_tag()
            self._comm.Recv([message, self._mpi.BYTE], peer, tag)
            if tag == ASK:
                self._send(peer, ANSWER, what)
            else:
                self._answers[peer] = message.tobytes().rstrip(b"\0").decode(errors="replace")
        self._sending = [(request, buffer) for request, buffer in self._sending if not request.Test()]
        return {peer: place for peer, place in self._answers.items() if place != here}

    def missing(self, what: str, patience: float) -> str:
        """Ask around for ``patience`` seconds; a sentence about who is silent and who waits elsewhere."""
        self._answers.clear()
        self.ask()
        until = perf_counter() + patience
        while perf_counter() < until and len(self._answers) < self._size - 1:
            self.listen(what)
            sleep(0.005)
        self.listen(what)
        silent = [peer for peer in range(self._size) if peer != self._rank and peer not in self._answers]
        elsewhere = {peer: place for peer, place in sorted(self._answers.items()) if place != what}
        parts = []
        if silent:
            parts.append(f"no sign of life from {name_ranks(silent)}")
        parts += [f"rank {peer} waits in '{place}' instead" for peer, place in elsewhere.items()]
        return "; ".join(parts) if parts else "every rank is there, but nothing arrives"

    def _send(self, peer: int, tag: int, text: str) -> None:
        buffer = np.zeros(LENGTH, np.uint8)
        raw = np.frombuffer(text.encode()[:LENGTH], np.uint8)
        buffer[: len(raw)] = raw
        self._sending.append((self._comm.Isend([buffer, self._mpi.BYTE], peer, tag), buffer))


def name_ranks(ranks: list[int]) -> str:
    """'rank 1', 'ranks 1, 2'."""
    return f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {', '.join(map(str, ranks))}"
