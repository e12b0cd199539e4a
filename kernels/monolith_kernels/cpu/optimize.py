"""Updates and initialisation of rows, and moving whole rows in and out. Twin of :mod:`monolith_kernels.cuda.optimize`.

| argument | dtype, shape | |
|---|---|---|
| ``profile`` | ``"ieee"`` or ``"avx"`` | rounding contract |
| ``layout`` | :class:`~monolith_kernels.layout.RowLayout` | segments and their rules |
| ``rows`` | float32 ``[capacity, layout.width]``, C-contiguous | changed in place |
| ``numbers`` | int32 or int64 ``[n]`` | row numbers, distinct; negative ones are skipped |
| ``grads`` | float32, C-contiguous, any shape | read only; gradient of row k starts at ``column + k*stride`` |
| ``rates`` | float32 ``[segments]`` | one learning rate per segment |
| ``global_step`` | int | int64 |

Callers are trusted: shapes are not checked here. A gradient buffer whose ``stride`` is at least the padded width
``layout.embedding_width`` (and which is that long for the last row too) is the fast form.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_kernels import random
from monolith_kernels.jit import kernel
from monolith_kernels.layout import RowLayout
from monolith_kernels.prim import at, prefetch, put
from monolith_kernels.prim import profile as profile_value
from monolith_kernels.rules import base
from monolith_kernels.rules.compensation import compensated
from monolith_kernels.rules.halves import stochastic
from monolith_kernels.rules.initializers import RandomUniform, uniform
from monolith_kernels.threads import run_shares

__all__ = ["compensate", "drawn_elements", "export_rows", "import_rows", "init_rows", "update"]

_AHEAD = 32
_CHUNK = 1 << 16
_GRAIN = 4096


@kernel
def _update(
    p: Any, h: Any, rows: Any, numbers: Any, lo: Any, hi: Any, width: Any, place: Any, run: Any,
    grads: Any, column: Any, stride: Any, lr: Any, step: Any,
) -> None:  # fmt: skip
    d, embedding, state, state_words, pad, words = place
    blocks = d & ~7
    last = hi - 1
    for k in range(lo, hi):
        ahead = np.int64(numbers[min(k + _AHEAD, last)]) * width
        # The usual row has one line of each: loops that rarely run keep the rest of a row's work in the window.
        prefetch(rows, ahead + embedding)
        if state_words > 0:
            prefetch(rows, ahead + state)
        for line in range(16, d, 16):
            prefetch(rows, ahead + embedding + line)
        for line in range(16, state_words, 16):
            prefetch(rows, ahead + state + line)
        number = np.int64(numbers[k])
        if number < 0:
            continue
        row = number * width
        w0 = row + embedding
        s0 = row + state
        g0 = column + k * stride
        r = base.load_words(h, rows, row + words)
        c = base.begin(p, h, lr, step, r)
        c = base.scan(p, h, c, r, rows, w0, s0, pad, grads, g0, d)
        for i in range(run):
            s = base.load_state(h, rows, s0 + i, pad)
            w, s = base.element(p, h, c, at(rows, w0 + i), at(grads, g0 + i), s, i, i < blocks)
            put(rows, w0 + i, w)
            base.store_state(h, rows, s0 + i, pad, s)
        base.store_words(h, rows, row + words, base.finish(p, h, c, step, r))


@kernel
def _round(
    rows: Any, numbers: Any, width: Any, start: Any, count: Any, draws: Any, draw_start: Any, draw_stride: Any
) -> None:
    for k in range(len(numbers)):
        number = np.int64(numbers[k])
        if number < 0:
            continue
        w0 = number * width + start
        u0 = k * draw_stride + draw_start
        for i in range(count):
            put(rows, w0 + i, stochastic(at(rows, w0 + i), at(draws, u0 + i)))


@kernel
def _compensate(
    p: Any, factor: Any, rows: Any, numbers: Any, width: Any, d: Any,
    grads: Any, column: Any, stride: Any, latest: Any, latest_column: Any, latest_stride: Any, out: Any,
) -> None:  # fmt: skip
    for k in range(len(numbers)):
        number = np.int64(numbers[k])
        if number < 0:
            continue
        w0 = number * width
        g0 = column + k * stride
        l0 = latest_column + k * latest_stride
        for i in range(d):
            put(out, k * d + i, compensated(p, factor, at(rows, w0 + i), at(grads, g0 + i), at(latest, l0 + i)))


@kernel
def _fill(rows: Any, numbers: Any, width: Any, template: Any) -> None:
    for k in range(len(numbers)):
        row = np.int64(numbers[k]) * width
        for i in range(width):
            put(rows, row + i, at(template, i))


@kernel
def _fill_uniform(
    p: Any, rows: Any, numbers: Any, width: Any, start: Any, d: Any, low: Any, high: Any,
    draws: Any, draw_start: Any, draw_stride: Any,
) -> None:  # fmt: skip
    for k in range(len(numbers)):
        w0 = np.int64(numbers[k]) * width + start
        u0 = k * draw_stride + draw_start
        for i in range(d):
            put(rows, w0 + i, uniform(p, at(draws, u0 + i), low, high))


@kernel
def _gather_rows(rows: Any, numbers: Any, width: Any, out: Any) -> None:
    for k in range(len(numbers)):
        row = np.int64(numbers[k]) * width
        for i in range(width):
            put(out, k * width + i, at(rows, row + i))


@kernel
def _scatter_rows(rows: Any, numbers: Any, width: Any, source: Any) -> None:
    for k in range(len(numbers)):
        row = np.int64(numbers[k]) * width
        for i in range(width):
            put(rows, row + i, at(source, k * width + i))


def update(
    profile: str,
    layout: RowLayout,
    rows: NDArray[np.float32],
    numbers: NDArray[Any],
    grads: NDArray[np.float32],
    stride: int,
    rates: NDArray[np.float32],
    global_step: int = 0,
    *,
    column: int = 0,
    generator: NDArray[np.uint32] | None = None,
    threads: int = 1,
) -> None:
    """Update rows by their gradients, every segment by its own rule and rate. Rule: optimizers 1 to 4.

    ``generator`` (``uint32[2]``, :func:`monolith_kernels.random.rounding_generator`) is needed where a segment rounds
    stochastically, and is advanced: rows in the order of ``numbers``, segments in order within a row. Any number of
    threads gives the same bits. With one thread equal row numbers are allowed: one step each, in order.
    """
    value = profile_value(profile)
    flat, gradient = rows.reshape(-1), grads.reshape(-1)
    count = len(numbers)
    if not any(segment.stochastic_rounding for segment in layout.segments):
        # Whole vectors may run on into what lies behind a gradient: they end in pads of the row. The last ones may not.
        whole = 0
        if len(layout.segments) == 1 and gradient.size >= column + layout.embedding_width:
            whole = min(count, (gradient.size - column - layout.embedding_width) // max(stride, 1) + 1)
        for lo, hi in ((0, whole), (whole, count)):
            if lo < hi:
                _update_segments(
                    value, layout, flat, numbers[lo:hi], gradient, column + lo * stride, stride, rates, global_step,
                    hi == whole, threads,
                )  # fmt: skip
        return
    if generator is None:
        raise ValueError("stochastic rounding needs its generator")
    per_row, starts, spans = rounding_plan(layout)
    for lo in range(0, count, _CHUNK):
        some = numbers[lo : lo + _CHUNK]
        draws = random.rounding_draws(generator, per_row * int(np.count_nonzero(some >= 0)))
        draws = spread_draws(draws, some, per_row)
        for number in range(len(layout.segments)):
            _update_segments(
                value, layout, flat, some, gradient, column + lo * stride, stride, rates, global_step, False,
                threads, number,
            )  # fmt: skip
            if layout.segments[number].stochastic_rounding:
                _round(
                    flat, some, layout.width, layout.places[number].embedding, spans[number], draws,
                    starts[number], per_row,
                )  # fmt: skip


def _update_segments(
    value: Any,
    layout: RowLayout,
    flat: NDArray[np.float32],
    numbers: NDArray[Any],
    grads: NDArray[np.float32],
    column: int,
    stride: int,
    rates: NDArray[np.float32],
    global_step: int,
    padded_grads: bool,
    threads: int,
    only: int | None = None,
) -> None:
    for number, (segment, place) in enumerate(zip(layout.segments, layout.places, strict=True)):
        if only is not None and number != only:
            continue
        step = 0 if layout.drop_global_step and segment.stochastic_rounding else global_step
        where = (place.dim, place.embedding, place.state, place.state_words, place.pad, place.words)
        run = place.pad if padded_grads else place.dim
        share = partial(
            _share, value, segment.rule, flat, numbers, layout.width, where, run, grads, column + place.embedding,
            stride, np.float32(rates[number]), np.int64(step),
        )  # fmt: skip
        run_shares(share, len(numbers), threads, _GRAIN)


def _share(
    value: Any, rule: Any, flat: Any, numbers: Any, width: int, where: tuple[int, ...], run: int, grads: Any,
    column: int, stride: int, rate: np.float32, step: np.int64, lo: int, hi: int,
) -> None:  # fmt: skip
    _update(value, rule, flat, numbers, lo, hi, width, where, run, grads, column, stride, rate, step)


def rounding_plan(layout: RowLayout) -> tuple[int, list[int], list[int]]:
    """Draws per row, and per segment where its draws start and how many elements it rounds."""
    starts: list[int] = []
    spans: list[int] = []
    cursor = 0
    for segment, place in zip(layout.segments, layout.places, strict=True):
        span = 0
        if segment.stochastic_rounding:
            span = layout.dim - place.embedding if layout.round_rest_of_row else place.dim
        starts.append(cursor)
        spans.append(span)
        cursor += span
    return cursor, starts, spans


def spread_draws(draws: NDArray[np.float32], numbers: NDArray[Any], per_row: int) -> NDArray[np.float32]:
    """Draws ``[n*per_row]`` for every row, given those of the rows that are not skipped."""
    kept = numbers >= 0
    if kept.all():
        return draws
    full = np.zeros((len(numbers), per_row), np.float32)
    full[kept] = draws.reshape(-1, per_row)
    return full.reshape(-1)


def compensate(
    profile: str,
    layout: RowLayout,
    rows: NDArray[np.float32],
    numbers: NDArray[Any],
    grads: NDArray[np.float32],
    stride: int,
    factor: float,
    latest: NDArray[np.float32],
    latest_stride: int,
    *,
    column: int = 0,
) -> NDArray[np.float32]:
    """The gradient that rule dc gives to its base rule: g + ((factor*g)*g)*(w - latest). Rule: optimizers 1.

    ``latest`` holds the weights to compensate for, row k at ``k*latest_stride``. Returns float32 ``[n, layout.dim]``
    (undefined for skipped rows), to be passed to :func:`update`.
    """
    out = np.empty((len(numbers), layout.dim), np.float32)
    _compensate(
        profile_value(profile), np.float32(factor), rows.reshape(-1), numbers, layout.width, layout.dim,
        grads.reshape(-1), column, stride, latest.reshape(-1), 0, latest_stride, out.reshape(-1),
    )  # fmt: skip
    return out


def init_rows(
    profile: str,
    layout: RowLayout,
    rows: NDArray[np.float32],
    numbers: NDArray[Any],
    generator: NDArray[np.uint32],
) -> None:
    """Make rows as new: initializers and initial state, in the order of ``numbers``. Rule: optimizers 1, 5.

    ``generator`` (``uint32[625]``, :func:`monolith_kernels.random.mt19937`) is advanced by one draw per element of
    every random_uniform segment.
    """
    flat = rows.reshape(-1)
    _fill(flat, numbers, layout.width, layout.template())
    per_row, starts = drawn_elements(layout)
    if per_row == 0:
        return
    for lo in range(0, len(numbers), _CHUNK):
        some = numbers[lo : lo + _CHUNK]
        draws = random.uniforms(generator, per_row * len(some))
        for segment, place, start in zip(layout.segments, layout.places, starts, strict=True):
            if isinstance(segment.initializer, RandomUniform):
                _fill_uniform(
                    profile_value(profile), flat, some, layout.width, place.embedding, place.dim,
                    segment.initializer.minval, segment.initializer.maxval, draws, start, per_row,
                )  # fmt: skip


def drawn_elements(layout: RowLayout) -> tuple[int, list[int]]:
    """Draws that initialising a row takes, and where each segment's begin among them."""
    starts: list[int] = []
    cursor = 0
    for segment in layout.segments:
        starts.append(cursor)
        cursor += segment.dim if isinstance(segment.initializer, RandomUniform) else 0
    return cursor, starts


def export_rows(layout: RowLayout, rows: NDArray[np.float32], numbers: NDArray[Any]) -> NDArray[np.float32]:
    """Whole rows as a host array ``[n, layout.width]``, for :meth:`RowLayout.weights_of` and ``states_of``."""
    out = np.empty((len(numbers), layout.width), np.float32)
    _gather_rows(rows.reshape(-1), numbers, layout.width, out.reshape(-1))
    return out


def import_rows(layout: RowLayout, rows: NDArray[np.float32], numbers: NDArray[Any], host: NDArray[np.float32]) -> None:
    """Put whole host rows ``[n, layout.width]`` in place; the last of equal row numbers wins."""
    _scatter_rows(rows.reshape(-1), numbers, layout.width, np.ascontiguousarray(host).reshape(-1))
