"""Save and restore against moving the same bytes: ``python benchmarks/checkpoint.py [--rows N] [--dim D]``.

The peer of a save writes the very same bytes, made before, in pieces of 4 MiB (a multi table's in blocks, through the
same compressor), with fsync and rename; the peer of a restore reads the files (through the same decompressor) and
throws them away. Files are dropped from the page cache before they are read. All are run in turn, the shortest time of
each counts. ``--large`` saves, verifies and restores one large table and prints the memory that took.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cramjam
import numpy as np
from monolith_kernels.blocks import BLOCK
from monolith_kernels.target import target
from monolith_protos.hash_table_pb2 import EmbeddingHashTableConfig

from monolith_ref.checkpoint import sets
from monolith_ref.checkpoint.content import TableContent
from monolith_ref.checkpoint.verify import verify
from monolith_ref.quirks import Quirks
from monolith_ref.table.build import row_layout
from monolith_ref.table.config import check_table_config
from monolith_ref.table.store import RowStore

PIECE = 4 << 20
TIME = 1_700_000_000


def make_config(dim: int) -> EmbeddingHashTableConfig:
    """One adagrad segment."""
    config = EmbeddingHashTableConfig()
    segment = config.entry_config.segments.add(dim_size=dim)
    segment.init_config.zeros.SetInParent()
    segment.opt_config.adagrad.SetInParent()
    segment.comp_config.fp32.SetInParent()
    config.cuckoo.SetInParent()
    return config


def empty_store(config: EmbeddingHashTableConfig) -> RowStore:
    """A table without rows."""
    quirks = Quirks.parse("default")
    return RowStore(row_layout(check_table_config(config, quirks), quirks), target("cpu"), quirks=quirks)


def filled_store(config: EmbeddingHashTableConfig, rows: int) -> RowStore:
    """Random weights, one adagrad step of state."""
    store = empty_store(config)
    rng = np.random.default_rng(0)
    step = 1 << 18
    for begin in range(0, rows, step):
        ids = np.arange(begin, min(begin + step, rows), dtype=np.int64) * 2_654_435_761
        numbers = store.find_or_insert(ids)
        grads = rng.standard_normal(len(ids) * store.dim, dtype=np.float32)
        store.optimize(numbers, grads, np.array([0.05], np.float32), 0, TIME, distinct=True)
    return store


def drop_cache(paths: list[Path]) -> None:
    """Ask the kernel to forget the files' pages."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def write_same(path: Path, data: memoryview, compressed: bool) -> None:
    """Write ``data``, fsync and rename."""
    temporary = path.with_name("." + path.name)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for begin in range(0, len(data), BLOCK if compressed else PIECE):
        piece = data[begin : begin + (BLOCK if compressed else PIECE)]
        if compressed:
            piece = memoryview(bytes(cramjam.snappy.compress_raw(piece)))
            os.write(descriptor, len(piece).to_bytes(4, "big"))
        while len(piece):
            piece = piece[os.write(descriptor, piece) :]
    os.fsync(descriptor)
    os.close(descriptor)
    os.replace(temporary, path)


def read_same(paths: list[Path], compressed: bool) -> int:
    """Read files and throw the bytes away."""
    total = 0
    for path in paths:
        with open(path, "rb") as file:
            if not compressed:
                buffer = memoryview(bytearray(PIECE))
                while count := file.readinto(buffer):
                    total += count
                continue
            while header := file.read(4):
                total += len(cramjam.snappy.decompress_raw(file.read(int.from_bytes(header, "big"))))
    return total


