"""Wrong variants of files: containers, checksums, shards, compressed blocks, what a record holds, what is refused."""

from __future__ import annotations

from typing import Any

import google_crc32c
import numpy as np

from monolith_conformance.mutants.mutant import Mutant, Replacement, edit, wrap
from monolith_ref.errors import CheckpointError

__all__ = ["MUTANTS"]

FILES, FILTERS = "oracle.files", "oracle.filter_files"
ROWS, BACKEND = "backends.oracle_files", "backends.oracle"


def _file(name: str, sentence: str, *replacements: Replacement, about: str = "single", **settings: Any) -> Mutant:
    settings.setdefault("killed_by", (f"checkpoint/{about}/", f"checkpoint/reject-{about}/"))
    both = frozenset({f"checkpoint.{about}.read", f"checkpoint.{about}.write"})
    return Mutant(name, sentence, replacements, about=both, **settings)


def _of(target: str, name: str, sentence: str, *changes: tuple[str, str], **settings: Any) -> Mutant:
    return _file(name, sentence, edit(target, *changes), **settings)


def _unreadable(original: Any) -> Any:
    def read(*arguments: Any) -> Any:
        raise CheckpointError("no format of ours")

    return read


def _as_json(original: Any) -> Any:
    """Records of rows that went through a format without NaN and infinities."""

    def entry(row: Any, rules: Any, **named: Any) -> Any:
        row.num = np.where(np.isfinite(row.num), row.num, np.float32(0))
        states = [
            {k: np.where(np.isfinite(v), v, np.float32(0)) if np.ndim(v) else v for k, v in state.items()}
            for state in row.opt
        ]
        row.opt = states
        return original(row, rules, **named)

    return entry


def _plain_crc(original: Any) -> Any:
    return lambda data: int(google_crc32c.value(data))


_PAYLOADS = f"{FILES}:_payloads"

