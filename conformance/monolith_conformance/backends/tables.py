"""What the table requests of the protocol mean, for backends in this process: oracle and engine alike.

A subclass brings tables of its own; here their operations get arrays out of messages and answers back into them.
Results: ``lookup`` floats and the number found, ``contains`` flags, ``size``, ``reinitialize`` (status an id),
``evict`` (rows removed) and ``restore`` (greatest time) ints, ``lookup_entry`` (without id, empty where absent) and
``save`` (all rows by ascending id) entries.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from monolith_protos import hash_table_pb2, testee_pb2
from numpy.typing import NDArray

from monolith_conformance.backend import DirectBackend, Missing
from monolith_ref.errors import ArgumentError, ShapeError, StateError
from monolith_ref.quirks import Quirks

__all__ = ["COMBINERS", "RULES", "TABLE_OPS", "TableAdaptor", "TableBackend"]

F4 = NDArray[np.float32]

RULES = (
    "sgd", "adagrad", "adadelta", "adam", "amsgrad", "momentum", "moving_average", "rmsprop", "rmspropv2", "ftrl",
    "group_adagrad", "batch_softmax",
)  # fmt: skip
UNBUILT = ("group_ftrl", "dynamic_wd_adagrad")
INITIALIZERS = ("zeros", "ones", "constants", "random_uniform")
COMBINERS = ("reduce_sum", "reduce_mean", "reduce_sqrtn", "first_n")
COMPRESSORS = ("fp32", "fp16", "fixed_r8", "one_bit")
TABLE_OPS = (
    "lookup", "contains", "size", "assign", "assign_add", "optimize", "reinitialize", "lookup_entry", "evict", "save",
    "restore", "clear",
)  # fmt: skip


class TableAdaptor(Protocol):
    """One table of a backend; ids int64 [n], values float32 [n, dim], rates float32 [segments]."""

    dim: int
    segments: int
    serving: bool

    def lookup(self, ids: NDArray[np.int64]) -> tuple[F4, int]: ...
    def contains(self, ids: NDArray[np.int64]) -> Iterable[bool]: ...
    def size(self) -> int: ...
    def assign(self, ids: NDArray[np.int64], values: F4, time: int) -> None: ...
    def assign_add(self, ids: NDArray[np.int64], values: F4, time: int) -> None: ...
    def optimize(
        self, ids: NDArray[np.int64], grads: F4, rates: F4, time: int, global_step: int, dedup: bool
    ) -> None: ...
    def reinitialize(self, ids: NDArray[np.int64], time: int) -> Iterable[int]: ...
    def lookup_entry(self, ids: NDArray[np.int64]) -> Iterable[bytes]: ...
    def evict(self, reference: int) -> int: ...
    def save(self) -> Iterable[bytes]: ...
    def restore(self, entries: Sequence[bytes]) -> int: ...
    def clear(self) -> None: ...


class TableBackend(DirectBackend):
    """Tables by name; a subclass makes them."""

    def start(self, profile: str, quirks: Quirks) -> None:
        self.profile = profile
        self.quirks = quirks
        self.tables: dict[str, TableAdaptor] = {}

    def capabilities(self) -> list[str]:
        rules = (*RULES, *UNBUILT) if "unbuilt_rules" in self.quirks else RULES
        names = [f"optimizer.{rule}" for rule in rules]
        names += ["optimizer.stochastic_rounding", "table.serving", "table.multi", "expiry"]
        names += [f"initializer.{kind}" for kind in INITIALIZERS]
        names += [f"compressor.{kind}" for kind in COMPRESSORS]
        names += [f"table.{op}" for op in TABLE_OPS]
        return names

    @abstractmethod
    def new_table(self, config: hash_table_pb2.EmbeddingHashTableConfig, filter_kind: str) -> TableAdaptor:
        """An empty table. Raises :class:`~monolith_ref.errors.ConfigError` where it cannot be built."""

    def create(self, message: testee_pb2.Create) -> testee_pb2.Result:
        config = hash_table_pb2.EmbeddingHashTableConfig.FromString(message.config)
        if message.table in self.tables:
            raise StateError(f"table {message.table!r} exists already")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Odd settings are asked for on purpose.
            self.tables[message.table] = self.new_table(config, message.filter)
        return testee_pb2.Result()

    def drop(self, message: testee_pb2.Drop) -> testee_pb2.Result:
        self.tables.pop(message.table, None)
        return testee_pb2.Result()

    def table(self, name: str) -> TableAdaptor:
        """The table of that name; StateError where there is none."""
        if name not in self.tables:
            raise StateError(f"no table {name!r}")
        return self.tables[name]

    def op(self, message: testee_pb2.Op) -> testee_pb2.Result:
        table = self.table(message.table)
        if message.op not in TABLE_OPS:
            raise Missing(f"table.{message.op}")
        ids = np.array(message.ids, np.int64)
        result = testee_pb2.Result()
        if message.op in ("assign", "assign_add"):
            values = _values(message, table.dim)
            (table.assign if message.op == "assign" else table.assign_add)(ids, values, message.time)
        elif message.op == "optimize":
            rates = np.frombuffer(message.rates, "<f4")
            self._check_rates(table, rates)
            grads = _values(message, table.dim)
            table.optimize(ids, grads, rates, message.time, message.global_step, message.dedup)
        else:
            self._read(table, message, ids, result)
        return result

    def _read(self, table: TableAdaptor, message: Any, ids: NDArray[np.int64], result: Any) -> None:
        """The operations whose answer is more than done."""
        if message.op == "lookup":
            rows, found = table.lookup(ids)
            result.floats = np.ascontiguousarray(rows, "<f4").tobytes()
            result.ints.append(found)
        elif message.op == "contains":
            result.flags.extend(bool(known) for known in table.contains(ids))
        elif message.op == "size":
            result.ints.append(table.size())
        elif message.op == "reinitialize":
            result.ints.extend(int(status) for status in table.reinitialize(ids, message.time))
        elif message.op == "lookup_entry":
            result.entries.extend(table.lookup_entry(ids))
        elif message.op == "evict":
            result.ints.append(table.evict(message.time))
        elif message.op == "save":
            result.entries.extend(table.save())
        elif message.op == "restore":
            result.ints.append(table.restore(list(message.entries)))
        else:
            table.clear()

    def _check_rates(self, table: TableAdaptor, rates: F4) -> None:
        surplus_allowed = "extra_learning_rates" in self.quirks
        if len(rates) < table.segments or (len(rates) > table.segments and not surplus_allowed):
            raise ShapeError(f"{len(rates)} learning rates, expected {table.segments}: one a segment")


def _values(message: testee_pb2.Op, dim: int) -> F4:
    """The floats of an operation as [ids, dim]; ShapeError where their number does not fit."""
    if len(message.floats) % 4:
        raise ArgumentError(f"floats: {len(message.floats)} bytes are no whole number of floats")
    flat = np.frombuffer(message.floats, "<f4")
    if flat.size != len(message.ids) * dim:
        raise ShapeError(f"floats: {flat.size} for {len(message.ids)} ids of {dim} floats each")
    return flat.reshape(len(message.ids), dim).astype(np.float32, copy=True)
