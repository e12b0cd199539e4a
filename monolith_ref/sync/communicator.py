"""What ranks say to each other: the interface, its counters, and the trivial case of one rank.

Every call is collective: all ranks make the same calls in the same order, each with a short name (``what``) that
errors and reports use. Arrays are host arrays; nothing is pickled.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any, NoReturn, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from monolith_ref.errors import ShapeError

__all__ = ["Communicator", "SerialCommunicator", "Traffic", "check_counts"]


@dataclass(slots=True)
class Traffic:
    """What one named exchange has cost this rank so far.

    Attributes
    ----------
    calls : int
    sent, received : int
        Bytes to and from *other* ranks; what a rank keeps for itself is not counted.
    seconds : float
        Wall time, waiting included.
    """

    calls: int = 0
    sent: int = 0
    received: int = 0
    seconds: float = 0.0

    def add(self, sent: int, received: int, seconds: float) -> None:
        """Count one call."""
        self.calls += 1
        self.sent += sent
        self.received += received
        self.seconds += seconds


@runtime_checkable
class Communicator(Protocol):
    """A fixed group of ranks.

    Attributes
    ----------
    rank, size : int
    name : str
        ``"serial"`` or ``"mpi"``.
    timeout : float
        Seconds after which a wait ends the job (0: never).
    traffic : dict of exchange name to Traffic
    """

    rank: int
    size: int
    name: str
    timeout: float
    traffic: dict[str, Traffic]

    def barrier(self, what: str) -> None:
        """Return when every rank has called it."""
        ...

    def allgather(self, values: NDArray[Any], what: str) -> NDArray[Any]:
        """``values`` of every rank, ``[size, *values.shape]``; shape and dtype must be equal on all ranks."""
        ...

    def allgatherv(self, values: NDArray[Any], what: str) -> list[NDArray[Any]]:
        """``values`` of every rank, in rank order; the first axis may differ between ranks, the rest may not."""
        ...

    def allgather_bytes(self, data: bytes, what: str) -> list[bytes]:
        """``data`` of every rank, in rank order."""
        ...

    def broadcast_bytes(self, data: bytes, root: int, what: str) -> bytes:
        """``data`` of rank ``root`` (what others pass is ignored)."""
        ...

    def alltoall(self, send: NDArray[Any], what: str) -> NDArray[Any]:
        """Row r of ``send`` [size, k] goes to rank r; row r of the result came from rank r."""
        ...

    def alltoallv(
        self,
        send: NDArray[Any],
        send_counts: NDArray[np.int64],
        recv: NDArray[Any],
        recv_counts: NDArray[np.int64],
        what: str,
    ) -> NDArray[Any]:
        """Blocks of ``send`` (1-D, by destination) to all ranks, blocks from all ranks by source.

        Counts are in elements, int64 [size]. ``recv`` (1-D, same dtype, at least the sum of ``recv_counts``) is where
        blocks land. Returns the received elements, 1-D, length = sum of ``recv_counts``: a view of ``recv``, or of
        ``send`` where there is one rank. No block is limited to 2^31 elements.
        """
        ...

    def sum_int64(self, values: NDArray[np.int64], what: str) -> NDArray[np.int64]:
        """Element-wise sum over ranks."""
        ...

    def abort(self, code: int) -> NoReturn:
        """End every rank of the job with this exit code, now."""
        ...

    def close(self) -> None:
        """Wait for the other ranks and leave; the last call."""
        ...


def check_counts(size: int, buffer: NDArray[Any], counts: NDArray[np.int64], which: str) -> None:
    """ShapeError unless ``counts`` has one entry a rank and their sum fits into the 1-D, contiguous ``buffer``."""
    if counts.shape != (size,):
        raise ShapeError(f"{which} counts must have shape ({size},), not {counts.shape}")
    if buffer.ndim != 1 or not buffer.flags.c_contiguous:
        raise ShapeError(f"the {which} buffer must be a contiguous array of one dimension")
    if int(counts.sum()) > len(buffer):
        raise ShapeError(f"the {which} buffer holds {len(buffer)} elements, its counts ask for {int(counts.sum())}")


class SerialCommunicator:
    """One rank: nothing travels, results may share memory with what was given."""

    rank = 0
    size = 1
    name = "serial"

    def __init__(self, timeout: float = 0.0) -> None:
        self.timeout = timeout
        self.traffic: dict[str, Traffic] = {}

    def _count(self, what: str, since: float) -> None:
        self.traffic.setdefault(what, Traffic()).add(0, 0, perf_counter() - since)

    def barrier(self, what: str) -> None:
        """See :class:`Communicator`."""
        self._count(what, perf_counter())

    def allgather(self, values: NDArray[Any], what: str) -> NDArray[Any]:
        """See :class:`Communicator`."""
        since = perf_counter()
        gathered = np.array(values, copy=True)[np.newaxis]
        self._count(what, since)
        return gathered

    def allgatherv(self, values: NDArray[Any], what: str) -> list[NDArray[Any]]:
        """See :class:`Communicator`."""
        since = perf_counter()
        gathered = [np.array(values, copy=True)]
        self._count(what, since)
        return gathered

    def allgather_bytes(self, data: bytes, what: str) -> list[bytes]:
        """See :class:`Communicator`."""
        self._count(what, perf_counter())
        return [bytes(data)]

    def broadcast_bytes(self, data: bytes, root: int, what: str) -> bytes:
        """See :class:`Communicator`."""
        self._count(what, perf_counter())
        return bytes(data)

    def alltoall(self, send: NDArray[Any], what: str) -> NDArray[Any]:
        """See :class:`Communicator`."""
        since = perf_counter()
        received = np.array(send, copy=True)
        self._count(what, since)
        return received

    def alltoallv(
        self,
        send: NDArray[Any],
        send_counts: NDArray[np.int64],
        recv: NDArray[Any],
        recv_counts: NDArray[np.int64],
        what: str,
    ) -> NDArray[Any]:
        """See :class:`Communicator`; the result is a view of ``send``."""
        since = perf_counter()
        check_counts(1, send, send_counts, "send")
        if send_counts[0] != recv_counts[0]:
            raise ShapeError(f"one rank sends itself {send_counts[0]} elements and expects {recv_counts[0]}")
        self._count(what, since)
        return send[: int(send_counts[0])]

    def sum_int64(self, values: NDArray[np.int64], what: str) -> NDArray[np.int64]:
        """See :class:`Communicator`."""
        self._count(what, perf_counter())
        return np.array(values, np.int64, copy=True)

    def abort(self, code: int) -> NoReturn:
        """Raise SystemExit: there is nobody else to end."""
        raise SystemExit(code)

    def close(self) -> None:
        """Nothing to leave."""
