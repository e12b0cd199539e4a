"""Readers of log files: CSV and TSV with a header, JSON lines, TFRecord of tf.Example (all also gzipped), Parquet.
Rule: job 1.

Each reader appends the wanted columns of one file to a :class:`~monolith_ref.training.input.cells.Table`. What is
wrong with a file is a FormatError with its path and record (from 0, without the header); a column that no record
has is a ConfigError.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO, cast

from google.protobuf.message import DecodeError
from monolith_protos.example_pb2 import ExampleEntries

from monolith_ref.checkpoint.container import RecordFile
from monolith_ref.errors import ConfigError, EnvironmentMissing, FormatError
from monolith_ref.training.input.cells import Cell, Table, missing_column

__all__ = ["FORMATS", "read_files"]

_TYPED = re.compile(r"^(.+):(?:token|token_seq|float|float_seq)$")


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    """The file as text, UTF-8 (a byte order mark is dropped), gunzipped if its name ends in .gz; faults become
    errors."""
    try:
        with (
            gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as raw,
            io.TextIOWrapper(cast(BinaryIO, raw), encoding="utf-8-sig", newline="") as text,
        ):
            yield text
    except UnicodeDecodeError as error:
        raise FormatError(f"not UTF-8 text: {error.reason}", path=str(path)) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FormatError(f"not a whole gzip file: {error}", path=str(path)) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot read: {error.strerror}") from None


def _header(cells: list[str], path: Path, wanted: Sequence[str]) -> list[int]:
    """Positions of the wanted columns; headers typed as ``name:token`` may be asked for without their type."""
    typed = [_TYPED.match(cell) for cell in cells]
    plain = [match.group(1) for match in typed if match] if all(typed) else []
    names = plain if plain and not all(name in cells for name in wanted) else cells
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise FormatError(f"the header names column {twice!r} twice", path=str(path))
    for name in wanted:
        if name not in names:
            raise missing_column(str(path), name, names)
    return [names.index(name) for name in wanted]


def _read_delimited(path: Path, table: Table, delimiter: str) -> None:
    # Tab-separated logs hold no quoting: a quote is a character like any other.
    quoting: Literal[0, 3] = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    with _text(path) as text:
        reader = csv.reader(text, delimiter=delimiter, quoting=quoting, strict=True)
        rows: list[list[str]] = []
        try:
            header = next(reader, None)
            if header is None:
                raise FormatError("the file is empty: a header is expected", path=str(path))
            places = _header(header, path, table.names)
            for cells in reader:
                if len(cells) == len(header):
                    rows.append(cells)
                elif cells:
                    raise FormatError(
                        f"line {reader.line_num} has {len(cells)} cells, the header {len(header)}",
                        path=str(path),
                        record=len(rows),
                    )
        except csv.Error as error:
            raise FormatError(f"line {reader.line_num}: {error}", path=str(path), record=len(rows)) from None
    columns: list[Any] = list(zip(*rows, strict=True)) if rows else [()] * len(header)
    table.append_columns([columns[place] for place in places], len(rows))


def _json_cell(value: Any, path: Path, record: int, name: str) -> Cell:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return value
    if isinstance(value, list) and all(isinstance(v, str | int | float) and not isinstance(v, bool) for v in value):
        return value
    raise FormatError(
        f"column {name!r}: expected a text, a number or a list of them, found {json.dumps(value)[:40]}",
        path=str(path),
        record=record,
    )


class _RepeatedError(Exception):
    """A key of a JSON object that is there twice."""


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise _RepeatedError(next(name for name in names if names.count(name) > 1))
    return made


def _read_json_lines(path: Path, table: Table) -> None:
    columns: list[list[Cell]] = [[] for _ in table.names]
    seen: set[str] = set()
    record = 0
    with _text(path) as text:
        for line in text:
            if not line.strip():
                continue
            try:
                value = json.loads(line, object_pairs_hook=_distinct)
            except _RepeatedError as error:
                raise FormatError(f"the object has {error.args[0]!r} twice", path=str(path), record=record) from None
            except ValueError as error:
                raise FormatError(f"not JSON: {error}", path=str(path), record=record) from None
            if not isinstance(value, dict):
                raise FormatError("expected a JSON object", path=str(path), record=record)
            seen.update(value)
            for name, cells in zip(table.names, columns, strict=True):
                cells.append(_json_cell(value.get(name), path, record, name))
            record += 1
    _finish(path, table, columns, record, seen)


def _example_cell(feature: Any, path: Path, record: int, name: str) -> Cell:
    kind = feature.WhichOneof("kind")
    if kind is None:
        return None
    values = list(getattr(feature, kind).value)
    if kind == "bytes_list":
        try:
            values = [value.decode() for value in values]
        except UnicodeDecodeError:
            raise FormatError(f"column {name!r}: not UTF-8 text", path=str(path), record=record) from None
    return values[0] if len(values) == 1 else values


@contextmanager
def _unzipped(path: Path) -> Iterator[Path]:
    """The file itself, or what its gzip holds as a file that goes away."""
    if path.suffix != ".gz":
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / path.stem
        try:
            with gzip.open(path, "rb") as packed, plain.open("wb") as out:
                shutil.copyfileobj(packed, out)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise FormatError(f"not a whole gzip file: {error}", path=str(path)) from None
        yield plain


def _read_records(path: Path, table: Table) -> None:
    if not path.is_file():
        raise ConfigError(f"{path}: cannot read: there is no such file")
    with _unzipped(path) as plain:
        try:
            _read_examples(path, plain, table)
        except FormatError as error:
            if plain is path or error.path == str(path):
                raise
            named = FormatError(str(error).replace(str(plain), str(path)))
            named.path, named.record = str(path), error.record
            raise named from None


def _read_examples(path: Path, plain: Path, table: Table) -> None:
    """Records of ``plain``, called ``path`` in errors."""
    columns: list[list[Cell]] = [[] for _ in table.names]
    seen: set[str] = set()
    example = ExampleEntries()
    record = 0
    for batch in RecordFile(plain).batches():
        for k in range(len(batch)):
            try:
                example.ParseFromString(batch.payload(k))
            except DecodeError:
                raise FormatError("not a tf.Example", path=str(path), record=record) from None
            entries = example.features.feature
            features = {entry.key: entry.value for entry in entries}
            if len(features) < len(entries):
                names = [entry.key for entry in entries]
                twice = next(name for name in names if names.count(name) > 1)
                raise FormatError(f"the example has feature {twice!r} twice", path=str(path), record=record)
            seen.update(features)
            for name, cells in zip(table.names, columns, strict=True):
                cells.append(_example_cell(features[name], path, record, name) if name in features else None)
            record += 1
    _finish(path, table, columns, record, seen)


def _finish(path: Path, table: Table, columns: list[list[Cell]], rows: int, seen: set[str]) -> None:
    if rows:
        for name in table.names:
            if name not in seen:
                raise missing_column(str(path), name, sorted(seen))
    table.append_columns(columns, rows)


def _read_parquet(path: Path, table: Table) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise EnvironmentMissing(
            f"{path}: Parquet needs pyarrow ({error}): pip install 'monolith-ref[parquet]'"
        ) from None
    try:
        file = parquet.ParquetFile(path)
        names = file.schema_arrow.names
        for name in table.names:
            if name not in names:
                raise missing_column(str(path), name, names)
            if names.count(name) > 1:
                raise FormatError(f"the schema has column {name!r} twice", path=str(path))
        record = 0
        for batch in file.iter_batches(columns=list(table.names)):
            columns = []
            for name in table.names:
                cells = batch.column(batch.schema.get_field_index(name)).to_pylist()
                columns.append([_parquet_cell(cell, path, record + row, name) for row, cell in enumerate(cells)])
            table.append_columns(columns, batch.num_rows)
            record += batch.num_rows
    except pyarrow.ArrowInvalid as error:
        raise FormatError(f"not a Parquet file: {error}", path=str(path)) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot read: {error}") from None


def _parquet_cell(value: Any, path: Path, record: int, name: str) -> Cell:
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            raise FormatError(f"column {name!r}: not UTF-8 text", path=str(path), record=record) from None
    if isinstance(value, str) or value is None:
        return value
    return _json_cell(value, path, record, name)


FORMATS: dict[str, Callable[[Path, Table], None]] = {
    "csv": lambda path, table: _read_delimited(path, table, ","),
    "tsv": lambda path, table: _read_delimited(path, table, "\t"),
    "jsonl": _read_json_lines,
    "tfrecord": _read_records,
    "parquet": _read_parquet,
}
"""Name of a format -> what appends a file's wanted columns to a table."""

_ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".inter": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".tfrecord": "tfrecord",
    ".tfrecords": "tfrecord",
    ".parquet": "parquet",
}


def _reader(path: Path, form: str | None) -> Callable[[Path, Table], None]:
    if form is not None:
        return FORMATS[form]
    inner = path.with_suffix("") if path.suffix == ".gz" else path
    found = _ENDINGS.get(inner.suffix)
    if found is None or (found == "parquet" and inner is not path):
        raise ConfigError(f"{path}: the name must end in {', '.join(_ENDINGS)} (all but Parquet also in .gz)")
    return FORMATS[found]


def read_files(
    paths: Sequence[str | Path], columns: Sequence[str], form: str | None = None, *, empty: bool = False
) -> Table:
    """The wanted columns of all files, in the order given; ``form`` is a name of :data:`FORMATS`, or None: by the
    ending of each name. ConfigError without files or, unless they may be ``empty``, without rows."""
    if not paths:
        raise ConfigError("no input file was given")
    readers = [(Path(path), _reader(Path(path), form)) for path in paths]
    table = Table(columns)
    for path, reader in readers:
        table.begin_file(str(path))
        reader(path, table)
    if not table.rows and not empty:
        raise ConfigError(f"{', '.join(str(path) for path in paths)}: there are no rows")
    return table
