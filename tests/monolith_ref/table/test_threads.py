"""Calls from several threads: whole rows, nothing lost. Rule: tables 6."""

from __future__ import annotations

import threading

import numpy as np

from .support import message, part, single

ROUNDS = 60


def test_readers_see_whole_rows_and_no_update_is_lost() -> None:
    table = single(message(part(64)), [1.0])
    ids = np.arange(200, dtype=np.int64)
    table.assign(ids, np.zeros((200, 64), np.float32))
    torn: list[int] = []
    seen: list[float] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            rows = table.lookup(ids)
            torn.append(int((rows != rows[:, :1]).any()))
            seen.append(float(rows[0, 0]))

    def write(first: int) -> None:
        step = np.full((200, 64), -1, np.float32)
        for number in range(ROUNDS):
            table.apply_gradients(ids, step, 0)
            new = np.arange(1000, dtype=np.int64) + 1000 * (first * ROUNDS + number + 1)
            table.assign(new, np.ones((1000, 64), np.float32))

    readers = [threading.Thread(target=read) for _ in range(2)]
    writers = [threading.Thread(target=write, args=(k,)) for k in range(2)]
    for thread in (*readers, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert len(set(seen)) > 1, "readers and writers have overlapped"
    assert sum(torn) == 0
    assert table.lookup(ids)[0, 0] == 2 * ROUNDS
    assert table.size() == 200 + 2 * ROUNDS * 1000
