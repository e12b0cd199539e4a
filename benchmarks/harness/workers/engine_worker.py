"""The engine: tables behind their index, through public calls and through the calls that training makes."""

from __future__ import annotations

import os
import tempfile
from functools import lru_cache
from typing import Any

import numpy as np
from common import BAG, Forms, Turns, forget_pages, fresh_ids, gradients, ids_of, numbers, resident, serve
from monolith_conformance.compare.generator import GeneratedSource
from monolith_conformance.compare.task import EmbeddingUpdateTask
from monolith_kernels.memory import aligned_zeros
from monolith_kernels.target import target
from monolith_protos.hash_table_pb2 import EmbeddingHashTableConfig

import monolith_ref
from monolith_ref import entry
from monolith_ref.table.hash_table import HashTable, hash_table_from_config
from monolith_ref.table.names import NameScope
from monolith_ref.training.engine import Engine

THREADS = int(os.environ["OMP_NUM_THREADS"])
RATES = np.array([0.05], np.float32)
TIME = 1_700_000_000
PART = 100_000


def make(dim: int, threads: int = THREADS) -> HashTable:
    """An empty adagrad table."""
    message = EmbeddingHashTableConfig()
    message.entry_config.segments.append(
        entry.CombineAsSegment(dim, entry.ZerosInitializer(), entry.AdagradOptimizer(), entry.Fp32Compressor())
    )
    entry.CuckooHashTableConfig().mutate_table(message)
    config = entry.HashTableConfigInstance(message, [0.05])
    return hash_table_from_config(config, scope=NameScope(), target=target("cpu", threads=threads))


def fill(handle: HashTable, rows: int, dim: int) -> None:
    """Rows 0 to ``rows``, each with one optimizer step."""
    grads = np.ones((min(PART, rows), dim), np.float32)
    for begin in range(0, rows, PART):
        ids = ids_of(np.arange(begin, min(begin + PART, rows), dtype=np.int64))
        handle.apply_gradients(ids, grads[: len(ids)], 0, req_time=TIME)


@lru_cache(1)
def table(rows: int, dim: int) -> tuple[HashTable, dict[str, float]]:
    """A filled table, and what its rows took."""
    handle = make(dim)
    fill(handle, 1, dim)
    before = resident()
    fill(handle, rows, dim)
    usage = sum(handle.memory_usage().values())
    return handle, {"resident bytes a row": (resident() - before) / rows, "counted bytes a row": usage / rows}


def lookup(job: dict[str, Any]) -> Forms:
    handle, _ = table(job["rows"], job["dim"])
    store, ids = handle.table.training_store, ids_of(numbers(job))
    out = aligned_zeros(len(ids) * job["dim"], np.float32)
    return Forms(
        {
            "RowStore.lookup into a buffer": lambda: store.lookup(ids, out),
            "HashTable.lookup": lambda: handle.lookup(ids),
        }
    )


def pooled(job: dict[str, Any]) -> Forms:
    store, ids = table(job["rows"], job["dim"])[0].table.training_store, ids_of(numbers(job))
    positions = np.arange(len(ids), dtype=np.int32)
    splits = np.arange(0, len(ids) + 1, BAG)
    out = aligned_zeros((len(splits) - 1, job["dim"]), np.float32)
    rows, segment = store._storage.rows, store.target.segment

    def run() -> None:
        segment.sum_rows(rows, store.find(ids), positions, splits, 0, job["dim"], out, 0, THREADS)

    return Forms({"find, sum of rows": run})


def update(job: dict[str, Any]) -> Forms:
    handle, _ = table(job["rows"], job["dim"])
    store, ids, grads = handle.table.training_store, ids_of(numbers(job)), gradients(job)
    flat = grads.reshape(-1)
    return Forms(
        {
            "RowStore.optimize_sums": lambda: store.optimize_sums(ids, flat, RATES, 0, TIME),
            "HashTable.apply_gradients": lambda: handle.apply_gradients(ids, grads, 0, enable_dedup=True),
        }
    )


def insert(job: dict[str, Any]) -> Forms:
    store, ids = table(job["rows"], job["dim"])[0].table.training_store, fresh_ids(job)
    name = "RowStore.find_or_insert, memory touched before"
    return Forms({name: lambda: store.find_or_insert(ids)}, {name: lambda: store.erase(ids)})


