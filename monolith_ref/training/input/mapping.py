"""The map: which columns are features, their slots, and what the label is. Rule: job 1.

As a TOML file::

    label = "rating >= 4"

    [[columns]]
    name = "user_id"

    [[columns]]
    name = "genres"
    slot = 6              # else 1 + position
    separator = " "       # cells hold several values

or from values of one's own: :func:`make_map`.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monolith_ref.errors import ConfigError
from monolith_ref.fid import V2_MAX_SLOT
from monolith_ref.training.input.label import parse_label

__all__ = ["ColumnMap", "InputMap", "load_map", "make_map"]


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """One categorical column.

    Attributes
    ----------
    name : str
        Of the feature.
    slot : int
        1 + position unless given.
    separator : str or None
        Between the values of cells that hold several.
    column : str or None
        Of the file, where it is not ``name``.
    plain : bool
        Values are whole numbers in 0..2^48-1, the lower bits of the ids, and are not hashed.
    """

    name: str
    slot: int
    separator: str | None = None
    column: str | None = None
    plain: bool = False

    @property
    def source(self) -> str:
        """The column of the file."""
        return self.name if self.column is None else self.column


@dataclass(frozen=True, slots=True)
class InputMap:
    """What becomes of a file's columns.

    Attributes
    ----------
    columns : tuple of ColumnMap
        Categorical ones, in order: a feature's place in x.
    label : str
        The label expression (``rating >= 4``).
    numbers : tuple of (name, column)
        Inputs that are numbers.
    time : str or None
        Column of seconds since the epoch.
    """

    columns: tuple[ColumnMap, ...]
    label: str
    numbers: tuple[tuple[str, str], ...] = ()
    time: str | None = None

    def wanted(self) -> list[str]:
        """The columns of a file that are read."""
        names = [column.source for column in self.columns]
        names += [column for _, column in self.numbers]
        names += [name for name, _ in parse_label(self.label).columns]
        return list(dict.fromkeys(names if self.time is None else [*names, self.time]))

    def canonical(self) -> str:
        """The map as one line of JSON: equal maps, equal text."""
        columns = [[column.name, column.slot, column.separator] for column in self.columns]
        return json.dumps({"columns": columns, "label": self.label}, ensure_ascii=False, sort_keys=True)

    def digest(self) -> str:
        """SHA-256 (hex) of the canonical text: part of configuration digests."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()


def _reject_unknown(keys: Iterable[str], known: Sequence[str], where: str) -> None:
    for key in keys:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
            raise ConfigError(f"{where}: unknown key {key!r}; the nearest known one is {near[0]!r}")


def _column(entry: Any, position: int, where: str) -> ColumnMap:
    here = f"{where}: columns[{position}]"
    if isinstance(entry, str):
        entry = {"name": entry}
    if not isinstance(entry, Mapping):
        raise ConfigError(f"{here} must be a name or a table, not {entry!r}")
    _reject_unknown(entry, ("name", "slot", "separator"), here)
    name, slot, separator = entry.get("name"), entry.get("slot", 1 + position), entry.get("separator")
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{here}: name must be a non-empty text, not {name!r}")
    if isinstance(slot, bool) or not isinstance(slot, int) or not 1 <= slot <= V2_MAX_SLOT:
        raise ConfigError(f"{here} ({name}): slot must be an integer in 1..{V2_MAX_SLOT}, not {slot!r}")
    if separator is not None and (not isinstance(separator, str) or not separator):
        raise ConfigError(f"{here} ({name}): separator must be a non-empty text, not {separator!r}")
    return ColumnMap(name, slot, separator)


def make_map(columns: Sequence[Any], label: Any, where: str = "input map") -> InputMap:
    """A checked map of column entries (names, or mappings with name, slot, separator); ConfigError begins with
    ``where``."""
    if isinstance(columns, str) or not isinstance(columns, Sequence) or not columns:
        raise ConfigError(f"{where}: columns must be a non-empty list, not {columns!r}")
    made = tuple(_column(entry, position, where) for position, entry in enumerate(columns))
    for what in ("name", "slot"):
        seen: dict[Any, int] = {}
        for position, column in enumerate(made):
            value = getattr(column, what)
            if value in seen:
                raise ConfigError(
                    f"{where}: columns[{seen[value]}] and columns[{position}] have the same {what} {value!r}"
                )
            seen[value] = position
    try:
        parse_label(label)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return InputMap(made, label)


def load_map(path: str | Path) -> InputMap:
    """The map of a TOML file; ConfigError naming file and key."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"{path}: cannot read the input map: {reason}") from None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    _reject_unknown(document, ("columns", "label"), str(path))
    for key in ("columns", "label"):
        if key not in document:
            raise ConfigError(f"{path}: {key} is missing")
    return make_map(document["columns"], document["label"], str(path))
