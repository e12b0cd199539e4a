"""Let a thread work ahead of the one that uses what it makes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

Item = TypeVar("Item")


def ahead(items: Iterator[Item], depth: int = 1) -> Iterator[Item]:
    """The items in order; a thread of its own makes ``depth`` more while one is used, errors come in their turn.

    What an item refers to must therefore stay valid until the thread has made ``depth + 1`` further ones.
    """
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        waiting: deque[Future[object]] = deque()
        try:
            while True:
                while len(waiting) <= depth:
                    waiting.append(pool.submit(next, items, end))
                item = waiting.popleft().result()
                if item is end:
                    return
                yield item  # type: ignore[misc]
        finally:
            for future in waiting:
                future.cancel()