MUTANTS: tuple[Mutant, ...] = (
    _file("files-of-another-format", "files that cannot be read", wrap(f"{FILES}:read_single", _unreadable),
          wrap(f"{FILES}:read_multi", _unreadable), deviation=31),
    _file("files-as-json", "values that are not finite written as zero", wrap(f"{ROWS}:entry_of", _as_json),
        deviation=32),
    _file("files-without-mask", "checksums that are not masked", wrap(f"{FILES}:masked_crc", _plain_crc)),
    _of(f"{FILES}:masked_crc", "files-other-rotation", "checksums rotated by 17 to the right",
        ("crc >> 15 | crc << 17", "crc >> 17 | crc << 15")),
    _of(f"{FILES}:frame", "files-long-lengths", "lengths that count the checksums",
        ('struct.pack("<Q", len(payload))', 'struct.pack("<Q", len(payload) + 16)')),
    _of(f"{FILES}:frame", "files-big-endian", "lengths with the most significant byte first",
        ('struct.pack("<Q", len(payload))', 'struct.pack(">Q", len(payload))')),
    _of(_PAYLOADS, "files-length-unchecked", "lengths whose checksum nobody looks at",
        ("masked_crc(data[at : at + 8]):", "masked_crc(data[at : at + 8]) and False:")),
    _of(_PAYLOADS, "files-data-unchecked", "records whose checksum nobody looks at",
        ("!= masked_crc(payload):", "!= masked_crc(payload) and False:")),
    _of(_PAYLOADS, "files-cut-record-ends", "a cut record as the end of a file",
        ('raise DamagedFile(f"byte {at}: a cut record")', "return")),
    _of(f"{FILES}:payloads_of", "files-no-stray-bytes", "no byte allowed after the last record",
        ("_payloads(data, 11)", "_payloads(data, 0)")),
    _of(f"{FILES}:shard_name", "files-shards-from-one", "shards counted from 1", ("{shard:05d}", "{shard + 1:05d}")),
    _of(f"{FILES}:shard_name", "files-names-of-six-digits", "numbers of six digits in names",
        ("{stem}-{shard:05d}-of-{shards:05d}", "{stem}-{shard:06d}-of-{shards:06d}")),
    _of(f"{FILES}:find_shards", "files-missing-shards", "a set that is read without its missing shards",
        ("if not found or len(counts) != 1 or sorted(found) != list(range(next(iter(counts)))):", "if not found:")),
    _of(f"{FILES}:find_shards", "files-any-name", "leftovers and other names read too", ("match[1] == prefix.name",
        "match[1].startswith(prefix.name)")),
    _of(f"{FILES}:find_shards", "files-last-shard-first", "the last shard read first", ("for shard in sorted(found)]",
        "for shard in sorted(found, reverse=True)]")),
    _of(f"{FILES}:_dealt", "files-last-row-lost", "the last row left out", ("(s + 1) * len(payloads) // shards",
        "min((s + 1) * len(payloads) // shards, max(len(payloads) - 1, 1))")),
    _of(f"{ROWS}:shard_count", "files-one-more-shard", "a shard more than the original's rule gives",
        ("max(1, rows // 1_000_000)", "max(1, rows // 1_000_000) + 1")),
    _of(f"{ROWS}:written_rows", "files-keep-stale-rows", "stale rows in files",
        ("if not days.stale(row.id, row.ts, table.max_ts)", ""),
        killed_by=("checkpoint/expiry/",), deviation=None),
    _of(f"{ROWS}:written_rows", "files-expire-by-newest-row", "ages against the newest row that is left",
        ("row.ts, table.max_ts)", "row.ts, max(kept.time for kept in table.rows.values()))"),
        killed_by=("checkpoint/expiry/",)),
    _of(f"{ROWS}:rows_of", "files-id-optional", "a record without an id read as that of 0",
        ('raise CheckpointError("a record has no id")', "pass")),
    _of(f"{BACKEND}:_Table._check_row", "files-wide-row-cut", "a row that is too wide cut to fit",
        ('raise ArgumentError(f"id {row.id}: {len(row.num)} floats for a row of {self.dim}")',
        "row.num = row.num[: self.dim]")),
    _of(f"{BACKEND}:_Table._check_row", "files-short-state", "a state of another length filled up",
        ('raise ArgumentError(f"id {row.id}: the state of {segment.rule} has another shape")',
        "state.update(expected)")),
    _of(f"{BACKEND}:_Table.refill", "files-read-on-top", "rows that are read added to those that are there",
        ("if clear:", "if False:")),
    _of(f"{BACKEND}:_Table.refill", "files-keep-latest", "a latest update that reading leaves as it was",
        ("self.table.max_ts = 0", "pass"), killed_by=("checkpoint/expiry/",)),
    _of(f"{FILES}:in_blocks", "multi-blocks-too-large", "blocks of twice the size",
        ("> BLOCK:\n                flush(buffer)", "> 2 * BLOCK:\n                flush(buffer)"), about="multi"),
    _of(f"{FILES}:in_blocks", "multi-little-endian", "block lengths with the least significant byte first",
        ('struct.pack(">I", len(packed))', 'struct.pack("<I", len(packed))'), about="multi"),
    _of(f"{FILES}:in_blocks", "multi-uncompressed", "blocks that are not compressed",
        ("bytes(cramjam.snappy.compress_raw(data))", "data"), about="multi"),
    _of(f"{FILES}:blocks_of", "multi-large-blocks-read", "blocks beyond 262,144 bytes read",
        ("if len(plain) > BLOCK:", "if False:"), about="multi"),
    _of(f"{FILES}:write_multi", "multi-tables-backwards", "tables in reverse order of their names",
        ("sorted(tables, key=str.encode)", "sorted(tables, key=str.encode, reverse=True)"), about="multi"),
    _of(f"{FILES}:read_multi", "multi-too-few-rows", "fewer rows than the contents say read without a word",
        ("if len(part) < entry.num_entries:", "if False:"), about="multi"),
    _of(f"{FILES}:read_multi", "multi-first-shard-only", "the first shard of a set alone",
        ("for shard, path in enumerate(paths):", "for shard, path in enumerate(paths[:1]):"), about="multi"),
    _of(f"{FILTERS}:write_filter", "filter-file-without-spare", "cells without the spare ones",
        ("range(0, len(split.cells), CELLS)", "range(0, len(split.cells) - SPARE, CELLS)"),
        ("split.cells[begin : begin + CELLS]", "split.cells[: split.total_size][begin : begin + CELLS]"),
        about="filter"),
    _of(f"{FILTERS}:write_filter", "filter-file-other-window", "a backward window of all splits",
        ("2, made.k - 2, 16", "2, made.k, 16"), about="filter"),
    _of(f"{FILTERS}:read_filter", "filter-read-forgets-head", "a head that starts at 0 after reading",
        ("made.head, made.head_increment, made.failure_count =", "made.failure_count, _, _ ="), about="filter"),
    _of(f"{FILTERS}:read_filter", "filter-read-unchecked", "splits that nobody compares", ("if whole != first or",
        "if False and"), ("if whole.max_backward_step", "if False and whole.max_backward_step"), about="filter"),
    _of(f"{FILTERS}:_split", "filter-read-large-cells", "cells above 65,535 read",
        ("if any(cell > 0xFFFF for cell in part.data):", "if False:"), about="filter"),
)  # fmt: skip
