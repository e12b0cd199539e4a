"""A persistent pool of threads in which the caller does one share itself.

Kernels release the GIL and take ranges. Dispatching costs some 40 microseconds, so callers state below how many items
it is not worth it.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

__all__ = ["run_shares", "share_bounds"]

Work = Callable[[int, int], object]


class _Done:
    """Counts shares that other threads still run, and keeps the first exception."""

    def __init__(self, shares: int) -> None:
        self._left = shares
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.error: BaseException | None = None

    def finish(self, error: BaseException | None) -> None:
        with self._lock:
            self.error = self.error or error
            self._left -= 1
            if self._left == 0:
                self._over.set()

    def wait(self) -> None:
        self._over.wait()


_Share = tuple[Work, int, int, _Done]


class _Here(threading.local):
    """Is this thread inside a share? Shares do not share out again: their waiting could fill the pool."""

    busy = False


_here = _Here()


class _Pool:
    """Daemon threads that take shares from one queue; grows to the largest number asked for."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.queue: SimpleQueue[_Share] = SimpleQueue()
        self._workers = 0
        self._lock = threading.Lock()

    def ensure(self, workers: int) -> None:
        with self._lock:
            while self._workers < workers:
                self._workers += 1
                threading.Thread(target=self._serve, name=f"kernels-{self._workers}", daemon=True).start()

    def _serve(self) -> None:
        _here.busy = True
        while True:
            work, lo, hi, done = self.queue.get()
            error: BaseException | None = None
            try:
                work(lo, hi)
            except BaseException as caught:
                error = caught
            done.finish(error)


_pool = _Pool()


def share_bounds(count: int, threads: int, grain: int) -> list[int]:
    """Bounds of at most ``threads`` nearly equal shares of ``count`` items, each of ``grain`` or more, or one share."""
    shares = max(1, min(threads, count // max(grain, 1)))
    return [count * share // shares for share in range(shares + 1)]


def run_shares(work: Work, count: int, threads: int, grain: int) -> None:
    """Call ``work(lo, hi)`` for every share of ``range(count)``, wait for all, raise what a share raised."""
    if threads <= 1 or count < 2 * grain or _here.busy:
        work(0, count)
        return
    global _pool
    if _pool.process != os.getpid():  # threads do not survive a fork
        _pool = _Pool()
    bounds = share_bounds(count, threads, grain)
    others = len(bounds) - 2
    _pool.ensure(others)
    done = _Done(others)
    for lo, hi in itertools.pairwise(bounds[1:]):
        _pool.queue.put((work, lo, hi, done))
    own: BaseException | None = None
    _here.busy = True
    try:
        work(bounds[0], bounds[1])
    except BaseException as caught:
        own = caught
    finally:
        _here.busy = False
    done.wait()
    if own is not None or done.error is not None:
        raise own or done.error  # type: ignore[misc]