def shortest(repeat: int, works: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Run all works in turn, ``repeat`` times; the shortest time of each."""
    best = dict.fromkeys(works, float("inf"))
    for _ in range(repeat):
        for name, work in works.items():
            begin = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - begin)
    return best


def compare(rows: int, dim: int, repeat: int, folder: Path) -> None:
    """Print the table of both formats."""
    config = make_config(dim)
    store = filled_store(config, rows)
    data = config.SerializeToString()
    print(f"{rows:,} rows, dim {dim}, adagrad; {os.cpu_count()} cores; shortest of {repeat}")
    print(f"{'format':8}{'':10}{'ours s':>9}{'peer s':>9}{'ratio':>7}{'rows/s':>14}{'bytes/s':>16}{'file bytes':>16}")
    for kind in ("single", "multi"):
        table = TableContent("t", "multi" if kind == "multi" else "single", data, ("0.05",), store, TIME)
        prefix = folder / kind
        compressed = kind == "multi"

        def save(kind: str = kind, table: TableContent = table, prefix: Path = prefix) -> None:
            if kind == "single":
                sets.save_single(prefix, table, shards=1)
            else:
                sets.save_multi(prefix, [table], shards=1)

        save()
        path = folder / f"{kind}-00000-of-00001"
        raw = path.read_bytes()
        if compressed:
            sets.save_single(folder / "raw", TableContent("t", "single", data, ("0.05",), store, TIME), shards=1)
            raw = (folder / "raw-00000-of-00001").read_bytes()
        stream = memoryview(raw)

        def peer(stream: memoryview = stream, compressed: bool = compressed) -> None:
            write_same(folder / "peer", stream, compressed)

        def restore(kind: str = kind, prefix: Path = prefix, path: Path = path) -> None:
            drop_cache([path])
            if kind == "single":
                loaded = sets.load_single(prefix, data)
            else:
                loaded = sets.load_multi(prefix, {"t": data})["t"]
            fresh = empty_store(config)
            loaded.put_into(fresh)
            if fresh.size != rows:
                raise AssertionError(f"{fresh.size} rows came back")

        def reread(path: Path = path, compressed: bool = compressed) -> None:
            drop_cache([path])
            read_same([path], compressed)

        saved = shortest(repeat, {"ours": save, "peer": peer})
        read = shortest(repeat, {"ours": restore, "peer": reread})
        for what, times in (("save", saved), ("restore", read)):
            ours, other = times["ours"], times["peer"]
            print(
                f"{kind:8}{what:10}{ours:9.3f}{other:9.3f}{ours / other:7.2f}"
                f"{rows / ours:14,.0f}{len(stream) / ours:16,.0f}{path.stat().st_size:16,}"
            )


def large(rows: int, dim: int, folder: Path) -> None:
    """Save, verify and restore one large table."""

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6

    config = make_config(dim)
    store = filled_store(config, rows)
    print(f"{rows:,} rows, dim {dim}: filled, {sum(store.memory_usage().values()) / 1e9:.2f} GB, peak {peak():.2f} GB")
    begin = time.perf_counter()
    table = TableContent("t", "single", config.SerializeToString(), ("0.05",), store, TIME)
    sets.save_single(folder / "large", table)
    size = sum(path.stat().st_size for path in folder.glob("large-*"))
    seconds = time.perf_counter() - begin
    print(f"save    {seconds:7.1f} s {rows / seconds:12,.0f} rows/s {size / seconds:14,.0f} B/s, peak {peak():.2f} GB")
    expected = store.export(*store.items()[::-1]) if rows <= 1_000_000 else None
    del store, table
    begin = time.perf_counter()
    findings = verify(folder / "large")
    seconds = time.perf_counter() - begin
    print(f"verify  {seconds:7.1f} s {rows / seconds:12,.0f} rows/s, {findings.errors} errors, peak {peak():.2f} GB")
    begin = time.perf_counter()
    fresh = empty_store(config)
    sets.load_single(folder / "large", config.SerializeToString()).put_into(fresh)
    seconds = time.perf_counter() - begin
    print(f"restore {seconds:7.1f} s {rows / seconds:12,.0f} rows/s, {fresh.size:,} rows, peak {peak():.2f} GB")
    if fresh.size != rows or findings.errors:
        raise AssertionError("the table did not come back whole")
    if expected is not None and fresh.export(*fresh.items()[::-1]).weights.tobytes() != expected.weights.tobytes():
        raise AssertionError("the rows came back changed")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=16)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--large", action="store_true", help="one save, verify and restore instead")
    parser.add_argument("--folder", type=Path, default=None, help="where to write (default: the temporary directory)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="checkpoint-", dir=options.folder))
    try:
        if options.large:
            large(options.rows, options.dim, folder)
        else:
            compare(options.rows, options.dim, options.repeat, folder)
    finally:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
