"""From the files of a configuration to rows for training and rows for evaluation. Rule: job 1."""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monolith_ref.errors import ConfigError, EnvironmentMissing, FormatError, MonolithRefError
from monolith_ref.features.ragged import Batch, Ragged
from monolith_ref.sync.communicator import Communicator, SerialCommunicator
from monolith_ref.training.dealing import row_range
from monolith_ref.training.input.cells import Table
from monolith_ref.training.input.encode import encode, encode_times
from monolith_ref.training.input.label import parse_label
from monolith_ref.training.input.mapping import ColumnMap, InputMap
from monolith_ref.training.input.readers import read_files
from monolith_ref.training.input.source import LogSource, take_rows
from monolith_ref.training.order import row_order
from monolith_ref.training.recipe.load import TrainConfig
from monolith_ref.training.recipe.model import ModelSpec

__all__ = ["SPLIT_TAG", "Dataset", "expand_files", "input_map", "open_dataset"]

SPLIT_TAG = 6
"""Stream of the order by which a random split takes its rows."""


@dataclass(frozen=True)
class Dataset:
    """Rows of a job; the same on every rank.

    Attributes
    ----------
    train : LogSource
    evaluation : Batch or None
        All rows kept apart, in file order.
    digest : str
        SHA-256 (hex) of both.
    files : tuple of str
    """

    train: LogSource
    evaluation: Batch | None
    digest: str
    files: tuple[str, ...]


def input_map(model: ModelSpec, label: str, time: str | None = None) -> InputMap:
    """How a model's inputs come from columns."""
    columns = tuple(
        ColumnMap(feature.name, feature.slot, feature.separator, feature.column, feature.kind == "id")
        for feature in model.embedded
    )
    return InputMap(columns, label, tuple((feature.name, feature.column) for feature in model.numbers), time)


def expand_files(patterns: Sequence[str]) -> tuple[str, ...]:
    """Paths of all patterns in order, the matches of each in string order. ConfigError where one matches nothing, or
    a file is there twice."""
    found: list[str] = []
    for pattern in patterns:
        matches = sorted(glob.glob(pattern, recursive=True)) if glob.has_magic(pattern) else [pattern]
        if not matches:
            raise ConfigError(f"input.files: nothing matches {pattern!r}")
        found += matches
    for path in found:
        if found.count(path) > 1:
            raise ConfigError(f"input.files: {path} is there twice")
    return tuple(found)


def _check_labels(table: Table, rows: Batch, expression: str, limits: tuple[float, float] | None) -> None:
    label = rows.label
    low, high = limits if limits is not None else (-np.inf, np.inf)
    outside = np.flatnonzero(~((label >= low) & (label <= high) & np.isfinite(label)))
    if len(outside):
        row = int(outside[0])
        columns = parse_label(expression).columns
        name = columns[0][0] if columns else "label"
        raise table.fault(row, name, f"the label {label[row]:g} is outside of {low:g} to {high:g}")


def _encoded(
    config: TrainConfig, mapping: InputMap, paths: Sequence[str], rank: int, ranks: int
) -> tuple[Batch, NDArray[np.int64]]:
    """This rank's share of the rows and their times (0 without a column of them): of many files some, else of every
    file some rows."""
    if len(paths) >= ranks:
        mine = paths[slice(*row_range(rank, ranks, len(paths)))]
        table = read_files(mine, mapping.wanted(), config.input.format, empty=True)
    else:
        table = read_files(paths, mapping.wanted(), config.input.format)
        table = table.part(*row_range(rank, ranks, table.rows))
    rows = encode(table, mapping)
    limits = (0.0, 1.0) if config.model.loss == "bce" else config.input.label_range
    _check_labels(table, rows, mapping.label, limits)
    times = np.zeros(rows.rows, np.int64) if mapping.time is None else encode_times(table, mapping.time)
    return rows, times


