"""A deep-learning framework as a backend: rows by id around the rules that the framework itself brings.

The bookkeeping (which id has which row) is ours where a framework has none; every float comes out of the framework's
own operations. Settings are mapped onto its arguments where it has one that means the same, and onto nothing else: a
difference that remains is the framework's and is reported as it is.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from monolith_protos import hash_table_pb2, testee_pb2
from numpy.typing import NDArray

from monolith_conformance.backend import Missing
from monolith_conformance.backends.tables import F4, TableAdaptor, TableBackend
from monolith_ref.errors import ArgumentError, ConfigError, MonolithRefError

__all__ = ["FrameworkBackend", "Index", "Rule", "Shape"]

I8 = NDArray[np.int64]

TABLE_OPS = ("lookup", "contains", "size", "assign", "assign_add", "optimize", "clear")
REDUCTIONS = ("sequential", "sum", "mean")


class Rule(Protocol):
    """The optimizer of one segment. Raises ValueError or :class:`Missing` when made of settings it cannot take."""

    def new_state(self) -> Any:
        """State of one new row."""

    def step(self, weights: F4, state: Any, gradient: F4, rate: float, global_step: int) -> F4:
        """The weights [dim] after one step; ``state`` is changed in place."""


class Index(Protocol):
    """Row numbers by id."""

    def find(self, ids: I8) -> I8:
        """Row number of each id, -1 where it has none."""

    def put(self, ids: I8, rows: I8) -> None:
        """Add ids that have none."""

    def size(self) -> int:
        """Number of ids."""


class Shape:
    """One segment of a table: where it lies in a row, how it starts, how it is stored and how it learns."""

    def __init__(self, segment: Any, first: int, *, serving: bool) -> None:
        self.dim = int(segment.dim_size)
        self.part = slice(first, first + self.dim)
        self.serving = serving
        self.initializer, self.initial = _member(segment, "init_config", "zeros")
        self.compressor, self.compression = _member(segment, "comp_config", "fp32")
        self.rule, self.settings = _member(segment, "opt_config", "sgd")
        self.rounds_to_half = bool(segment.opt_config.stochastic_rounding_float16)


def _member(segment: Any, field: str, default: str) -> tuple[str, Any]:
    chosen = getattr(segment, field)
    kind = chosen.WhichOneof("type") or default
    return kind, getattr(chosen, kind)


class _Table:
    """Rows of one table in one growing array, with the state of a row beside them once it has learned."""

    serving: bool

    def __init__(self, backend: FrameworkBackend, shapes: list[Shape], rules: list[Rule], *, serving: bool) -> None:
        self._backend, self._shapes, self._rules = backend, shapes, rules
        self.dim, self.segments, self.serving = sum(shape.dim for shape in shapes), len(shapes), serving
        self.clear()

    def clear(self) -> None:
        self._index = self._backend.new_index()
        self._rows = np.zeros((0, self.dim), np.float32)
        self._used = 0
        self._states: dict[int, list[Any]] = {}

    def lookup(self, ids: I8) -> tuple[F4, int]:
        rows = self._index.find(ids)
        known = rows >= 0
        values = np.zeros((len(ids), self.dim), np.float32)
        values[known] = self._rows[rows[known]]
        for shape in self._shapes:
            if known.any() and not self.serving and shape.compressor == "fixed_r8":
                values[known, shape.part] = self._backend.compressed(shape, values[known, shape.part])
        return values, int(known.sum())

    def contains(self, ids: I8) -> list[bool]:
        return [bool(row >= 0) for row in self._index.find(ids)]

    def size(self) -> int:
        return self._index.size()

    def assign(self, ids: I8, values: F4, time: int) -> None:
        rows = self._obtain(ids)
        self._rows[rows] = self._stored(values)

    def assign_add(self, ids: I8, values: F4, time: int) -> None:
        for row, value in zip(self._obtain(ids), values, strict=True):
            self._rows[row] = self._stored(self._backend.added(self._rows[row], value)[None])[0]

    def optimize(self, ids: I8, grads: F4, rates: F4, time: int, global_step: int, dedup: bool) -> None:
        if dedup:
            ids, grads = self._backend.summed(ids, grads)
        for row, gradient in zip(self._obtain(ids).tolist(), grads, strict=True):
            states = self._states.setdefault(row, [])
            if not states:
                states += [rule.new_state() for rule in self._rules]
            for shape, rule, state, rate in zip(self._shapes, self._rules, states, rates, strict=False):
                part = self._rows[row, shape.part]
                self._rows[row, shape.part] = rule.step(
                    part.copy(), state, gradient[shape.part].copy(), float(rate), global_step
                )

    def reinitialize(self, ids: I8, time: int) -> Sequence[int]:
        raise Missing("table.reinitialize")

    def lookup_entry(self, ids: I8) -> Sequence[bytes]:
        raise Missing("table.lookup_entry")

    def evict(self, reference: int) -> int:
        raise Missing("table.evict")

    def save(self) -> Sequence[bytes]:
        raise Missing("table.save")

    def restore(self, entries: Sequence[bytes]) -> int:
        raise Missing("table.restore")

    def _stored(self, values: F4) -> F4:
        """Values as a row keeps them: serving rows go through their compressors."""
        if not self.serving:
            return values
        return np.concatenate([self._backend.compressed(s, values[:, s.part]) for s in self._shapes], axis=1)

    def _obtain(self, ids: I8) -> I8:
        """Row numbers, made by the initializers in order of first occurrence where an id is new."""
        rows = self._index.find(ids)
        if (rows >= 0).all():
            return rows
        new = list(dict.fromkeys(ids[rows < 0].tolist()))
        first, self._used = self._used, self._used + len(new)
        if self._used > len(self._rows):
            grown = np.zeros((max(64, 2 * self._used), self.dim), np.float32)
            grown[:first] = self._rows[:first]
            self._rows = grown
        if not self.serving:
            for row in range(first, self._used):
                for shape in self._shapes:
                    if shape.initializer != "zeros":
                        self._rows[row, shape.part] = self._backend.initial(shape)
        self._index.put(np.array(new, np.int64), np.arange(first, self._used))
        return self._index.find(ids)


class FrameworkBackend(TableBackend):
    """Tables of a framework; a subclass names its rules and does the arithmetic."""

    rules: Mapping[str, Any]
    """Name of an optimizer → a callable of its :class:`Shape` that makes a :class:`Rule`."""
    initializers: tuple[str, ...] = ("zeros", "ones", "constants", "random_uniform")
    compressors: tuple[str, ...] = ("fp32", "fp16", "fixed_r8")
    combiners: tuple[str, ...] = ()
    refusals: tuple[type[Exception], ...] = (ValueError, RuntimeError)
    """What the framework raises where it refuses an argument; answered as an error, not as a fault."""

    def op(self, message: testee_pb2.Op) -> testee_pb2.Result:
        try:
            return super().op(message)
        except MonolithRefError:
            raise
        except self.refusals as error:
            raise ArgumentError(f"{self.name} refuses: {str(error).splitlines()[0]}") from None

    def capabilities(self) -> list[str]:
        names = [f"optimizer.{rule}" for rule in self.rules]
        names += [f"initializer.{kind}" for kind in self.initializers]
        names += [f"compressor.{kind}" for kind in self.compressors]
        names += [f"combiner.{kind}" for kind in self.combiners]
        names += [f"sync.{kind}" for kind in REDUCTIONS]
        return [*names, *(f"table.{op}" for op in TABLE_OPS), "table.serving"]

    def new_table(self, config: hash_table_pb2.EmbeddingHashTableConfig, filter_kind: str) -> TableAdaptor:
        if filter_kind:
            raise Missing(f"filter.{filter_kind}")
        serving = config.entry_config.entry_type == hash_table_pb2.EntryConfig.SERVING
        shapes: list[Shape] = []
        for segment in config.entry_config.segments:
            shapes.append(Shape(segment, shapes[-1].part.stop if shapes else 0, serving=serving))
        for shape in shapes:
            self._require(f"compressor.{shape.compressor}")
            if not serving:
                self._require(f"initializer.{shape.initializer}")
                self._require(f"optimizer.{shape.rule}")
                if shape.rounds_to_half:
                    raise Missing("optimizer.stochastic_rounding")
        try:
            rules = [] if serving else [self.rules[shape.rule](shape) for shape in shapes]
        except ValueError as error:
            raise ConfigError(str(error)) from None
        return _Table(self, shapes, rules, serving=serving)

    def sync(self, message: testee_pb2.Sync) -> testee_pb2.Result:
        """Each rank's duplicates are summed, then the ranks' sums, then one update is made of them."""
        table = self.table(message.table)
        self._require(f"sync.{message.reduction}")
        parts = []
        for part in message.parts:
            floats = np.frombuffer(part.floats, "<f4")
            if floats.size != len(part.ids) * table.dim:
                raise ArgumentError(f"{floats.size} floats for {len(part.ids)} ids of {table.dim}")
            parts.append(self.summed(np.array(part.ids, np.int64), floats.reshape(-1, table.dim)))
        if message.reduction != "sequential" and parts:
            ids, grads = self.summed(np.concatenate([i for i, _ in parts]), np.concatenate([g for _, g in parts]))
            parts = [(ids, self.divided(grads, len(parts)) if message.reduction == "mean" else grads)]
        rates = np.frombuffer(message.rates, "<f4")
        for ids, grads in parts:
            table.optimize(ids, grads, rates, message.time, message.global_step, False)
        return testee_pb2.Result()

    def combine(self, message: testee_pb2.Combine) -> testee_pb2.Result:
        self._require(f"combiner.{message.kind}")
        splits = np.array(message.row_splits, np.int64)
        values = np.frombuffer(message.floats, "<f4").reshape(-1, message.dim).copy()
        upstream = None
        if message.upstream:
            shape = (len(splits) - 1, message.n, message.dim) if message.kind == "first_n" else (-1, message.dim)
            upstream = np.frombuffer(message.upstream, "<f4").reshape(shape).copy()
        out = self.combined(message.kind, values, splits, message.n, upstream)
        return testee_pb2.Result(floats=np.ascontiguousarray(out, "<f4").tobytes())

    def _require(self, capability: str) -> None:
        if capability not in self.capabilities():
            raise Missing(capability)

    @abstractmethod
    def new_index(self) -> Index:
        """An empty map from ids to row numbers."""

    @abstractmethod
    def added(self, a: F4, b: F4) -> F4:
        """The sum of two arrays."""

    @abstractmethod
    def divided(self, a: F4, by: int) -> F4:
        """An array divided by a count."""

    @abstractmethod
    def summed(self, ids: I8, gradients: F4) -> tuple[I8, F4]:
        """Distinct ids and the sums of their gradients."""

    @abstractmethod
    def initial(self, shape: Shape) -> F4:
        """The first weights of a row's segment."""

    @abstractmethod
    def compressed(self, shape: Shape, values: F4) -> F4:
        """Values encoded by the segment's compressor and decoded again."""

    @abstractmethod
    def combined(self, kind: str, values: F4, splits: I8, n: int, upstream: F4 | None) -> F4:
        """A combiner of ragged rows, or the gradient of every value where ``upstream`` is given."""
