"""From the files of a configuration to rows for training and rows for evaluation. Rule: job 1."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monolith_ref.errors import ConfigError
from monolith_ref.features.ragged import Batch
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


def _read(
    config: TrainConfig, patterns: Sequence[str], mapping: InputMap
) -> tuple[Batch, NDArray[np.int64] | None, tuple[str, ...]]:
    """All rows of some files, their times, and the paths."""
    paths = expand_files(patterns)
    table = read_files(paths, mapping.wanted(), config.input.format)
    rows = encode(table, mapping)
    limits = config.input.label_range
    _check_labels(table, rows, mapping.label, (0.0, 1.0) if config.model.loss == "bce" else limits)
    return rows, None if mapping.time is None else encode_times(table, mapping.time), paths


def _split(
    config: TrainConfig, rows: int, times: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers for training and for evaluation, each in file order."""
    spec = config.evaluation
    kept = round(spec.ratio * rows)
    if not 0 < kept < rows:
        raise ConfigError(f"evaluation.ratio {spec.ratio} of {rows} rows leaves nothing to train on, or to evaluate on")
    if spec.split == "random":
        order = row_order(spec.seed, 0, rows, SPLIT_TAG)
    else:
        assert times is not None
        order = np.argsort(times, kind="stable")
    return np.sort(order[: rows - kept]), np.sort(order[rows - kept :])


def open_dataset(config: TrainConfig, batch_size: int) -> Dataset:
    """Read, hash, label and split all rows.

    FormatError (path, record, column) or ConfigError for what does not fit; nothing has been trained then.
    """
    mapping = input_map(config.model, config.input.label, config.input.time_column)
    rows, times, paths = _read(config, config.input.files, mapping)
    evaluation: Batch | None = None
    if config.evaluation.files:
        evaluation, _, more = _read(config, config.evaluation.files, mapping)
        paths += more
    elif config.evaluation.wanted:
        chosen, kept = _split(config, rows.rows, times)
        evaluation = take_rows(rows, kept)
        rows, times = take_rows(rows, chosen), None if times is None else times[chosen]
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
    return Dataset(source, evaluation, _digest(rows, times, evaluation), paths)


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
