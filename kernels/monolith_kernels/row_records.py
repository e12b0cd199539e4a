"""Rows to and from the records of their files, the protobuf message ``EntryDump``, without protobuf. Host only.

The rows of a batch all have one *shape*: a number of floats, then per optimizer element a list of fields. A shape is an
int64 matrix ``plan[F, 5]`` of fields in wire order with columns ``element`` (0, 1, ...), ``tag`` (the field's tag
byte), ``kind`` (:data:`FLOAT` or :data:`INT`), ``count`` (floats of a repeated or single field; 1 for an int) and
``column``, and ``elements[E]``, the tag bytes of the elements' oneof members (an element may have no fields). The
floats of a row lie in one matrix of words ``rows[*, width]``: the weights from column 0 on, each field from its
``column`` on; so a table's own rows are read and written in place. Ints lie in ``ints[n, I]``, each in its ``column``.

Reading takes only records in the form that writing gives (:func:`decode_rows` marks the others, which a protobuf
parser then judges), so a record that is taken here means the same to every parser. Rule: checkpoints 4.2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monolith_kernels.fetch import prefetch_read
from monolith_kernels.jit import kernel
from monolith_kernels.records import masked
from monolith_kernels.words import load32, load64, store32, store64

__all__ = [
    "FLOAT",
    "HAS_OPT",
    "HAS_TIME",
    "INT",
    "SLACK",
    "TIME_OPTIONAL",
    "decode_rows",
    "encode_rows",
    "row_bound",
]

FLOAT = 0
INT = 1

SLACK = 8
"""Bytes behind the last record that :func:`encode_rows` may scribble on."""

AHEAD = 8
"""Rows from the one being written to the one being fetched."""

HAS_OPT = 1
HAS_TIME = 2
TIME_OPTIONAL = 4


@kernel
def _varint_size(value):  # type: ignore[no-untyped-def]
    v = np.uint64(value)
    size = 1
    while v >= np.uint64(128):
        v >>= np.uint64(7)
        size += 1
    return size


@kernel
def _put_varint(out, at, value):  # type: ignore[no-untyped-def]
    v = np.uint64(value)
    while v >= np.uint64(128):
        out[at] = np.uint8(v & np.uint64(127)) | np.uint8(128)
        v >>= np.uint64(7)
        at += 1
    out[at] = np.uint8(v)
    return at + 1


@kernel
def _get_varint(data, at, stop):  # type: ignore[no-untyped-def]
    """(value, position behind it); position -1 where it is cut, too long or not of minimal length."""
    value = np.uint64(0)
    shift = 0
    while at < stop and shift < 64:
        byte = data[at]
        value |= np.uint64(byte & np.uint8(127)) << np.uint64(shift)
        at += 1
        if byte < 128:
            minimal = byte != 0 or shift == 0
            fits = shift < 63 or byte <= 1
            return value, (at if minimal and fits else -1)
        shift += 7
    return value, -1


def row_bound(dim: int, plan: NDArray[np.int64], elements: NDArray[np.int64]) -> int:
    """The most bytes that one framed row of this shape can take."""
    inner = 0
    for _element, _tag, kind, count, _column in plan:
        inner += 5 * int(count) if kind == FLOAT else 11
    return 16 + 9 + 5 * dim + 11 + inner + 22 * len(elements) + 11


@kernel
def _element_sizes(plan, ints, r, inner):  # type: ignore[no-untyped-def]
    """Bytes inside every element's oneof member into ``inner``; returns those of the whole ``opt`` message."""
    inner[:] = 0
    for f in range(len(plan)):
        if plan[f, 2] == FLOAT:
            inner[plan[f, 0]] += 5 * plan[f, 3]
        else:
            inner[plan[f, 0]] += 1 + _varint_size(ints[r, plan[f, 4]])
    opt = np.int64(0)
    for e in range(len(inner)):
        body = 1 + _varint_size(inner[e]) + inner[e]
        opt += 1 + _varint_size(body) + body
    return opt


