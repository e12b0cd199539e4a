"""Tables: memory of many rows, seconds per row of each call, and the cost of a call on one row.

    python benchmarks/tables.py memory ROWS DIM
    python benchmarks/tables.py calls ROWS DIM [THREADS]
    python benchmarks/tables.py overhead

Run each in a process of its own: ``memory`` reports the peak of the process.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

import numpy as np
from monolith_kernels import target
from monolith_protos.hash_table_pb2 import EmbeddingHashTableConfig

from monolith_ref.entry import (
    AdagradOptimizer,
    CombineAsSegment,
    CuckooHashTableConfig,
    Fp32Compressor,
    HashTableConfigInstance,
    ZerosInitializer,
)
from monolith_ref.table.hash_table import HashTable, hash_table_from_config
from monolith_ref.table.names import NameScope

BATCH = 1_000_000
MIX = 0x9E3779B97F4A7C15


def make(dim: int, threads: int = 1) -> HashTable:
    """An adagrad table."""
    message = EmbeddingHashTableConfig()
    segment = CombineAsSegment(dim, ZerosInitializer(), AdagradOptimizer(), Fp32Compressor())
    message.entry_config.segments.append(segment)
    CuckooHashTableConfig().mutate_table(message)
    instance = HashTableConfigInstance(message, [0.1])
    return hash_table_from_config(instance, scope=NameScope(), target=target("cpu", threads=threads))


def ids_of(start: int, count: int) -> np.ndarray:
    """Distinct ids that look random."""
    return (np.arange(start, start + count, dtype=np.uint64) * np.uint64(MIX)).view(np.int64)


def peak_bytes() -> int:
    """The most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def memory(rows: int, dim: int) -> None:
    """Insert ``rows`` rows by optimizer steps and compare the peak with what is alive."""
    table = make(dim)
    grads = np.ones((min(BATCH, rows), dim), np.float32)
    table.apply_gradients(ids_of(0, 1), grads[:1], 0)
    base = peak_bytes()
    begin = time.perf_counter()
    for start in range(0, rows, BATCH):
        count = min(BATCH, rows - start)
        table.apply_gradients(ids_of(start, count), grads[:count], 0, req_time=1)
    seconds = time.perf_counter() - begin
    usage = table.memory_usage()
    alive = sum(usage.values())
    bare = rows * (8 + 4 + 4 + 8 * dim)
    used = peak_bytes() - base
    parts = ", ".join(f"{name} {size / 1e9:.2f}" for name, size in usage.items())
    print(f"{table.size()} rows of dim {dim} in {seconds:.1f} s ({seconds / rows * 1e9:.0f} ns a row)")
    print(f"GB: {parts}; alive {alive / 1e9:.2f}, peak {used / 1e9:.2f} = {used / alive:.2f} x alive")
    print(f"key, number, time, weights and accumulators alone: {bare / 1e9:.2f} GB, peak {used / bare:.2f} x")


def seconds_of(call: Callable[[], object], repeats: int = 5) -> float:
    """The least of a few runs."""
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - begin)
    return best


def calls(rows: int, dim: int, threads: int) -> None:
    """Nanoseconds per row of batch calls on a table of ``rows`` rows."""
    table = make(dim, threads)
    batch = 100_000
    grads = np.ones((batch, dim), np.float32)
    for start in range(0, rows, batch):
        table.apply_gradients(ids_of(start, batch), grads, 0)
    rng = np.random.default_rng(0)
    known = ids_of(0, rows)[rng.integers(0, rows, batch)]
    distinct = ids_of(0, rows)[rng.permutation(rows)[:batch]]
    unknown = ids_of(rows, batch)
    jobs: dict[str, Callable[[], object]] = {
        "lookup, hits": lambda: table.lookup(known),
        "lookup, misses": lambda: table.lookup(unknown),
        "assign": lambda: table.assign(distinct, grads),
        "apply_gradients": lambda: table.apply_gradients(distinct, grads, 0),
        "apply_gradients, dedup": lambda: table.apply_gradients(known, grads, 0, enable_dedup=True),
    }
    for name, job in jobs.items():
        print(f"{name:24} {seconds_of(job) / batch * 1e9:7.1f} ns a row")
    begin = time.perf_counter()
    for k in range(10):
        table.apply_gradients(ids_of(rows + k * batch, batch), grads, 0)
    print(f"{'insert':24} {(time.perf_counter() - begin) / (10 * batch) * 1e9:7.1f} ns a row")


def overhead() -> None:
    """Microseconds of processor time of a call on one row, so that a busy machine does not count."""
    table = make(16)
    ids, grads = np.array([5]), np.ones((1, 16), np.float32)
    jobs: dict[str, Callable[[], object]] = {
        "lookup": lambda: table.lookup(ids),
        "assign": lambda: table.assign(ids, grads),
        "assign_add": lambda: table.assign_add(ids, grads),
        "apply_gradients": lambda: table.apply_gradients(ids, grads, 0),
    }
    for name, job in jobs.items():
        job()
        best = float("inf")
        for _ in range(10):
            begin = time.process_time()
            for _ in range(1000):
                job()
            best = min(best, time.process_time() - begin)
        print(f"{name:24} {best * 1e3:7.2f} us")


if __name__ == "__main__":
    command, *arguments = sys.argv[1:] or ["overhead"]
    numbers = [int(text) for text in arguments]
    if command == "memory":
        memory(*numbers)
    elif command == "calls":
        calls(numbers[0], numbers[1], numbers[2] if len(numbers) > 2 else 1)
    else:
        overhead()
