"""Filter requests, for backends in this process: operations on one fresh filter, and filters in front of tables.

The filter of a ``Create`` request is text: a kind and settings, as in ``sliding capacity=300 split_num=7 threshold=2
threshold.5=0 name=shared``. ``threshold`` is that of all slots, ``threshold.<slot>`` that of one; tables whose filters
have one ``name`` share them. Kinds: hash, hash_u8, sliding, dummy, probabilistic, probabilistic_equal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from monolith_protos import testee_pb2

from monolith_ref.errors import ArgumentError, ConfigError

__all__ = ["FILTER_KINDS", "FilterSpec", "PlayedFilter", "SharedFilters", "play_filter"]

FILTER_KINDS = ("hash", "hash_u8", "sliding", "dummy", "probabilistic", "probabilistic_equal")


class PlayedFilter(Protocol):
    """What a filter answers: counts before the call, or whether an id is kept out."""

    def add(self, fid: int, count: int) -> int: ...
    def get(self, fid: int) -> int: ...
    def should_be_filtered(self, fid: int, count: int, threshold: int) -> bool: ...


def play_filter(made: PlayedFilter, message: testee_pb2.Filter) -> testee_pb2.Result:
    """``ints`` holds one answer an operation (``should_be_filtered``: 1 where the id is kept out)."""
    result = testee_pb2.Result()
    for op in message.ops:
        if op.op == "add":
            result.ints.append(made.add(op.id, op.count))
        elif op.op == "get":
            result.ints.append(made.get(op.id))
        elif op.op == "should_be_filtered":
            result.ints.append(int(made.should_be_filtered(op.id, op.count, op.threshold)))
        else:
            raise ArgumentError(f"filter operation {op.op!r}; there are add, get and should_be_filtered")
    return result


@dataclass(frozen=True)
class FilterSpec:
    """The filter in front of a table, as its text says.

    Attributes
    ----------
    kind : str
        One of :data:`FILTER_KINDS`.
    capacity, split_num : int
    default : int
        Threshold of slots that are not listed.
    thresholds : dict of slot to int
    name : str
        Under which tables share it; empty: it is the table's own.
    """

    kind: str
    capacity: int = 300
    split_num: int = 7
    default: int = 0
    thresholds: dict[int, int] = field(default_factory=dict)
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> FilterSpec:
        """The filter of a text. Raises :class:`~monolith_ref.errors.ConfigError` for other words."""
        kind, *words = text.split()
        if kind not in FILTER_KINDS:
            raise ConfigError(f"filter kind {kind!r}; there are {', '.join(FILTER_KINDS)}")
        settings: dict[str, Any] = {}
        thresholds: dict[int, int] = {}
        for word in words:
            key, _, value = word.partition("=")
            head, _, slot = key.partition(".")
            try:
                if head == "threshold" and slot:
                    thresholds[int(slot)] = int(value)
                elif key in ("capacity", "split_num", "threshold"):
                    settings["default" if key == "threshold" else key] = int(value)
                elif key == "name":
                    settings["name"] = value
                else:
                    raise ConfigError(f"filter setting {word!r}")
            except ValueError:
                raise ConfigError(f"filter setting {word!r} is no number") from None
        return cls(kind, thresholds=thresholds, **settings)


class SharedFilters:
    """The filters of a backend's tables: made by ``make``, once for each name."""

    def __init__(self, make: Callable[[FilterSpec], Any]) -> None:
        self._make = make
        self._named: dict[str, Any] = {}

    def get(self, text: str) -> tuple[Any, FilterSpec]:
        """The filter of a table's text."""
        spec = FilterSpec.parse(text)
        if not spec.name:
            return self._make(spec), spec
        if spec.name not in self._named:
            self._named[spec.name] = self._make(spec)
        return self._named[spec.name], spec
