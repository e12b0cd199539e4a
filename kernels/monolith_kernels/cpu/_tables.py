"""Compiled loops over several tables at once; :mod:`monolith_kernels.tables` says what they mean.

A table is given by numbers, its arrays by their addresses: one row of int64 a block of ids, columns as below. So a call
takes any number of tables and is compiled once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from monolith_kernels.arrays import F4, I4, I8
from monolith_kernels.cpu import _index
from monolith_kernels.cpu._gradient_sums import gradient_sums
from monolith_kernels.cpu._rows import gather_rows
from monolith_kernels.cpu._segment import sum_of_vectors
from monolith_kernels.cpu.optimize import _update as update_rows
from monolith_kernels.fetch import prefetch_near
from monolith_kernels.jit import kernel
from monolith_kernels.prim import at, put

__all__ = ["find_and_gather", "insert_and_update", "sums_by_table", "sums_of_features"]

_AHEAD = 32
# Columns of a table: its index, its rows, its times.
KEYS, COUNTS, BUCKETS, REGIONS, ROWS, TIMES, CAPACITY, WIDTH, TIME_WIDTH, DIM = range(10)
# Columns of a block of ids of one table.
TABLE, IDS, NUMBERS, COUNT, START = range(5)


def _pointer(kind: Any) -> Any:
    """A function that makes a pointer of an address."""

    @intrinsic
    def pointer(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> ir.Value:
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.int64), codegen

    return pointer


_floats = _pointer(types.float32)
_words = _pointer(types.int64)
_numbers = _pointer(types.int32)


@kernel
def find_and_gather(tables: I8, blocks: I8, out: F4, lo: int, hi: int) -> None:
    """Ids lo..hi of all blocks: row numbers to their places, vectors to ``out``."""
    first = np.int64(0)
    for b in range(len(blocks)):
        block = blocks[b]
        low, high = max(lo - first, 0), min(hi - first, block[COUNT])
        first += block[COUNT]
        if low >= high:
            continue
        table = tables[block[TABLE]]
        words = table[BUCKETS] * _index.WORDS
        keys = carray(_words(table[KEYS]), words)
        slots = carray(_numbers(table[KEYS]), 2 * words)
        ids = carray(_words(block[IDS]), block[COUNT])
        numbers = carray(_numbers(block[NUMBERS]), block[COUNT])
        rows = carray(_floats(table[ROWS]), table[CAPACITY] * table[WIDTH])
        _index.find(keys, slots, ids, numbers, low, high)
        gather_rows(rows, table[WIDTH], numbers, 0, table[DIM], out, block[START], table[DIM], low, high)


@kernel
def insert_and_update(
    p: Any, h: Any, template: F4, place: Any, tables: I8, blocks: I8, sizes: I8, next_rows: I8, grads: F4, rates: F4,
    step: int, time: F4, absent: I4, slots: I8, fresh: I4, lo: int, hi: int,
) -> int:  # fmt: skip
    """Blocks lo..hi in order: absent ids get rows, all rows one optimizer step; ``sizes`` and ``next_rows`` go along.

    Returns the first block whose table needs room before anything is done for it, or ``hi``. ``time`` is empty, or the
    time that rows get (its bits). ``absent``, ``slots`` and ``fresh`` are scratch, as long as the longest block.
    """
    for b in range(lo, hi):
        block = blocks[b]
        t, count = block[TABLE], block[COUNT]
        table = tables[t]
        width, dim = table[WIDTH], table[DIM]
        ids = carray(_words(block[IDS]), count)
        numbers = carray(_numbers(block[NUMBERS]), count)
        rows = carray(_floats(table[ROWS]), table[CAPACITY] * width)
        new = _index.list_absent(numbers, absent)
        if new > 0:
            next_row = next_rows[t]
            words = table[BUCKETS] * _index.WORDS
            if sizes[t] + new > room_of(table[BUCKETS]) or next_row + new > table[CAPACITY]:
                return b
            keys = carray(_words(table[KEYS]), words)
            there = carray(_numbers(table[KEYS]), 2 * words)
            counts = carray(_numbers(table[COUNTS]), table[REGIONS])
            missing = absent[:new]
            if not _index.place(keys, there, counts, ids, missing, slots, numbers, 0, table[REGIONS], missing):
                return b
            new = _index.number(missing, slots, numbers, fresh, next_row, fresh[:0])
            _index.write_rows(there, slots, numbers, fresh, 0, new)
            for row in range(next_row, next_row + new):
                for i in range(width):
                    put(rows, row * width + i, at(template, i))
            sizes[t] += new
            next_rows[t] += new
        # Whole vectors may run on into what lies behind a gradient: they end in pads of the row. The last ones may not.
        pad, start = place[4], block[START]
        spare = len(grads) - start - pad
        whole = min(count, spare // dim + 1) if spare >= 0 else np.int64(0)
        update_rows(p, h, rows, numbers, 0, whole, width, place, pad, grads, start, dim, rates[b], step)
        if whole < count:
            update_rows(p, h, rows, numbers, whole, count, width, place, dim, grads, start, dim, rates[b], step)
        if len(time) > 0:
            apart = table[TIME_WIDTH]
            write_time(carray(_floats(table[TIMES]), table[CAPACITY] * apart), apart, numbers, time)
    return hi


@kernel
def write_time(times: F4, apart: int, numbers: I4, time: F4) -> None:
    """One time for all rows that are not negative."""
    for i in range(len(numbers)):
        prefetch_near(times, np.int64(at(numbers, min(i + _AHEAD, len(numbers) - 1))) * apart)
        row = np.int64(at(numbers, i))
        if row >= 0:
            put(times, row * apart, at(time, 0))


@kernel
def room_of(buckets: int) -> int:
    """Ids that so many buckets hold at the normal load of 0.7."""
    return buckets * _index.SLOTS * 7 // 10


@kernel
def sums_of_features(
    flat: F4, offsets: I8, positions: I4, splits: I8, features: I8, out: F4, stride: int, lo: int, hi: int
) -> None:
    """Rows lo..hi of every listed feature (its number, dim, column): ordered sums."""
    for f in range(len(features)):
        number, dim, column = features[f]
        sum_of_vectors(flat, offsets, positions, splits[number], dim, out, stride, column, lo, hi)


@kernel
def sums_by_table(
    grad: F4, stride: int, splits: I8, features: I8, positions: I4, targets: I8, out: F4, first_new: int
) -> int:
    """Sums of gradients per id over the listed features, in their order."""
    nothing = np.empty(0, np.float32)
    for f in range(len(features)):
        number, dim, column = features[f]
        first_new = gradient_sums(
            grad, stride, column, dim, splits[number], positions, nothing, targets, out, first_new
        )
    return first_new
