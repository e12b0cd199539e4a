"""Serving tables: tables.md 4."""

from __future__ import annotations

import numpy as np
import pytest

from monolith_ref.entry import FixedR8Compressor, Fp16Compressor, OneBitCompressor
from monolith_ref.table.store import RowDump

from .support import DAY, hexes, instance, message, multi, part, single

F4 = np.float32


def mixed() -> object:
    return message(part(2, compressor=Fp16Compressor()), part(1, compressor=FixedR8Compressor()), serving=True)


def test_worked_example() -> None:
    table = single(mixed(), [1, 1])
    table.assign([1], [[0.1, -0.2, 0.3]])
    assert hexes(table.lookup([1])) == ["0x1.998p-4", "-0x1.998p-3", "0x1.3p-2"]
    table.assign_add([1], [[0.1, 0.1, 0.1]])
    got = hexes(table.lookup([1]))
    assert got[:2] == ["0x1.998p-3", "-0x1.998p-4"]


def test_assign_add_of_an_absent_id_starts_from_zeros() -> None:
    table = single(mixed(), [1, 1])
    table.assign([1, 2], np.full((2, 3), 0.5, F4))
    table.table.evict(2**40)
    assert table.size() == 0
    table.assign_add([3, 3], [[0.25, 0.25, 0.25], [0.25, 0.25, 0.25]])
    assert table.lookup([3]).tolist() == [[0.5, 0.5, 0.5]]


def test_assign_add_that_overflows_is_an_infinity_without_a_warning() -> None:
    table = single(message(part(1), serving=True))
    largest = np.finfo(F4).max
    table.assign([1], [[largest]])
    table.assign_add([1, 1], [[largest], [-np.inf]])
    assert np.isnan(table.lookup([1])).all()


def test_one_bit_rows() -> None:
    table = single(message(part(3, compressor=OneBitCompressor(200, 0.25)), serving=True))
    table.assign([1], [[0.3, 0.0, -0.1]])
    assert table.lookup([1, 2]).tolist() == [[0.25, -0.25, -0.25], [0, 0, 0]]


def test_restore_takes_weights_at_time_zero() -> None:
    table = single(mixed(), [1, 1])
    table.assign([1], [[0.5, 0.5, 0.5]], req_time=9)
    dump = RowDump(np.array([1, 2]), np.full((2, 3), 0.25, F4), [], np.array([70, 80], np.uint32))
    assert table.table.restore(dump) == 80
    _, rows = table.table.store.items()
    assert table.table.store.times(rows).tolist() == [0, 0]
    assert table.table.max_ts == 80
    short = np.zeros((1, 3), F4)
    short[0, 0] = 1
    table.table.restore(RowDump(np.array([1]), short, [], np.zeros(1, np.uint32)), np.array([1]))
    assert table.lookup([1]).tolist() == [[1, 0.25, 0.25]]


@pytest.mark.parametrize(
    ("row", "zero"),
    [
        ([0.0, 0.0], True),
        ([-0.0, 0.0], True),
        ([1e-20, 0.0], True),
        ([3e38, 3e38], True),
        ([np.nan, 0.0], False),
        ([1e-19, 1e-19], False),
        ([1.1e-19, 0.0], False),
        ([1.0, 0.0], False),
    ],
)
def test_what_counts_as_zero(row: list[float], zero: bool) -> None:
    table = single(message(part(2), serving=True, skip_zero=True))
    table.assign([1], [[1, 1]])
    with np.errstate(over="ignore"):
        table.assign([1], [row])
    assert table.size() == (0 if zero else 1)


def test_zero_rows_under_flushing() -> None:
    table = single(message(part(2), serving=True, skip_zero=True), quirks="default +flush_denormals")
    table.assign([1], [[1e-19, 1e-19]])
    assert table.size() == 0


def test_skip_zero_in_order_and_never_on_add() -> None:
    table = single(message(part(1), serving=True, skip_zero=True))
    table.assign([1, 1, 2, 2], [[5], [0], [0], [6]])
    assert table.lookup([1, 2]).tolist() == [[0], [6]]
    assert table.size() == 1
    table.assign_add([2], [[-6]])
    assert table.size() == 1
    dump = RowDump(np.array([2, 3]), np.zeros((2, 1), F4), [], np.zeros(2, np.uint32))
    table.table.restore(dump)
    assert table.contains([2, 3]).tolist() == [True, False]


def test_serving_rows_expire_and_exporting_makes_serving_tables() -> None:
    table = single(message(part(1), default_days=1), exporting=True)
    assert table.table.serving
    table.assign([1], [[1]], req_time=0)
    table.assign([2], [[1]], req_time=DAY)
    assert table.evict() == 1
    tables = multi({"a": instance(message(part(1)))}, exporting=True)
    assert tables.tables["a"].serving
