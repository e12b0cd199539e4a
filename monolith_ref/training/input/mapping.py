"""The map: which columns are features, their slots, and what the label is. Rule: job 1."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["ColumnMap", "InputMap", "load_map"]


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """One categorical column: its name, slot (1 + position unless given) and separator of multi-valued cells."""

    name: str
    slot: int
    separator: str | None = None


@dataclass(frozen=True, slots=True)
class InputMap:
    """Categorical columns in order (a feature's place in x) and the label expression (``rating >= 4``)."""

    columns: tuple[ColumnMap, ...]
    label: str

    def digest(self) -> str:
        """SHA-256 of the map in its canonical text: part of configuration digests."""
        raise NotImplementedError


def load_map(path: str | Path) -> InputMap:
    """The map of a TOML file; ConfigError naming file and key."""
    raise NotImplementedError