@kernel
def _fixed_form(dim, plan, elements, flags):  # type: ignore[no-untyped-def]
    """Where everything but the time stands in payloads of a shape without ints, as each is then as long as any other.

    ``(spans [K, 4], marks [M, 2], size)``: floats as (offset, tag, count, column), other bytes as (offset, byte); size
    0 for a shape with ints.
    """
    spans = np.empty((1 + len(plan), 4), np.int64)
    marks = np.empty((10 + 14 + 28 * len(elements), 2), np.int64)
    for f in range(len(plan)):
        if plan[f, 2] == INT:
            return spans, marks, np.int64(0)
    inner = np.zeros(len(elements), np.int64)
    opt = _element_sizes(plan, np.empty((1, 0), np.int64), 0, inner)
    some = np.empty(40, np.uint8)
    marks[0, 0], marks[0, 1] = 0, 0x09
    spans[0, 0], spans[0, 1], spans[0, 2], spans[0, 3] = 9, 0x15, dim, 0
    at, m, k = np.int64(9 + 5 * dim), 1, 1
    if flags & HAS_OPT:
        some[0] = 0x1A
        size = _put_varint(some, 1, opt)
        for i in range(size):
            marks[m, 0], marks[m, 1] = at + i, some[i]
            m += 1
        at += size
        f = 0
        for e in range(len(elements)):
            some[0] = 0x0A
            size = _put_varint(some, 1, 1 + _varint_size(inner[e]) + inner[e])
            some[size] = elements[e]
            size = _put_varint(some, size + 1, inner[e])
            for i in range(size):
                marks[m, 0], marks[m, 1] = at + i, some[i]
                m += 1
            at += size
            while f < len(plan) and plan[f, 0] == e:
                spans[k, 0], spans[k, 1], spans[k, 2], spans[k, 3] = at, plan[f, 1], plan[f, 3], plan[f, 4]
                k += 1
                at += 5 * plan[f, 3]
                f += 1
    return spans[:k], marks[:m], at


@kernel
def _put_floats(out, at, words, first, count, tag):  # type: ignore[no-untyped-def]
    """Write ``count`` words, eight bytes a store: the three behind each belong to what is written next."""
    for j in range(count):
        store64(out, at + 5 * j, np.uint64(load32(words, first + j)) << np.uint64(8) | tag)
    return at + 5 * count


@kernel
def encode_rows(ids, numbers, rows, dim, ints, times, plan, elements, flags, out, lengths):  # type: ignore[no-untyped-def]
    """Write rows as framed records.

    ids int64 [n]; numbers int32 [n], which rows of the matrix; rows uint32 [*, width] (bits of float32); ints int64
    [n, I]; times int64 [n]; ``flags``: ``HAS_OPT`` | ``HAS_TIME``. ``out`` uint8 needs ``n * row_bound + SLACK``;
    ``lengths`` int64 [n] receives payload lengths. Returns the bytes written.
    """
    n = len(ids)
    inner = np.zeros(len(elements), np.int64)
    spans, marks, fixed = _fixed_form(dim, plan, elements, flags)
    words, width = rows.reshape(-1), rows.shape[1]
    at = np.int64(0)
    for r in range(n):
        if r + AHEAD < n:
            upcoming = np.int64(numbers[r + AHEAD]) * width
            for line in range(0, width, 16):
                prefetch_read(words, upcoming + line)
        row = np.int64(numbers[r]) * width
        first = at + 12
        store64(out, first + 1, np.uint64(ids[r]))
        if fixed:
            # What a store writes too much is written over by what stands behind it.
            for k in range(len(spans)):
                _put_floats(out, first + spans[k, 0], words, row + spans[k, 3], spans[k, 2], np.uint64(spans[k, 1]))
            for k in range(len(marks)):
                out[first + marks[k, 0]] = np.uint8(marks[k, 1])
            p = first + fixed
        else:
            out[first] = 0x09
            p = _put_floats(out, first + 9, words, row, dim, np.uint64(0x15))
            if flags & HAS_OPT:
                opt = _element_sizes(plan, ints, r, inner)
                p = _put_opt(out, p, words, row, ints, r, plan, elements, inner, opt)
        if flags & HAS_TIME:
            out[p] = 0x20
            p = _put_varint(out, p + 1, times[r])
        length = p - first
        lengths[r] = length
        store64(out, at, np.uint64(length))
        store32(out, at + 8, masked(out, at, at + 8))
        store32(out, p, masked(out, first, p))
        at = p + 4
    return at


@kernel
def _put_opt(out, p, words, row, ints, r, plan, elements, inner, opt):  # type: ignore[no-untyped-def]
    """Write the ``opt`` message of one row, whose sizes are known; returns the position behind it."""
    out[p] = 0x1A
    p = _put_varint(out, p + 1, opt)
    f = 0
    for e in range(len(elements)):
        out[p] = 0x0A
        p = _put_varint(out, p + 1, 1 + _varint_size(inner[e]) + inner[e])
        out[p] = elements[e]
        p = _put_varint(out, p + 1, inner[e])
        while f < len(plan) and plan[f, 0] == e:
            if plan[f, 2] == FLOAT:
                p = _put_floats(out, p, words, row + plan[f, 4], plan[f, 3], np.uint64(plan[f, 1]))
            else:
                out[p] = np.uint8(plan[f, 1])
                p = _put_varint(out, p + 1, ints[r, plan[f, 4]])
            f += 1
    return p