def insert_untouched(job: dict[str, Any]) -> Forms:
    ids = fresh_ids(job)
    made: list[Any] = []

    def before() -> None:
        made[:] = [make(job["dim"]).table.training_store]

    name = "RowStore.find_or_insert into a new table"
    return Forms({name: lambda: made[0].find_or_insert(ids)}, {name: before})


def row_update(job: dict[str, Any]) -> Forms:
    store = table(job["rows"], job["dim"])[0].table.training_store
    rows = np.random.default_rng(3).choice(job["rows"], job["batch"], replace=False).astype(np.int32)
    grads = gradients(job).reshape(-1)
    place, matrix, dim = store.target, store._storage.rows, job["dim"]

    def kernel() -> None:
        place.optimize.update(place.profile, store.layout, matrix, rows, grads, dim, RATES, threads=THREADS)

    return Forms(
        {
            "optimize.update, the kernel": kernel,
            "RowStore.optimize, times too": lambda: store.optimize(rows, grads, RATES, 0, TIME, distinct=True),
        }
    )


def two_threads(job: dict[str, Any]) -> Forms:
    """Lookup and update of distinct ids by one thread and by two."""
    store = table(job["rows"], job["dim"])[0].table.training_store
    drawn = np.random.default_rng(3).choice(job["rows"], job["batch"], replace=False)
    ids, grads = ids_of(drawn), gradients(job).reshape(-1)
    out = aligned_zeros(len(ids) * job["dim"], np.float32)
    places = {"one thread": target("cpu", threads=1), "two threads": target("cpu", threads=2)}

    def run(name: str) -> None:
        store.target = places[name]
        store.lookup(ids, out)
        store.optimize(store.find(ids), grads, RATES, 0, 0, distinct=True)

    digests = set()
    for threads in (1, 2):
        small = make(job["dim"], threads)
        fill(small, 2 * PART, job["dim"])
        some = ids_of(np.arange(PART, 3 * PART))
        small.apply_gradients(some, np.full((len(some), job["dim"]), 0.3, np.float32), 0, enable_dedup=True)
        digests.add(small.lookup(ids_of(np.arange(4 * PART))).tobytes())
    return Forms({name: (lambda name=name: run(name)) for name in places}, facts={"same bits": len(digests) == 1})


def memory(job: dict[str, Any]) -> Forms:
    return Forms({}, facts=table(job["rows"], job["dim"])[1])


def step(job: dict[str, Any]) -> Forms:
    source = GeneratedSource(batch_size=job["batch_rows"])
    batches = [source.rows(number, 0, job["batch_rows"]) for number in range(job["steps"])]
    run: dict[str, Any] = {}
    for layout in ("multi", "merged"):
        engine = Engine(
            EmbeddingUpdateTask(), layout=layout, reduction="sequential", target=target("cpu", threads=THREADS)
        )
        run[f"Engine.step, layout {layout}"] = Turns(engine.step, batches, job["warm"], job["each"])
    return Forms(run, items=dict.fromkeys(run, job["each"]))


def overhead(job: dict[str, Any]) -> Forms:
    """A thousand calls on one row."""
    handle = make(job["dim"])
    ids, grads = np.array([5]), np.ones((1, job["dim"]), np.float32)
    calls = {
        "HashTable.lookup": lambda: handle.lookup(ids),
        "HashTable.assign": lambda: handle.assign(ids, grads),
        "HashTable.apply_gradients": lambda: handle.apply_gradients(ids, grads, 0),
    }
    run = {name: (lambda call=call: [call() for _ in range(1000)]) for name, call in calls.items()}
    return Forms(run, items=dict.fromkeys(run, 1000))


def save(job: dict[str, Any]) -> Forms:
    handle, _ = table(job["rows"], job["dim"])
    base = os.path.join(tempfile.mkdtemp(dir=job["folder"]), "MonolithHashTable_rows")
    return Forms({"HashTable.save": lambda: handle.save(base)})


def restore(job: dict[str, Any]) -> Forms:
    folder = tempfile.mkdtemp(dir=job["folder"])
    base = os.path.join(folder, "MonolithHashTable_rows")
    table(job["rows"], job["dim"])[0].save(base)
    other = make(job["dim"])
    return Forms(
        {"HashTable.restore": lambda: other.restore(base)}, {"HashTable.restore": lambda: forget_pages(folder)}
    )


if __name__ == "__main__":
    jobs = [lookup, pooled, update, insert, insert_untouched, row_update, two_threads, memory, step, overhead]
    serve({"version": monolith_ref.__version__}, {job.__name__: job for job in (*jobs, save, restore)})
