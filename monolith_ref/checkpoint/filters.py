"""Files of admission filters: one per split, meta record first, then cells. Rule: checkpoints 4.5, filters 8."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from monolith_kernels import cells as kernels
from monolith_protos import hash_filter_pb2
from numpy.typing import NDArray

from monolith_ref.checkpoint import naming
from monolith_ref.checkpoint.commit import SetWriter
from monolith_ref.checkpoint.container import RecordBatch, RecordFile
from monolith_ref.checkpoint.damage import damage
from monolith_ref.errors import CheckpointError
from monolith_ref.table.admission import FilterState

__all__ = [
    "CELLS_PER_RECORD",
    "FILTER_STEM",
    "check_split",
    "describe_filter",
    "holds_elements",
    "read_filter",
    "read_split",
    "state_of_entry",
    "write_filter",
]

FILTER_STEM = "hash_filter_"
CELLS_PER_RECORD = 10_000
SPARE_CELLS = 64
FORWARD = 2
MAX_STEP = 16


def write_filter(writer: SetWriter, stem: str, state: FilterState) -> None:
    """Write the splits of a filter (a filter without splits writes nothing); ``stem`` is relative to the manifest."""
    count = len(state.cells) if state.kind != "sliding" else min(state.split_num, len(state.cells))
    for split in range(count):
        sink = writer.sink(naming.shard_name(stem, split, count))
        sink.write_payloads(_payloads(state, split, count))
        writer.finish(sink)


def _payloads(state: FilterState, split: int, count: int) -> Iterator[bytes]:
    meta = hash_filter_pb2.HashFilterSplitMetaDump(
        failure_count=state.failures[split],
        total_size=state.total_size,
        num_elements=state.num_elements[split],
        fill_rate=state.fill_rate,
    )
    if state.kind == "sliding":
        sliding = meta.sliding_hash_filter_meta
        sliding.split_num = count
        sliding.max_forward_step = FORWARD
        sliding.max_backward_step = len(state.cells) - FORWARD
        sliding.max_step = MAX_STEP
        sliding.head = state.head
        sliding.head_increment = state.head_increment & 0xFFFFFFFF
        sliding.failure_count = state.failure_count
    yield meta.SerializeToString()
    cells = state.cells[split]
    out = np.empty(kernels.cells_bound(CELLS_PER_RECORD), np.uint8)
    for begin in range(0, len(cells), CELLS_PER_RECORD):
        end = min(begin + CELLS_PER_RECORD, len(cells))
        size = kernels.encode_cells(cells, begin, end, out)
        yield out[:size].tobytes()


def read_filter(prefix: str | Path, paths: list[Path] | None = None) -> FilterState:
    """A filter's whole state; ``paths``: its files in order of split (None: found by name).

    CheckpointError for a missing split, splits that disagree, cells above 65,535 or beyond the end. The state has no
    capacity (files do not tell it) and the hash ``foreign``: who wrote it must say.
    """
    files = list(naming.find_shards(prefix).paths) if paths is None else paths
    state = FilterState("hash", hash="foreign")
    first: hash_filter_pb2.HashFilterSplitMetaDump | None = None
    for split, path in enumerate(files):
        meta, cells = read_split(path)
        if first is None:
            first = meta
            if meta.HasField("sliding_hash_filter_meta"):
                state.kind = "sliding"
        check_split(meta, first, len(files), path)
        state.cells.append(cells)
        state.num_elements.append(meta.num_elements)
        state.failures.append(meta.failure_count)
        state.split_num = len(files) if state.kind == "sliding" else 0
        if split == 0:
            sliding = meta.sliding_hash_filter_meta
            state.total_size, state.fill_rate = meta.total_size, meta.fill_rate
            state.head, state.head_increment = sliding.head, sliding.head_increment
            state.failure_count = sliding.failure_count if state.kind == "sliding" else meta.failure_count
    return state


def check_split(
    meta: hash_filter_pb2.HashFilterSplitMetaDump,
    first: hash_filter_pb2.HashFilterSplitMetaDump,
    count: int,
    path: Path,
) -> None:
    """CheckpointError (``splits_differ``) unless a split's meta agrees with split 0's and with the number of files."""

    def differs(text: str) -> CheckpointError:
        return damage("splits_differ", text, path, 0, 0)

    if (meta.total_size, meta.fill_rate) != (first.total_size, first.fill_rate):
        raise differs("total_size or fill_rate differs from that of split 0")
    if meta.sliding_hash_filter_meta != first.sliding_hash_filter_meta:
        raise differs("the meta of the whole filter differs from that in split 0")
    if not meta.HasField("sliding_hash_filter_meta"):
        return
    sliding = meta.sliding_hash_filter_meta
    if sliding.split_num != count:
        raise differs(f"split_num {sliding.split_num} in a set of {count} files")
    if (sliding.max_forward_step, sliding.max_step) != (FORWARD, MAX_STEP):
        raise differs(f"windows {sliding.max_forward_step} and {sliding.max_step}, not {FORWARD} and {MAX_STEP}")
    if sliding.max_backward_step != max(count, 5) - FORWARD:
        raise differs(f"backward window {sliding.max_backward_step} of {count} splits")
    if sliding.head >= max(count, 5):
        raise differs(f"head {sliding.head} of {count} splits")


def read_split(path: Path) -> tuple[hash_filter_pb2.HashFilterSplitMetaDump, NDArray[np.uint16]]:
    """Meta and cells of one file; cells that no record gives are free."""
    meta: hash_filter_pb2.HashFilterSplitMetaDump | None = None
    cells = np.zeros(0, np.uint16)
    file = RecordFile(path)
    for batch in file.batches():
        for k in range(len(batch)):
            place = batch.place(k)
            if meta is None:
                try:
                    meta = hash_filter_pb2.HashFilterSplitMetaDump.FromString(batch.payload(k))
                except DecodeError:
                    raise damage("malformed_message", "no HashFilterSplitMetaDump message", path, *place) from None
                continue
            offset, values = _cells(batch, k, path)
            end = offset + len(values)
            if end > meta.total_size + SPARE_CELLS:
                text = f"cells {offset} to {end} of {meta.total_size + SPARE_CELLS}"
                raise damage("bad_offset", text, path, *place)
            if end > len(cells):
                # Grown as cells really arrive, whatever total_size claims.
                grown = np.zeros(max(end, min(2 * len(cells), meta.total_size + SPARE_CELLS)), np.uint16)
                grown[: len(cells)] = cells
                cells = grown
            cells[offset:end] = values
    if meta is None:
        raise damage("truncated_record", "the file has no meta record", path, 0, 0)
    wanted = meta.total_size + SPARE_CELLS
    if len(cells) < wanted:
        # Short data leaves the rest free, but no file may claim more than a few times what it holds.
        if wanted > 64 * (path.stat().st_size + CELLS_PER_RECORD):
            raise damage("bad_offset", f"{len(cells)} cells where total_size claims {wanted}", path, 0, 0)
        cells = np.concatenate([cells, np.zeros(wanted - len(cells), np.uint16)])
    return meta, cells[:wanted]


def _cells(batch: RecordBatch, k: int, path: Path) -> tuple[int, NDArray[np.uint16]]:
    start, size = int(batch.starts[k]), int(batch.lengths[k])
    values = np.empty(size, np.uint16)
    offset, count = kernels.decode_cells(batch.data, start, start + size, values)
    if count >= 0:
        return int(offset), values[:count]
    place = batch.place(k)
    try:
        message = hash_filter_pb2.HashFilterSplitDataDump.FromString(batch.payload(k))
    except DecodeError:
        raise damage("malformed_message", "no HashFilterSplitDataDump message", path, *place) from None
    found = np.array(message.data, np.uint32)
    if (found > kernels.GREATEST).any():
        raise damage("bad_cell", f"a cell is {found.max()}, the most is {kernels.GREATEST}", path, *place)
    return message.offset, found.astype(np.uint16)


def describe_filter(state: FilterState | None) -> dict[str, Any] | None:
    """What the manifest says of a rank's filter."""
    if state is None:
        return None
    return {
        "kind": state.kind,
        "hash": state.hash,
        "signature": "hash" if state.signature_hash else "fid",
        "capacity": state.capacity,
        "split_num": state.split_num,
        "generator": list(state.generator) if state.generator is not None else None,
    }


def state_of_entry(entry: dict[str, Any], state: FilterState | None) -> FilterState:
    """A filter's state from its manifest entry and its files (None: it has none)."""
    found = state if state is not None else FilterState(str(entry["kind"]))
    found.kind = str(entry["kind"])
    found.hash = str(entry["hash"])
    found.signature_hash = entry["signature"] == "hash"
    found.capacity = int(entry["capacity"])
    found.split_num = int(entry["split_num"])
    generator = entry.get("generator")
    found.generator = (int(generator[0]), int(generator[1])) if generator is not None else None
    return found


def holds_elements(state: FilterState | None) -> bool:
    """Whether a filter has counted anything."""
    return state is not None and any(state.num_elements)
