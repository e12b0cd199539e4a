"""Files of sliding filters, naively: a file a split, its meta first, then cells. Rule: checkpoints 4.5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monolith_protos import hash_filter_pb2

from monolith_conformance.oracle.files import DamagedFile, find_shards, frame, payloads_of, shard_name
from monolith_conformance.oracle.filters import OracleSlidingFilter

__all__ = ["read_filter", "write_filter"]

CELLS = 10_000
SPARE = 64


def write_filter(prefix: Path, made: OracleSlidingFilter) -> int:
    """Write every split; returns their number."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    count = min(made.split_num, made.k)
    for number, split in enumerate(made.splits[:count]):
        meta = hash_filter_pb2.HashFilterSplitMetaDump(
            failure_count=split.failure_count,
            total_size=split.total_size,
            num_elements=split.num_elements,
            fill_rate=1.2,
        )
        whole = meta.sliding_hash_filter_meta
        whole.split_num, whole.max_forward_step, whole.max_backward_step, whole.max_step = count, 2, made.k - 2, 16
        whole.head, whole.head_increment, whole.failure_count = made.head, made.head_increment, made.failure_count
        records = [meta.SerializeToString()]
        for begin in range(0, len(split.cells), CELLS):
            part = hash_filter_pb2.HashFilterSplitDataDump(offset=begin, data=split.cells[begin : begin + CELLS])
            records.append(part.SerializeToString())
        data = b"".join(piece for record in records for piece in frame(record))
        (prefix.parent / shard_name(prefix.name, number, count)).write_bytes(data)
    return count


def read_filter(prefix: Path, made: OracleSlidingFilter) -> int:
    """Read every split into a filter of the same shape, once all of them have been checked; returns their number."""
    found = [_split(path, made) for path in find_shards(prefix)]
    first = found[0][0].sliding_hash_filter_meta
    for meta, _ in found:
        whole = meta.sliding_hash_filter_meta
        if whole != first or (whole.split_num, whole.max_forward_step, whole.max_step) != (made.k, 2, 16):
            raise DamagedFile("the splits tell of another filter, or of several")
        if whole.max_backward_step != made.k - 2 or whole.head >= made.k or len(found) != made.k:
            raise DamagedFile(f"{len(found)} splits, head {whole.head}, backward {whole.max_backward_step}")
    for split, (meta, cells) in zip(made.splits, found, strict=True):
        split.cells = cells
        split.num_elements, split.failure_count = meta.num_elements, meta.failure_count
    made.head, made.head_increment, made.failure_count = first.head, first.head_increment, first.failure_count
    return len(found)


def _split(path: Path, made: OracleSlidingFilter) -> tuple[Any, list[int]]:
    records = payloads_of(path.read_bytes())
    if not records:
        raise DamagedFile(f"{path.name}: no meta record")
    try:
        meta = hash_filter_pb2.HashFilterSplitMetaDump.FromString(records[0])
        parts = [hash_filter_pb2.HashFilterSplitDataDump.FromString(record) for record in records[1:]]
    except Exception as error:  # protobuf's DecodeError
        raise DamagedFile(f"{path.name}: {error}") from None
    if not meta.HasField("sliding_hash_filter_meta") or meta.total_size != made.splits[0].total_size:
        raise DamagedFile(f"{path.name}: a split of {meta.total_size} cells")
    cells = [0] * (meta.total_size + SPARE)
    for part in parts:
        if part.offset + len(part.data) > len(cells):
            raise DamagedFile(f"{path.name}: cells beyond the end")
        if any(cell > 0xFFFF for cell in part.data):
            raise DamagedFile(f"{path.name}: a cell above 65,535")
        cells[part.offset : part.offset + len(part.data)] = part.data
    return meta, cells
