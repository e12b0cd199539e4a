"""Row storage, buffers and the thread pool."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from monolith_kernels import memory, threads
from monolith_kernels.target import target


def test_rows_never_move_and_are_aligned() -> None:
    storage = memory.RowStorage(16)
    assert storage.rows.shape == (0, 16)
    storage.ensure(3)
    place = storage.rows.ctypes.data
    assert place % memory.ALIGNMENT == 0
    storage.rows[2] = 5
    view = storage.rows
    storage.ensure(100_000)
    assert storage.capacity >= 100_000
    assert storage.rows.ctypes.data == place
    assert (view[2] == 5).all()
    assert (storage.rows[3:] == 0).all()
    assert not storage.moves


def test_rows_are_copied_where_space_cannot_be_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> object:
        raise OSError("no")

    monkeypatch.setattr(memory.mmap, "mmap", refuse)
    storage = memory.RowStorage(24, np.uint32, 5)
    assert storage.moves
    storage.rows[4] = 9
    storage.ensure(50_000)
    assert (storage.rows[4] == 9).all()
    assert (storage.rows[5:] == 0).all()
    assert storage.rows.ctypes.data % memory.ALIGNMENT == 0


def test_more_rows_than_the_reserved_space_are_refused() -> None:
    with pytest.raises(MemoryError, match="do not fit"):
        memory.RowStorage(1 << 20).ensure(1 << 30)


def resident() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="no /proc")
def test_small_tables_take_little_and_large_ones_huge_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_HUGE_FROM", 1 << 20)
    before = resident()
    small = [memory.RowStorage(16, capacity=10) for _ in range(100)]
    for storage in small:
        storage.rows[:10] = 1
    assert resident() - before < 100 * (64 << 10)
    large = memory.RowStorage(16, capacity=100_000)
    large.rows[:] = 1
    assert all(storage._space is not None for storage in small)
    assert large._space is None


def test_buffers_grow_and_are_reused() -> None:
    buffer = memory.Buffer(np.float32)
    first = buffer.take(10)
    first[:] = 1
    assert np.shares_memory(first, buffer.take(4))
    assert len(buffer.take(1000)) == 1000
    assert buffer.take(7).ctypes.data % memory.ALIGNMENT == 0


@pytest.mark.parametrize(("count", "workers", "grain"), [(0, 3, 1), (1, 3, 1), (10, 3, 1), (10, 3, 4), (7, 2, 100)])
def test_shares_cover_every_item_once(count: int, workers: int, grain: int) -> None:
    seen, names, lock = [], set(), threading.Lock()

    def work(lo: int, hi: int) -> None:
        with lock:
            seen.extend(range(lo, hi))
            names.add((lo, hi))

    threads.run_shares(work, count, workers, grain)
    assert sorted(seen) == list(range(count))
    assert len(names) <= workers


def test_an_exception_of_any_share_reaches_the_caller() -> None:
    def work(lo: int, hi: int) -> None:
        if lo > 0:
            raise ArithmeticError(f"share {lo}")

    with pytest.raises(ArithmeticError, match="share 5"):
        threads.run_shares(work, 10, 2, 1)
    threads.run_shares(lambda lo, hi: None, 10, 2, 1)


def test_the_pool_starts_anew_after_a_fork() -> None:
    threads.run_shares(lambda lo, hi: None, 10, 2, 1)
    with pytest.warns(DeprecationWarning, match="fork") if os.sys.version_info >= (3, 12) else _nothing():
        child = os.fork()
    if child == 0:
        done: list[int] = []
        threads.run_shares(lambda lo, hi: done.append(lo), 10, 2, 1)
        os._exit(0 if len(done) == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0


def _nothing() -> object:
    import contextlib

    return contextlib.nullcontext()


def test_target_makes_arrays_on_its_side() -> None:
    cpu = target("cpu", threads=2)
    assert cpu.empty((3, 4), np.float32).ctypes.data % memory.ALIGNMENT == 0
    assert (cpu.zeros(5, np.int64) == 0).all()
    assert isinstance(cpu.storage(8), memory.RowStorage)
    array = np.arange(3)
    assert cpu.asarray(array) is array
    assert cpu.to_host(array) is array
    with pytest.raises(ValueError, match="threads"):
        target("cpu", threads=0)
    with pytest.raises(ValueError, match="tpu"):
        target("tpu")
    with pytest.raises(AttributeError):
        _ = cpu.nothing
