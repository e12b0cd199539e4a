"""Ranks over MPI (mpi4py). Every exchange is started without blocking and polled.

Polling does three things that a blocking call cannot: it gives the core away while it waits (so that more ranks than
cores stay fast), it ends the job when a peer stays silent beyond ``timeout``, naming the exchange and the missing
ranks, and it answers the same question from others. A rank that computes, or is stopped or dead, does not answer: that
is what "missing" means.

Blocks travel as bytes from rank to rank, in pieces below the 2^31 limit of MPI counts.
"""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Callable
from time import perf_counter, sleep
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from monolith_ref.errors import ShapeError
from monolith_ref.sync.communicator import Traffic, check_counts
from monolith_ref.sync.coroner import Coroner
from monolith_ref.sync.roll_call import RollCall

__all__ = ["MAX_PIECE_BYTES", "MpiCommunicator"]

MAX_PIECE_BYTES = 1 << 30
"""Largest single message: MPI counts are 32-bit."""

SPIN_SECONDS = 0.002
"""How long a wait only yields the core before it starts to sleep."""

LONGEST_PAUSE = 0.001
LAST_WORDS_SECONDS = 0.3
"""How long a rank waits that would end the job while another one is saying why."""
CORONER_SECONDS = 1.0
"""How long a rank whose exchange fails waits for word of the one that died."""

ANSWER_AFTER = 0.05
"""Seconds of waiting after which a rank looks for questions of others."""


