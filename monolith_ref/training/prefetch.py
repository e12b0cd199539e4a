"""A thread that makes batches ahead of the loop that uses them; what it makes does not depend on it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import Empty, Full, Queue
from typing import TypeVar

__all__ = ["prefetched"]

Item = TypeVar("Item")

_POLL = 0.1
"""Seconds after which a waiting side looks whether the other one has gone."""


def prefetched(make: Callable[[int], Item | None], first: int, stop: int | None, depth: int) -> Iterator[Item]:
    """``make(first)``, ``make(first + 1)`` ... up to ``stop`` (None: no end) or to the first None.

    ``depth`` of them are made ahead (0: none, and there is no thread). What ``make`` raises is raised where its item
    would have come.
    """
    if depth == 0:
        number = first
        while stop is None or number < stop:
            item = make(number)
            if item is None:
                return
            yield item
            number += 1
        return
    ahead: Queue[Item | BaseException | None] = Queue(depth)
    over = threading.Event()

    def put(item: Item | BaseException | None) -> bool:
        while not over.is_set():
            try:
                ahead.put(item, timeout=_POLL)
                return True
            except Full:
                continue
        return False

    def work() -> None:
        number = first
        try:
            while stop is None or number < stop:
                item = make(number)
                if item is None or not put(item):
                    break
                number += 1
        except BaseException as error:  # Raised again where the item is asked for.
            put(error)
        else:
            put(None)

    worker = threading.Thread(target=work, name="prefetch", daemon=True)
    worker.start()
    try:
        while True:
            try:
                made = ahead.get(timeout=_POLL)
            except Empty:
                continue
            if made is None:
                return
            if isinstance(made, BaseException):
                raise made
            yield made
    finally:
        over.set()
        worker.join()
