"""Updates and initialisation of rows on CUDA. Twin: monolith_kernels.cpu.optimize, whose table of arguments holds.

``rows`` lives on the device, other arrays on either side. ``numbers`` must be distinct. One thread per element, or per
four where rows and gradients are aligned so: a block has ``(lanes, rows)`` threads, every lane reads its row's own
words and repeats the ordered reductions, then all meet before the first element is written.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from monolith_kernels import random
from monolith_kernels.cpu.optimize import drawn_elements, rounding_plan, spread_draws
from monolith_kernels.cuda._vectors import by_four, copy_four, load_four, load_states, store_four, store_states
from monolith_kernels.cuda.launch import cuda_kernel, device_array, on_device, row_blocks, to_host
from monolith_kernels.cuda.lookup import gather
from monolith_kernels.layout import RowLayout
from monolith_kernels.prim import at, put
from monolith_kernels.prim import profile as profile_value
from monolith_kernels.rules import base
from monolith_kernels.rules.compensation import compensated
from monolith_kernels.rules.halves import stochastic
from monolith_kernels.rules.initializers import RandomUniform, uniform

__all__ = ["compensate", "drawn_elements", "export_rows", "import_rows", "init_rows", "update"]

_CHUNK = 1 << 20


@cuda_kernel
def _update(
    p: Any, h: Any, rows: Any, numbers: Any, n: Any, width: Any, where: Any,
    grads: Any, column: Any, stride: Any, lr: Any, step: Any,
) -> None:  # fmt: skip
    d, embedding, state, pad, words = where
    k = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    number = np.int64(-1)
    g0 = np.int64(column)
    if k < n:
        number = np.int64(numbers[k])
        g0 = column + k * stride
    row = max(number, np.int64(0)) * width
    w0 = row + embedding
    s0 = row + state
    r = base.load_words(h, rows, row + words)
    c = base.begin(p, h, lr, step, r)
    c = base.scan(p, h, c, r, rows, w0, s0, pad, grads, g0, d)
    cuda.syncthreads()
    if number < 0:
        return
    blocks = d & ~7
    for i in range(cuda.threadIdx.x, d, cuda.blockDim.x):
        s = base.load_state(h, rows, s0 + i, pad)
        w, s = base.element(p, h, c, at(rows, w0 + i), at(grads, g0 + i), s, i, i < blocks)
        put(rows, w0 + i, w)
        base.store_state(h, rows, s0 + i, pad, s)
    if cuda.threadIdx.x == 0:
        base.store_words(h, rows, row + words, base.finish(p, h, c, step, r))


@cuda_kernel
def _update_by_four(
    p: Any, h: Any, rows: Any, numbers: Any, n: Any, width: Any, where: Any,
    grads: Any, column: Any, stride: Any, lr: Any, step: Any,
) -> None:  # fmt: skip
    d, embedding, state, pad, words = where
    k = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    number = np.int64(-1)
    g0 = np.int64(column)
    if k < n:
        number = np.int64(numbers[k])
        g0 = column + k * stride
    row = max(number, np.int64(0)) * width
    w0 = row + embedding
    s0 = row + state
    r = base.load_words(h, rows, row + words)
    c = base.begin(p, h, lr, step, r)
    c = base.scan(p, h, c, r, rows, w0, s0, pad, grads, g0, d)
    cuda.syncthreads()
    if number < 0:
        return
    blocks = d & ~7
    for i in range(4 * cuda.threadIdx.x, d, 4 * cuda.blockDim.x):
        w, g = load_four(rows, w0 + i), load_four(grads, g0 + i)
        s = load_states(h, rows, s0 + i, pad)
        v0, t0 = base.element(p, h, c, w[0], g[0], s[0], i, i < blocks)
        v1, t1 = base.element(p, h, c, w[1], g[1], s[1], i + 1, i < blocks)
        v2, t2 = base.element(p, h, c, w[2], g[2], s[2], i + 2, i < blocks)
        v3, t3 = base.element(p, h, c, w[3], g[3], s[3], i + 3, i < blocks)
        store_four(rows, w0 + i, v0, v1, v2, v3)
        store_states(h, rows, s0 + i, pad, t0, t1, t2, t3)
    if cuda.threadIdx.x == 0:
        base.store_words(h, rows, row + words, base.finish(p, h, c, step, r))


@cuda_kernel
def _round(
    rows: Any, numbers: Any, n: Any, width: Any, start: Any, count: Any, draws: Any, draw_start: Any, draw_stride: Any
) -> None:
    k = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if k >= n or numbers[k] < 0:
        return
    w0 = np.int64(numbers[k]) * width + start
    u0 = k * draw_stride + draw_start
    for i in range(cuda.threadIdx.x, count, cuda.blockDim.x):
        put(rows, w0 + i, stochastic(at(rows, w0 + i), at(draws, u0 + i)))


@cuda_kernel
def _compensate(
    p: Any, factor: Any, rows: Any, numbers: Any, n: Any, width: Any, d: Any,
    grads: Any, column: Any, stride: Any, latest: Any, latest_stride: Any, out: Any,
) -> None:  # fmt: skip
    k = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if k >= n or numbers[k] < 0:
        return
    w0 = np.int64(numbers[k]) * width
    g0 = column + k * stride
    l0 = k * latest_stride
    for i in range(cuda.threadIdx.x, d, cuda.blockDim.x):
        put(out, k * d + i, compensated(p, factor, at(rows, w0 + i), at(grads, g0 + i), at(latest, l0 + i)))


@cuda_kernel
def _fill(rows: Any, numbers: Any, n: Any, width: Any, template: Any) -> None:
    k = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if k >= n:
        return
    row = np.int64(numbers[k]) * width
    for i in range(cuda.threadIdx.x, width, cuda.blockDim.x):
        put(rows, row + i, at(template, i))


@cuda_kernel
def _fill_uniform(
    p: Any, rows: Any, numbers: Any, n: Any, width: Any, start: Any, d: Any, low: Any, high: Any,
    draws: Any, draw_start: Any, draw_stride: Any,
) -> None:  # fmt: skip
    k = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if k >= n:
        return
    w0 = np.int64(numbers[k]) * width + start
    u0 = k * draw_stride + draw_start
    for i in range(cuda.threadIdx.x, d, cuda.blockDim.x):
        put(rows, w0 + i, uniform(p, at(draws, u0 + i), low, high))


@cuda_kernel
def _scatter_rows(rows: Any, numbers: Any, n: Any, width: Any, source: Any) -> None:
    k = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if k >= n:
        return
    row = np.int64(numbers[k]) * width
    for i in range(cuda.threadIdx.x, width, cuda.blockDim.x):
        put(rows, row + i, at(source, k * width + i))


@cuda_kernel
def _scatter_rows_by_four(rows: Any, numbers: Any, n: Any, width: Any, source: Any) -> None:
    k = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if k >= n:
        return
    row = np.int64(numbers[k]) * width
    for i in range(4 * cuda.threadIdx.x, width, 4 * cuda.blockDim.x):
        copy_four(rows, row + i, source, k * width + i)


def update(
    profile: str,
    layout: RowLayout,
    rows: Any,
    numbers: Any,
    grads: Any,
    stride: int,
    rates: NDArray[np.float32],
    global_step: int = 0,
    *,
    column: int = 0,
    generator: NDArray[np.uint32] | None = None,
    threads: int = 1,
) -> None:
    """Update rows by their gradients, every segment by its own rule and rate; ``numbers`` distinct."""
    if len(numbers) == 0:
        return
    flat, gradient = rows.reshape(-1), on_device(grads).reshape(-1)
    value = profile_value(profile)
    if not any(segment.stochastic_rounding for segment in layout.segments):
        where = on_device(numbers)
        for number in range(len(layout.segments)):
            _update_segment(value, layout, number, flat, where, gradient, column, stride, rates, global_step)
        return
    if generator is None:
        raise ValueError("stochastic rounding needs its generator")
    per_row, starts, spans = rounding_plan(layout)
    host_numbers = to_host(numbers)
    for lo in range(0, len(host_numbers), _CHUNK):
        some = host_numbers[lo : lo + _CHUNK]
        drawn = random.rounding_draws(generator, per_row * int(np.count_nonzero(some >= 0)))
        draws, where = on_device(spread_draws(drawn, some, per_row)), on_device(some)
        for number, place in enumerate(layout.places):
            _update_segment(
                value, layout, number, flat, where, gradient, column + lo * stride, stride, rates, global_step
            )
            if layout.segments[number].stochastic_rounding:
                _round.launch(
                    *row_blocks(len(some), spans[number]), flat, where, len(some), layout.width, place.embedding,
                    spans[number], draws, starts[number], per_row,
                )  # fmt: skip


def _update_segment(
    value: Any, layout: RowLayout, number: int, flat: Any, numbers: Any, grads: Any, column: int, stride: int,
    rates: NDArray[np.float32], global_step: int,
) -> None:  # fmt: skip
    segment, place = layout.segments[number], layout.places[number]
    step = 0 if layout.drop_global_step and segment.stochastic_rounding else global_step
    where = (place.dim, place.embedding, place.state, place.pad, place.words)
    start, n = column + place.embedding, len(numbers)
    arguments = (
        value, segment.rule, flat, numbers, n, layout.width, where, grads, start, stride, np.float32(rates[number]),
        np.int64(step),
    )  # fmt: skip
    if by_four((flat, grads), *where[:4], layout.width, start, stride):
        _update_by_four.launch(*row_blocks(n, place.dim // 4), *arguments)
    else:
        _update.launch(*row_blocks(n, place.dim), *arguments)


def compensate(
    profile: str,
    layout: RowLayout,
    rows: Any,
    numbers: Any,
    grads: Any,
    stride: int,
    factor: float,
    latest: Any,
    latest_stride: int,
    *,
    column: int = 0,
) -> Any:
    """The gradient that rule dc gives to its base rule, float32 ``[n, layout.dim]`` on the device."""
    out = device_array((len(numbers), layout.dim), np.float32)
    if len(numbers):
        _compensate.launch(
            *row_blocks(len(numbers), layout.dim), profile_value(profile), np.float32(factor), rows.reshape(-1),
            on_device(numbers), len(numbers), layout.width, layout.dim, on_device(grads).reshape(-1), column, stride,
            on_device(latest).reshape(-1), latest_stride, out.reshape(-1),
        )  # fmt: skip
    return out


def init_rows(profile: str, layout: RowLayout, rows: Any, numbers: Any, generator: NDArray[np.uint32]) -> None:
    """Make rows as new, in the order of ``numbers``; draws come from the host stream ``generator``."""
    if len(numbers) == 0:
        return
    flat, where, n = rows.reshape(-1), on_device(numbers), len(numbers)
    _fill.launch(*row_blocks(n, layout.width), flat, where, n, layout.width, on_device(layout.template()))
    per_row, starts = drawn_elements(layout)
    if per_row == 0:
        return
    draws = on_device(random.uniforms(generator, per_row * n))
    for segment, place, start in zip(layout.segments, layout.places, starts, strict=True):
        if isinstance(segment.initializer, RandomUniform):
            _fill_uniform.launch(
                *row_blocks(n, place.dim), profile_value(profile), flat, where, n, layout.width, place.embedding,
                place.dim, segment.initializer.minval, segment.initializer.maxval, draws, start, per_row,
            )  # fmt: skip


def export_rows(layout: RowLayout, rows: Any, numbers: Any) -> NDArray[np.float32]:
    """Whole rows as a host array ``[n, layout.width]``."""
    n = len(numbers)
    if n == 0:
        return np.empty((0, layout.width), np.float32)
    out = device_array((n, layout.width), np.float32)
    gather(rows, on_device(numbers), 0, layout.width, out.reshape(-1), 0, layout.width)
    host: NDArray[np.float32] = to_host(out)
    return host


def import_rows(layout: RowLayout, rows: Any, numbers: Any, host: NDArray[np.float32]) -> None:
    """Put whole host rows ``[n, layout.width]`` in place."""
    n, width = len(numbers), layout.width
    if n == 0:
        return
    flat, source = rows.reshape(-1), on_device(host).reshape(-1)
    arguments = (flat, on_device(numbers), n, width, source)
    if by_four((flat, source), width):
        _scatter_rows_by_four.launch(*row_blocks(n, width // 4), *arguments)
    else:
        _scatter_rows.launch(*row_blocks(n, width), *arguments)
