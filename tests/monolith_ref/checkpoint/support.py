"""Small tables and their rows for checkpoint tests."""

from __future__ import annotations

import threading
from pathlib import Path

import monolith_conformance
import numpy as np
from monolith_kernels.target import target
from monolith_protos import hash_table_pb2

from monolith_ref.checkpoint.content import TableContent
from monolith_ref.quirks import Quirks
from monolith_ref.table.build import row_layout
from monolith_ref.table.config import check_table_config
from monolith_ref.table.store import RowDump, RowStore

GOLDEN = Path(monolith_conformance.__file__).parent / "golden" / "records"
T0 = 1_622_716_114


def config(*segments, serving=False, expire=None):
    """A table of ``(dim, rule)`` segments; ``expire``: {slot: days} with None for the default."""
    message = hash_table_pb2.EmbeddingHashTableConfig()
    for dim, rule in segments:
        segment = message.entry_config.segments.add(dim_size=dim)
        segment.init_config.zeros.SetInParent()
        getattr(segment.opt_config, rule).SetInParent()
        segment.comp_config.fp32.SetInParent()
    if serving:
        message.entry_config.entry_type = hash_table_pb2.EntryConfig.SERVING
    message.cuckoo.SetInParent()
    for slot, days in (expire or {}).items():
        if slot is None:
            message.slot_expire_time_config.default_expire_time = days
        else:
            message.slot_expire_time_config.slot_expire_times.add(slot=slot, expire_time=days)
    return message


def store_of(message):
    """An empty table of rows for a configuration."""
    quirks = Quirks.parse("clean +unbuilt_rules +batch_softmax_any_dim")
    return RowStore(row_layout(check_table_config(message, quirks), quirks), target("cpu"), quirks=quirks)


def random_rows(message, n, seed=0, times=None, ids=None):
    """``n`` rows with random bits everywhere, in the form of a table of this configuration."""
    rng = np.random.default_rng(seed)
    store = store_of(message)
    ids = rng.permutation(np.arange(n, dtype=np.int64) * 7 - 3 * n) if ids is None else np.asarray(ids, np.int64)
    rows = store.find_or_insert(ids)
    dump = store.export(np.array(rows), ids)
    dump.weights = rng.integers(0, 2**32, dump.weights.shape, dtype=np.uint32).view(np.float32)
    for arrays in dump.state:
        for name, values in arrays.items():
            if values.dtype == np.int64:
                arrays[name] = rng.integers(0, 2**62, values.shape)
            else:
                arrays[name] = rng.integers(0, 2**32, values.shape, dtype=np.uint32).view(np.float32)
    dump.update_time = np.full(n, T0, np.uint32) if times is None else np.asarray(times, np.uint32)
    return dump


def content(name, message, rows, kind="single", max_ts=T0):
    """A table to save."""
    rates = tuple("0.05" for _ in message.entry_config.segments)
    return TableContent(name, kind, message.SerializeToString(), rates, rows, max_ts)


def by_id(*parts):
    """id → everything of the row as bytes, from one or many dumps."""
    rows = {}
    for part in parts:
        for k, fid in enumerate(part.ids.tolist()):
            state = [sorted((name, values[k].tobytes()) for name, values in arrays.items()) for arrays in part.state]
            rows[fid] = (part.weights[k].tobytes(), state, int(part.update_time[k]))
    return rows


def loaded_rows(loaded):
    """The rows of a LoadedTable as :func:`by_id` gives them."""
    return by_id(*(rows for rows, _widths in loaded.parts))


def joined(parts):
    """Ids of dumps in order."""
    found = [part.ids for part in parts]
    return np.concatenate(found) if found else np.empty(0, np.int64)


def dump_of(ids, dim, rule_state, times):
    """A dump from plain arrays."""
    ids = np.asarray(ids, np.int64)
    return RowDump(ids, np.zeros((len(ids), dim), np.float32), rule_state, np.asarray(times, np.uint32))


class ThreadRank:
    """One of several ranks that are threads of this process."""

    def __init__(self, rank, size, shared):
        self.rank = rank
        self.size = size
        self._shared = shared

    def allgather_bytes(self, data, what):
        box, barrier = self._shared
        box[self.rank] = (data, what)
        barrier.wait(60)
        found = list(box)
        assert len({name for _data, name in found}) == 1, found
        barrier.wait(60)
        return [data for data, _name in found]


def on_ranks(size, work):
    """Run ``work(comm)`` on that many ranks; results in rank order, errors as the exceptions themselves."""
    shared = ([None] * size, threading.Barrier(size))
    results = [None] * size

    def run(rank):
        try:
            results[rank] = work(ThreadRank(rank, size, shared))
        except Exception as error:
            results[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return results