class MpiCommunicator:
    """All ranks of ``MPI.COMM_WORLD``; see :class:`~monolith_ref.sync.communicator.Communicator`.

    ``timeout``: seconds after which a wait ends the job, 0 for never.
    """

    name = "mpi"

    def __init__(self, timeout: float = 60.0) -> None:
        from mpi4py import MPI

        self._mpi = MPI
        # Communicators of our own: messages of a program around us never match ours.
        self._comm = MPI.COMM_WORLD.Dup()
        self._outcome = MPI.COMM_WORLD.Dup()
        self._roll_call = RollCall(MPI, MPI.COMM_WORLD.Dup())
        self.rank: int = self._comm.Get_rank()
        self.size: int = self._comm.Get_size()
        self.timeout = timeout
        self.traffic: dict[str, Traffic] = {}
        self._coroner = Coroner(MPI, self._comm)

    # -- exchanges

    def barrier(self, what: str) -> None:
        """See :class:`~monolith_ref.sync.communicator.Communicator`."""
        since = perf_counter()
        self._wait(lambda: [self._comm.Ibarrier()], what)
        self._count(what, 0, 0, since)

    def allgather(self, values: NDArray[Any], what: str) -> NDArray[Any]:
        """See :class:`~monolith_ref.sync.communicator.Communicator`."""
        since = perf_counter()
        send = np.ascontiguousarray(values)
        received = np.empty((self.size, *send.shape), send.dtype)
        self._wait(lambda: [self._comm.Iallgather(_bytes(self._mpi, send), _bytes(self._mpi, received))], what)
        others = send.nbytes * (self.size - 1)
        self._count(what, others, others, since)
        return received

    def allgatherv(self, values: NDArray[Any], what: str) -> list[NDArray[Any]]:
        """See :class:`~monolith_ref.sync.communicator.Communicator`."""
        lengths = self.allgather(np.array([len(values)], np.int64), what)[:, 0]
        since = perf_counter()
        send = np.ascontiguousarray(values)
        gathered = [np.empty((int(length), *send.shape[1:]), send.dtype) for length in lengths]
        blocks = [_flat_bytes(array) for array in gathered]
        mine = _flat_bytes(send)
        self._swap([mine] * self.size, blocks, what)
        received = sum(len(block) for block in blocks) - len(mine)
        self._count(what, len(mine) * (self.size - 1), received, since)
        return gathered

    def allgather_bytes(self, data: bytes, what: str) -> list[bytes]:
        """See :class:`~monolith_ref.sync.communicator.Communicator`."""
        return [part.tobytes() for part in self.allgatherv(np.frombuffer(data, np.uint8), what)]

    def broadcast_bytes(self, data: bytes, root: int, what: str) -> bytes:
        """See :class:`~monolith_ref.sync.communicator.Communicator`."""
        mine = data if self.rank == root else b""
        length = int(self.sum_int64(np.array([len(mine)], np.int64), what)[0])
        since = perf_counter()
        out = np.empty(length, np.uint8)
        nothing = out[:0]
        if self.rank == root:
            block = np.frombuffer(mine, np.uint8)
            self._swap([block] * self.size, [out if r == root else nothing for r in range(self.size)], what)
            self._count(what, length * (self.size - 1), 0, since)
        else:
            self._swap([nothing] * self.size, [out if r == root else nothing for r in range(self.size)], what)
            self._count(what, 0, length, since)
        return out.tobytes()

    def alltoall(self, send: NDArray[Any], what: str) -> NDArray[Any]:
        """See :class:`~monolith_ref.sync.communicator.Communicator`."""
        if len(send) != self.size:
            raise ShapeError(f"{what}: {len(send)} rows for {self.size} ranks")
        since = perf_counter()
        send = np.ascontiguousarray(send)
        received = np.empty_like(send)
        self._wait(lambda: [self._comm.Ialltoall(_bytes(self._mpi, send), _bytes(self._mpi, received))], what)
        others = send.nbytes // self.size * (self.size - 1)
        self._count(what, others, others, since)
        return received

    def alltoallv(
        self,
        send: NDArray[Any],
        send_counts: NDArray[np.int64],
        recv: NDArray[Any],
        recv_counts: NDArray[np.int64],
        what: str,
    ) -> NDArray[Any]:
        """See :class:`~monolith_ref.sync.communicator.Communicator`."""
        since = perf_counter()
        check_counts(self.size, send, send_counts, "send")
        check_counts(self.size, recv, recv_counts, "receive")
        outgoing, incoming = _blocks(send, send_counts), _blocks(recv, recv_counts)
        self._swap(outgoing, incoming, what)
        kept = len(outgoing[self.rank])
        total = int(recv_counts.sum())
        sent = int(send_counts.sum()) * send.itemsize - kept
        self._count(what, sent, total * recv.itemsize - kept, since)
        return recv[:total]

    def sum_int64(self, values: NDArray[np.int64], what: str) -> NDArray[np.int64]:
        """See :class:`~monolith_ref.sync.communicator.Communicator`."""
        since = perf_counter()
        send = np.ascontiguousarray(values, np.int64)
        total = np.empty_like(send)
        kind, add = self._mpi.INT64_T, self._mpi.SUM
        self._wait(lambda: [self._comm.Iallreduce([send, kind], [total, kind], op=add)], what)
        others = send.nbytes * (self.size - 1)
        self._count(what, others, others, since)
        return total

    # -- ending

    def abort(self, code: int) -> NoReturn:
        """End every rank of the job with this exit code, now.

        Where another rank has taken it on itself to say why, it is given the time to do so: to abort is to kill it too.
        """
        sys.stdout.flush()
        sys.stderr.flush()
        if not self._coroner.claim():
            sleep(LAST_WORDS_SECONDS)
        self._mpi.COMM_WORLD.Abort(code)
        os._exit(code)

    def claim_end(self) -> bool:
        """Whether this rank is the one that says why the job ends (where several come to it at once)."""
        return self._coroner.claim()

    def close(self) -> None:
        """Wait for the other ranks and leave; the last call."""
        self.barrier("end of the job")
        self._coroner.dismiss()

    def outcomes(self, code: int, fingerprint: bytes, patience: float) -> list[tuple[int, bytes]] | None:
        """(exit code, 16-byte fingerprint of the message) of every rank; None where not all ranks come to this point.

        A rank that waits in an exchange will never come: known at once. One that is silent gets ``patience`` seconds.
        """
        try:
            return self._outcomes(code, fingerprint, patience)
        except self._mpi.Exception:
            return None

    def _outcomes(self, code: int, fingerprint: bytes, patience: float) -> list[tuple[int, bytes]] | None:
        mine = np.zeros(17, np.uint8)
        mine[0] = code
        mine[1:] = np.frombuffer(fingerprint, np.uint8)
        everyone = np.empty((self.size, 17), np.uint8)
        request = self._outcome.Iallgather(_bytes(self._mpi, mine), _bytes(self._mpi, everyone))
        since = perf_counter()
        asked = False
        while not request.Test():
            sleep(LONGEST_PAUSE)
            waited = perf_counter() - since
            elsewhere = self._roll_call.listen("outcome", here="outcome")
            if waited > 0.2 and not asked:
                self._roll_call.ask()
                asked = True
            if waited > patience or (asked and elsewhere):
                return None
        return [(int(row[0]), row[1:].tobytes()) for row in everyone]

    # -- how it waits

    def _swap(self, outgoing: list[NDArray[np.uint8]], incoming: list[NDArray[np.uint8]], what: str) -> None:
        """Send block r of ``outgoing`` to rank r, fill block r of ``incoming`` from rank r."""
        tag = zlib.crc32(what.encode()) & 0x7FFF
        comm, byte, me = self._comm, self._mpi.BYTE, self.rank

        def start() -> list[Any]:
            requests = []
            for shift in range(1, self.size):
                source = (me - shift) % self.size
                for piece in _pieces(incoming[source]):
                    requests.append(comm.Irecv([piece, byte], source, tag))
            for shift in range(1, self.size):
                peer = (me + shift) % self.size
                for piece in _pieces(outgoing[peer]):
                    requests.append(comm.Isend([piece, byte], peer, tag))
            np.copyto(incoming[me], outgoing[me])
            return requests

        self._wait(start, what)

    def _wait(self, start: Callable[[], list[Any]], what: str) -> None:
        """Start an exchange and wait for all of its requests."""
        try:
            self._poll(start(), what)
        except self._mpi.Exception as error:
            self._broken(what, error)

    def _poll(self, requests: list[Any], what: str) -> None:
        test = self._mpi.Request.Testall
        if test(requests):
            return
        since = perf_counter()
        pause = 0.00005
        while not test(requests):
            waited = perf_counter() - since
            if waited < SPIN_SECONDS:
                os.sched_yield()
                continue
            sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
            if waited > ANSWER_AFTER:
                self._roll_call.listen(what)
            if 0 < self.timeout < waited:
                self._give_up(what, waited)

    def _broken(self, what: str, error: Exception) -> NoReturn:
        """MPI itself fails, as a rule because a peer has died: leave it to the peer's coroner to say so."""
        until = perf_counter() + CORONER_SECONDS
        while not self._coroner.claimed_by_another() and perf_counter() < until:
            sleep(LONGEST_PAUSE)
        if self._coroner.claim():
            text = f"monolith-ref: error: rank {self.rank}: exchange '{what}' failed, a rank may be gone ({error})\n"
            sys.stderr.flush()
            os.write(2, text.encode())
        self.abort(4)

    def _give_up(self, what: str, waited: float) -> NoReturn:
        """Find out who is silent, say so once, end the job."""
        report = self._roll_call.missing(what, patience=min(2.0, max(0.3, self.timeout)))
        if self._coroner.claim():
            text = f"monolith-ref: error: rank {self.rank} waited {waited:.0f} s in exchange '{what}': {report}\n"
            sys.stderr.flush()
            os.write(2, text.encode())
        self.abort(4)

    def _count(self, what: str, sent: int, received: int, since: float) -> None:
        entry = self.traffic.get(what)
        if entry is None:
            entry = self.traffic[what] = Traffic()
        entry.add(sent, received, perf_counter() - since)


def _bytes(mpi: Any, array: NDArray[Any]) -> list[Any]:
    """mpi4py's buffer of a whole contiguous array, as bytes."""
    return [array, mpi.BYTE]


def _flat_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """A contiguous array as bytes (a view)."""
    return array.reshape(-1).view(np.uint8)


def _blocks(buffer: NDArray[Any], counts: NDArray[np.int64]) -> list[NDArray[np.uint8]]:
    """Consecutive blocks of a 1-D buffer, as bytes (views)."""
    raw = buffer.view(np.uint8)
    ends = (np.cumsum(counts) * buffer.itemsize).tolist()
    return [raw[low:high] for low, high in zip([0, *ends[:-1]], ends, strict=True)]


def _pieces(block: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """A block cut into messages; none for an empty block (both sides know its length)."""
    if len(block) <= MAX_PIECE_BYTES:
        return [block] if len(block) else []
    return [block[low : low + MAX_PIECE_BYTES] for low in range(0, len(block), MAX_PIECE_BYTES)]
