"""The shape of a table's records: how many weights, and which optimizer element with how many values per segment.

Field names and numbers come from the message ``SingleOptimizerDump`` itself. Rule: checkpoints 4.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from monolith_kernels import row_records
from monolith_kernels.layout import RowLayout
from monolith_protos import hash_table_pb2, optimizer_pb2
from numpy.typing import NDArray

from monolith_ref.checkpoint.damage import damage
from monolith_ref.table.row_codec import float_columns
from monolith_ref.table.store import RowDump

__all__ = ["FIELDS", "NUMBERS", "DumpField", "Element", "RowShape", "StateArrays", "StateColumns", "whole_columns"]

Kind = Literal["vector", "scalar", "int"]

StateColumns = Sequence[Mapping[str, int]]
"""Per segment, the column of a row's words where each field of floats begins."""

StateArrays = dict[str, NDArray[Any]]
"""State of one segment: field name → ``[n, d]`` float32, ``[n]`` float32 or ``[n]`` int64."""


@dataclass(frozen=True)
class DumpField:
    """One field of an optimizer's dump message."""

    name: str
    number: int
    kind: Kind

    @property
    def tag(self) -> int:
        """The tag byte on the wire."""
        return self.number << 3 | (0 if self.kind == "int" else 5)


def _fields() -> tuple[dict[str, int], dict[str, tuple[DumpField, ...]]]:
    numbers: dict[str, int] = {}
    fields: dict[str, tuple[DumpField, ...]] = {}
    for member in optimizer_pb2.SingleOptimizerDump.DESCRIPTOR.oneofs_by_name["type"].fields:
        numbers[member.name] = member.number
        described = []
        message: Any = member.message_type
        for inner in message.fields:
            kind: Kind = "int" if inner.cpp_type != inner.CPPTYPE_FLOAT else "scalar"
            described.append(DumpField(inner.name, inner.number, "vector" if inner.is_repeated else kind))
        fields[member.name] = tuple(sorted(described, key=lambda f: f.number))
    return numbers, fields


NUMBERS, FIELDS = _fields()
"""Rule name → number of its member in the dump's oneof; rule name → fields of its message in wire order."""

_NEVER_KEPT = frozenset([("dynamic_wd_adagrad", "last_update_step")])
"""Fields that a message has and no arithmetic does."""


@dataclass(frozen=True)
class Element:
    """One element of ``opt.dump``: a rule, and per field how many values it has (0: absent)."""

    rule: str
    counts: tuple[int, ...]

    @staticmethod
    def of_rule(rule: str, dim: int) -> Element:
        """The element of a segment of ``dim`` floats."""
        counts = [dim if f.kind == "vector" else int((rule, f.name) not in _NEVER_KEPT) for f in FIELDS[rule]]
        return Element(rule, tuple(counts))

    @staticmethod
    def of_message(message: optimizer_pb2.SingleOptimizerDump) -> Element | None:
        """The element as it stands in a record; None where no member is set."""
        rule = message.WhichOneof("type")
        if rule is None:
            return None
        inner = getattr(message, rule)
        return Element(
            rule,
            tuple(
                len(getattr(inner, f.name)) if f.kind == "vector" else int(inner.HasField(f.name)) for f in FIELDS[rule]
            ),
        )

    def __str__(self) -> str:
        values = ", ".join(f"{f.name} {c}" for f, c in zip(FIELDS[self.rule], self.counts, strict=True))
        return f"{self.rule}({values})" if values else self.rule


def whole_columns(layout: RowLayout, shape: RowShape) -> list[dict[str, int]] | None:
    """Where a table's rows hold each state field of its records; None unless records and rows hold the same floats."""
    columns = float_columns(layout)
    if columns is None or layout.dim != shape.dim or len(columns) != len(shape.segments):
        return None
    for names, element in zip(columns, shape.segments, strict=True):
        counts = zip(FIELDS[element.rule], element.counts, strict=True) if element is not None else ()
        present = {described.name: described.kind for described, count in counts if count}
        if present.keys() != names.keys() or "int" in present.values():
            return None
    return columns