def _read(
    config: TrainConfig, patterns: Sequence[str], mapping: InputMap, communicator: Communicator
) -> tuple[Batch, NDArray[np.int64], tuple[str, ...]]:
    """All rows of some files, their times, and the paths; ranks share the work, and the first error. Collective."""
    error: MonolithRefError | None = None
    paths: tuple[str, ...] = ()
    try:
        paths = expand_files(patterns)
        rows, times = _encoded(config, mapping, paths, communicator.rank, communicator.size)
    except MonolithRefError as caught:
        error = caught
    said = json.dumps(None if error is None else [type(error).__name__, str(error)]).encode()
    for text in communicator.allgather_bytes(said, "input: errors"):
        found = json.loads(text)
        if found is not None:
            # Where another rank found it, its words are all that is known.
            raise error if error is not None and [type(error).__name__, str(error)] == found else _told(*found)
    everything = _gathered(rows, communicator)
    if not everything.rows:
        raise ConfigError(f"{', '.join(paths)}: there are no rows")
    return everything, np.concatenate(communicator.allgatherv(times, "input: times")), paths


def _told(kind: str, text: str) -> MonolithRefError:
    kinds: dict[str, type[MonolithRefError]] = {
        "EnvironmentMissing": EnvironmentMissing,
        "FormatError": FormatError,
        "CheckpointError": FormatError,
    }
    return kinds.get(kind, ConfigError)(text)


def _gathered(rows: Batch, communicator: Communicator) -> Batch:
    """The rows of all ranks, in rank order."""
    if communicator.size == 1:
        return rows
    ragged = {}
    for name, part in rows.ragged.items():
        values = np.concatenate(communicator.allgatherv(part.values, "input: ids"))
        ragged[name] = Ragged.from_lengths(
            values, np.concatenate(communicator.allgatherv(part.lengths(), "input: ids"))
        )
    dense = {name: np.concatenate(communicator.allgatherv(part, "input: numbers")) for name, part in rows.dense.items()}
    return Batch(ragged, dense, len(dense["label"]))


def _split(config: TrainConfig, rows: int, times: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers for training and for evaluation, each in file order."""
    spec = config.evaluation
    kept = round(spec.ratio * rows)
    if not 0 < kept < rows:
        raise ConfigError(f"evaluation.ratio {spec.ratio} of {rows} rows leaves nothing to train on, or to evaluate on")
    if spec.split == "random":
        order = row_order(spec.seed, 0, rows, SPLIT_TAG)
    else:
        order = np.argsort(times, kind="stable")
    return np.sort(order[: rows - kept]), np.sort(order[rows - kept :])


def open_dataset(config: TrainConfig, batch_size: int, communicator: Communicator | None = None) -> Dataset:
    """Read, hash, label and split all rows; every rank has all of them, and has made its share. Collective.

    FormatError (path, record, column) or ConfigError, on every rank, for what does not fit; nothing has been trained
    then.
    """
    mapping = input_map(config.model, config.input.label, config.input.time_column)
    ranks = communicator if communicator is not None else SerialCommunicator()
    rows, times, paths = _read(config, config.input.files, mapping, ranks)
    evaluation: Batch | None = None
    if config.evaluation.files:
        evaluation, _, more = _read(config, config.evaluation.files, mapping, ranks)
        paths += more
    elif config.evaluation.wanted:
        chosen, kept = _split(config, rows.rows, times)
        evaluation = take_rows(rows, kept)
        rows, times = take_rows(rows, chosen), times[chosen]
    settings = config.settings
    source = LogSource(
        mapping,
        rows,
        batch_size=batch_size,
        epochs=settings["training.epochs"],
        seed=settings["training.seed"],
        shuffle=config.input.shuffle,
        times=times,
    )
    return Dataset(source, evaluation, _digest(rows, times if mapping.time is not None else None, evaluation), paths)


def _digest(rows: Batch, times: NDArray[np.int64] | None, evaluation: Batch | None) -> str:
    digest = hashlib.sha256()
    for part in (rows, evaluation) if evaluation is not None else (rows,):
        for name, ragged in part.ragged.items():
            digest.update(f"{name} {len(ragged.values)}\n".encode())
            digest.update(ragged.lengths().astype("<i8").data)
            digest.update(ragged.values.astype("<i8").data)
        for name, array in part.dense.items():
            digest.update(f"{name} {part.rows}\n".encode())
            digest.update(array.astype("<f4").data)
    if times is not None:
        digest.update(times.astype("<i8").data)
    return digest.hexdigest()