@kernel
def _get_floats(data, at, words, first, count, tag):  # type: ignore[no-untyped-def]
    """Read ``count`` floats; 0 where each has its tag. A record has its checksum behind it: eight bytes are there."""
    differ = np.uint64(0)
    for j in range(count):
        word = load64(data, at + 5 * j)
        differ |= (word ^ tag) & np.uint64(0xFF)
        store32(words, first + j, np.uint32(word >> np.uint64(8)))
    return differ


@kernel
def _decode_row(data, at, stop, r, dim, plan, elements, flags, ids, words, row, ints, times):  # type: ignore[no-untyped-def]
    """Read one record into ``words[row:]``; the number of weights found, or -1 where it has another form."""
    if at + 9 > stop or data[at] != 0x09:
        return -1
    ids[r] = np.int64(load64(data, at + 1))
    at += 9
    found = dim
    if at + 5 * dim > stop or _get_floats(data, at, words, row, dim, np.uint64(0x15)):
        found = 0
        while found < dim and at + 5 * found + 5 <= stop and data[at + 5 * found] == 0x15:
            words[row + found] = load32(data, at + 5 * found + 1)
            found += 1
    at += 5 * found
    if flags & HAS_OPT:
        if at >= stop or data[at] != 0x1A:
            return -1
        size, at = _get_varint(data, at + 1, stop)
        if at < 0 or size > np.uint64(stop - at):
            return -1
        opt_stop = at + np.int64(size)
        f = 0
        for e in range(len(elements)):
            if at >= opt_stop or data[at] != 0x0A:
                return -1
            size, at = _get_varint(data, at + 1, opt_stop)
            if at < 0 or size > np.uint64(opt_stop - at):
                return -1
            single_stop = at + np.int64(size)
            if at >= single_stop or data[at] != elements[e]:
                return -1
            size, at = _get_varint(data, at + 1, single_stop)
            if at < 0 or size != np.uint64(single_stop - at):
                return -1
            while f < len(plan) and plan[f, 0] == e:
                if plan[f, 2] == FLOAT:
                    count = plan[f, 3]
                    if at + 5 * count > single_stop:
                        return -1
                    if _get_floats(data, at, words, row + plan[f, 4], count, np.uint64(plan[f, 1])):
                        return -1
                    at += 5 * count
                else:
                    if at >= single_stop or data[at] != np.uint8(plan[f, 1]):
                        return -1
                    value, at = _get_varint(data, at + 1, single_stop)
                    if at < 0:
                        return -1
                    ints[r, plan[f, 4]] = np.int64(value)
                f += 1
            if at != single_stop:
                return -1
        if at != opt_stop:
            return -1
    times[r] = 0
    if flags & TIME_OPTIONAL and at == stop:
        return found
    if flags & HAS_TIME:
        if at >= stop or data[at] != 0x20:
            return -1
        value, at = _get_varint(data, at + 1, stop)
        if at < 0:
            return -1
        times[r] = np.int64(value)
    return found if at == stop else -1


@kernel
def decode_rows(data, starts, lengths, plan, elements, flags, dim, ids, rows, ints, times, found):  # type: ignore[no-untyped-def]
    """Read records of one shape, record k into ``rows[k]``; arrays as in :func:`encode_rows`.

    ``found`` int64 [n] receives the number of weights of each row (at most ``dim``), or -1 where the record is not of
    this shape or not in the form that :func:`encode_rows` writes (its row is then undefined). ``TIME_OPTIONAL`` in
    ``flags`` takes records without a time, too. Returns the number of -1.
    """
    others = 0
    words, width = rows.reshape(-1), rows.shape[1]
    spans, marks, fixed = _fixed_form(dim, plan, elements, flags)
    for k in range(len(starts)):
        first, stop, row = starts[k], starts[k] + lengths[k], k * width
        # The usual record: every byte but those of floats, id and time is known.
        differ = np.uint64(fixed == 0 or lengths[k] < fixed)
        if differ == np.uint64(0):
            for m in range(len(marks)):
                differ |= np.uint64(data[first + marks[m, 0]] != marks[m, 1])
            for m in range(len(spans)):
                differ |= _get_floats(
                    data, first + spans[m, 0], words, row + spans[m, 3], spans[m, 2], np.uint64(spans[m, 1])
                )
        if differ == np.uint64(0):
            ids[k] = np.int64(load64(data, first + 1))
            found[k] = dim
            at = first + fixed
            if flags & HAS_TIME and at < stop and data[at] == 0x20:
                value, at = _get_varint(data, at + 1, stop)
                times[k] = np.int64(value)
            elif flags & HAS_TIME and not flags & TIME_OPTIONAL:
                at = -1
            else:
                times[k] = 0
            if at == stop:
                continue
        got = _decode_row(data, first, stop, k, dim, plan, elements, flags, ids, words, row, ints, times)
        found[k] = got
        if got < 0:
            others += 1
    return others