@dataclass(frozen=True)
class RowShape:
    """What every record of a table looks like.

    Attributes
    ----------
    dim : int
        Weights of a row.
    segments : tuple of Element or None
        Per segment its element; None for a rule that dumps nothing (moving_average).
    has_opt, has_time : bool
        Whether records carry ``opt`` and ``last_update_ts_sec`` (the original's and ours do).
    weights_only : bool
        A serving table's: reads the weights of records with any state, and no state.
    dims : tuple of int
        Weights per segment where a configuration tells them, else empty.
    """

    dim: int
    segments: tuple[Element | None, ...]
    has_opt: bool = True
    has_time: bool = True
    dims: tuple[int, ...] = field(default=(), compare=False)
    weights_only: bool = False

    @staticmethod
    def of_config(config: hash_table_pb2.EmbeddingHashTableConfig) -> RowShape:
        """The shape that a training table of this configuration writes, or that a serving table reads."""
        dims = tuple(segment.dim_size for segment in config.entry_config.segments)
        if config.entry_config.entry_type == hash_table_pb2.EntryConfig.SERVING:
            return RowShape(sum(dims), (), dims=dims, weights_only=True)
        segments: list[Element | None] = []
        for segment in config.entry_config.segments:
            rule = segment.opt_config.WhichOneof("type")
            known = rule is not None and rule in NUMBERS
            segments.append(Element.of_rule(rule, segment.dim_size) if known else None)
        return RowShape(sum(dims), tuple(segments), dims=dims)

    @staticmethod
    def of_record(entry: hash_table_pb2.EntryDump) -> RowShape | None:
        """The shape of one parsed record; None where an element has no member set."""
        elements = [Element.of_message(single) for single in entry.opt.dump]
        if None in elements:
            return None
        return RowShape(len(entry.num), tuple(elements), entry.HasField("opt"), entry.HasField("last_update_ts_sec"))

    @staticmethod
    def of_entry(entry: hash_table_pb2.EntryDump, path: Path, place: tuple[int, int]) -> RowShape:
        """As :meth:`of_record`; CheckpointError where an element has no rule."""
        shape = RowShape.of_record(entry)
        if shape is None:
            raise damage("malformed_message", f"id {entry.id}: an optimizer element has no rule", path, *place)
        return shape

    @property
    def elements(self) -> tuple[Element, ...]:
        """The elements that are on the wire."""
        return tuple(element for element in self.segments if element is not None)

    @cached_property
    def plan(self) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """``(plan [F, 5], elements [E], flags)`` as :mod:`monolith_kernels.row_records` takes them.

        For rows of their own: the weights, then every field's floats in wire order.
        """
        return self.plan_with(None)

    def plan_with(self, columns: StateColumns | None) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """The plan for rows where the floats of a field of segment ``s`` begin at column ``columns[s][name]``."""
        rows: list[tuple[int, int, int, int, int]] = []
        at, which, index = self.dim, 0, 0
        for number, element in enumerate(self.segments):
            if element is None:
                continue
            for described, count in self._present(element):
                if described.kind == "int":
                    rows.append((index, described.tag, row_records.INT, count, which))
                    which += 1
                else:
                    column = at if columns is None else columns[number][described.name]
                    rows.append((index, described.tag, row_records.FLOAT, count, column))
                    at += count
            index += 1
        tags = [NUMBERS[element.rule] << 3 | 2 for element in self.elements]
        flags = (row_records.HAS_OPT if self.has_opt else 0) | (row_records.HAS_TIME if self.has_time else 0)
        return np.array(rows, np.int64).reshape(-1, 5), np.array(tags, np.int64), flags

    @cached_property
    def widths(self) -> tuple[int, int]:
        """Floats of a row, weights and state, and its state ints."""
        plan = self.plan[0]
        floats = plan[plan[:, 2] == row_records.FLOAT]
        return self.dim + int(floats[:, 3].sum()), len(plan) - len(floats)

    @property
    def row_bound(self) -> int:
        """The most bytes that one framed record takes."""
        plan, elements, _flags = self.plan
        return row_records.row_bound(self.dim, plan, elements)

    def pack(self, rows: RowDump) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Rows → their words [n, width] (:attr:`plan` says where) and ints [n, I]."""
        n = len(rows)
        words = np.empty((n, self.widths[0]), np.uint32)
        ints = np.empty((n, self.widths[1]), np.int64)
        words[:, : self.dim] = np.asarray(rows.weights, np.float32).view(np.uint32)
        at, which = self.dim, 0
        for element, arrays in zip(self.segments, rows.state, strict=True):
            for described, count in self._present(element):
                values = arrays[described.name]
                if described.kind == "int":
                    ints[:, which] = values
                    which += 1
                else:
                    floats = np.asarray(values, np.float32).reshape(n, count)
                    words[:, at : at + count] = floats.view(np.uint32)
                    at += count
        return words, ints

    def unpack(
        self, words: NDArray[np.uint32], ints: NDArray[np.int64], columns: StateColumns | None = None
    ) -> list[StateArrays]:
        """State by segment out of words and ints, floats as views; ``columns`` as in :meth:`plan_with`."""
        floats = words.view(np.float32)
        state: list[StateArrays] = []
        at, which = self.dim, 0
        for number, element in enumerate(self.segments):
            arrays: StateArrays = {}
            for described, count in self._present(element):
                if described.kind == "int":
                    arrays[described.name] = np.ascontiguousarray(ints[:, which])
                    which += 1
                else:
                    column = at if columns is None else columns[number][described.name]
                    part = floats[:, column : column + count]
                    arrays[described.name] = part if described.kind == "vector" else part[:, 0]
                    at += count
            state.append(arrays)
        return state

    @staticmethod
    def _present(element: Element | None) -> list[tuple[DumpField, int]]:
        if element is None:
            return []
        return [(f, c) for f, c in zip(FIELDS[element.rule], element.counts, strict=True) if c]

    def __str__(self) -> str:
        elements = ", ".join("-" if element is None else str(element) for element in self.segments)
        return f"{self.dim} weights, [{elements}]"
