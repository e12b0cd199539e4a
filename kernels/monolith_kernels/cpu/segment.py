"""Sums over the ids of a row (combiners), their gradients, and sums of gradients over the occurrences of an id.

Rules: features 2, sync_training 2.2 steps 4 and 5. Everything is float32, strictly in order, one rounding per
operation, sums from +0.0. Occurrence j belongs to batch row i where ``row_splits[i] <= j < row_splits[i + 1]``
(int64[B + 1]; the first entry need not be 0: occurrence numbers may be those of the whole batch). Its vector begins at
element ``offsets[positions[j]]`` of a flat buffer; an offset of -1 (an absent row) reads as +0.0.

Pooled matrices are ``[B, stride]``, C-contiguous; drivers read or write their columns ``column`` to ``column + dim``.
"""

from __future__ import annotations

from monolith_kernels.arrays import F4, F8, I4, I8
from monolith_kernels.cpu import _exact
from monolith_kernels.cpu import _gradient_sums as sums
from monolith_kernels.cpu import _segment as loops
from monolith_kernels.prim import Avx, Ieee
from monolith_kernels.threads import run_shares

__all__ = [
    "NOT_STARTED",
    "add_limbs",
    "first_n",
    "first_n_gradient",
    "gradient_limbs",
    "gradient_sums",
    "gradient_sums_exact",
    "mean",
    "mean_gradient",
    "mean_scale",
    "sqrtn",
    "sqrtn_gradient",
    "sum",
    "sum_gradient",
    "sum_rows",
]

NOT_STARTED = 0
"""``first_new`` of :func:`gradient_sums` when no slot has been stored yet."""

_GRAIN = 256
"""Batch rows below which a share is not worth a thread."""


def sum(
    flat: F4,
    offsets: I8,
    positions: I4,
    row_splits: I8,
    dim: int,
    out: F4,
    column: int,
    threads: int = 1,
) -> None:
    """ReduceSum: ``out[i, column:column + dim] = ((+0 + v_0) + v_1) + ...`` over the row's occurrences in order."""
    values, stride = out.reshape(-1), out.shape[1]
    run_shares(
        lambda lo, hi: loops.sum_of_vectors(flat, offsets, positions, row_splits, dim, values, stride, column, lo, hi),
        len(row_splits) - 1,
        threads,
        _GRAIN,
    )


def sum_rows(
    rows: F4,
    row_numbers: I4,
    positions: I4,
    row_splits: I8,
    row_column: int,
    dim: int,
    out: F4,
    column: int,
    threads: int = 1,
) -> None:
    """:func:`sum` straight from table rows: occurrence j reads ``rows[row_numbers[positions[j]], row_column:]``.

    A row number of -1 reads as +0.0.
    """
    source, width, values, stride = rows.reshape(-1), rows.shape[1], out.reshape(-1), out.shape[1]
    run_shares(
        lambda lo, hi: loops.sum_of_rows(
            source, width, row_numbers, positions, row_splits, row_column, dim, values, stride, column, lo, hi
        ),
        len(row_splits) - 1,
        threads,
        _GRAIN,
    )


def mean(
    flat: F4,
    offsets: I8,
    positions: I4,
    row_splits: I8,
    dim: int,
    out: F4,
    column: int,
    empty_nan: bool = False,
    threads: int = 1,
) -> None:
    """ReduceMean: the sum times ``float32(1 / count)``. An empty row gives +0.0, or NaN with ``empty_nan`` (quirk)."""
    values, stride = out.reshape(-1), out.shape[1]

    def share(lo: int, hi: int) -> None:
        loops.sum_of_vectors(flat, offsets, positions, row_splits, dim, values, stride, column, lo, hi)
        loops.scale_rows(row_splits, dim, values, stride, column, empty_nan, lo, hi)

    run_shares(share, len(row_splits) - 1, threads, _GRAIN)


def sqrtn(
    flat: F4,
    offsets: I8,
    positions: I4,
    row_splits: I8,
    dim: int,
    out: F4,
    column: int,
    fused: bool = False,
    threads: int = 1,
) -> None:
    """Square root of the ordered sum of squares; ``fused``: squares are added by one-rounding fma (profile ``avx``)."""
    values, stride, profile = out.reshape(-1), out.shape[1], Avx() if fused else Ieee()

    def share(lo: int, hi: int) -> None:
        loops.sum_of_squares(profile, flat, offsets, positions, row_splits, dim, values, stride, column, lo, hi)
        loops.square_roots(dim, values, stride, column, lo, hi)

    run_shares(share, len(row_splits) - 1, threads, _GRAIN)


def first_n(flat: F4, offsets: I8, positions: I4, row_splits: I8, dim: int, n: int, out: F4, column: int = 0) -> None:
    """FirstN: position p of row i is +0.0 plus its p-th vector.

    ``out`` is float32[B, n * part] (part = width / n, at least dim): position p begins at column ``p * part + column``.
    Short rows are filled with +0.0, longer ones cut.
    """
    loops.first_n(flat, offsets, positions, row_splits, dim, n, out.reshape(-1), out.shape[1], column)


def mean_scale(row_splits: I8, out: F4) -> None:
    """``out[i] = float32(1 / count_i)`` (float32[B]); +inf for an empty row, which has no occurrence to scale."""
    loops.mean_scale(row_splits, out)


def sum_gradient(grad: F4, column: int, dim: int, row_splits: I8, out: F4, out_stride: int) -> None:
    """Gradient of every occurrence's vector under ReduceSum: the row's gradient, bits copied.

    ``grad`` float32[B, stride]; ``out`` flat: occurrence j at ``(j - row_splits[0]) * out_stride``.
    """
    loops.copy_gradient(grad.reshape(-1), grad.shape[1], column, dim, row_splits, out, out_stride)


def mean_gradient(grad: F4, column: int, dim: int, row_splits: I8, out: F4, out_stride: int) -> None:
    """Gradient under ReduceMean: the row's gradient times ``float32(1 / count)``; layout as :func:`sum_gradient`."""
    loops.scaled_gradient(grad.reshape(-1), grad.shape[1], column, dim, row_splits, out, out_stride)


def sqrtn_gradient(
    grad: F4,
    column: int,
    dim: int,
    row_splits: I8,
    flat: F4,
    offsets: I8,
    positions: I4,
    pooled: F4,
    out: F4,
    out_stride: int,
) -> None:
    """Gradient under sqrtn: ``g * (e / s)``; the factor is 0 where s is 0.

    s is the forward result ``pooled``, float32 of the shape of ``grad`` and in the same columns.
    """
    loops.sqrtn_gradient(
        grad.reshape(-1),
        grad.shape[1],
        column,
        dim,
        row_splits,
        flat,
        offsets,
        positions,
        pooled.reshape(-1),
        out,
        out_stride,
    )


def first_n_gradient(grad: F4, column: int, dim: int, n: int, row_splits: I8, out: F4, out_stride: int) -> None:
    """Gradient under FirstN: occurrence p of a row gets that of position p (as :func:`first_n`), +0.0 beyond n."""
    loops.first_n_gradient(grad.reshape(-1), grad.shape[1], column, dim, n, row_splits, out, out_stride)


def gradient_sums(
    grad: F4,
    column: int,
    dim: int,
    row_splits: I8,
    positions: I4,
    scale: F4,
    targets: I8,
    out: F4,
    first_new: int,
) -> int:
    """Add every occurrence's gradient to the vector of its id, in occurrence order, from +0.0.

    Slots (the numbers in ``positions``) must begin in ascending order, as inverse numbers of ``dedup.unique_tables`` do
    when tables are walked in order: an occurrence whose slot is ``first_new`` or above *stores* ``0 + g`` and makes
    ``first_new`` its slot + 1; others add. So ``out`` needs no clearing. For slots in any other order clear ``out`` and
    pass ``first_new = 2**31 - 1``: everything is then added.

    Parameters
    ----------
    grad : float32[B, stride]
        Row gradients; columns ``column`` to ``column + dim`` are read.
    row_splits : int64[B + 1]
        Occurrences of every row, as numbers in ``positions``.
    positions : int32[n]
        Slot of every occurrence.
    scale : float32[B] or float32[0]
        Factor of every row (ReduceMean: :func:`mean_scale`); each product is rounded before it is added. Empty: none.
    targets : int64[u]
        Element of ``out`` where each slot's vector begins.
    out : float32, flat
        Written.
    first_new : int
        Slots below it hold sums already (0 at the first call of a batch).

    Returns
    -------
    int
        ``first_new`` for the next call of this batch.
    """
    return int(
        sums.gradient_sums(
            grad.reshape(-1), grad.shape[1], column, dim, row_splits, positions, scale, targets, out, first_new
        )
    )


def gradient_sums_exact(
    grad: F4 | F8,
    column: int,
    dim: int,
    row_splits: I8,
    positions: I4,
    scale: F4,
    targets: I8,
    out: F8,
    error: F8,
    first_new: int,
) -> int:
    """As :func:`gradient_sums`, in float64 with the size of everything rounded away.

    ``out`` float64 (flat) holds the partial sums; ``error`` float64 (same layout) is +0.0 exactly where the partial sum
    is the real sum (NaN counts as wrong). Elements with another error need :func:`gradient_limbs`. ``grad`` may be
    float64 (partial sums of other ranks; ``scale`` must then be empty).
    """
    flat, stride = grad.reshape(-1), grad.shape[1]
    return int(
        sums.gradient_sums_exact(
            flat, stride, column, dim, row_splits, positions, scale, targets, out, error, first_new
        )
    )


def gradient_limbs(
    grad: F4 | F8,
    column: int,
    dim: int,
    row_splits: I8,
    positions: I4,
    scale: F4,
    targets: I8,
    elements: I8,
    limbs: I8,
) -> None:
    """Add the terms of some elements of ``out`` to exact accumulators.

    ``elements`` int64[e], ascending: flat elements of the ``out`` of :func:`gradient_sums_exact`. ``limbs``
    int64[e, 11] (see ``monolith_kernels.reduction``), cleared by the caller before the first call of a batch.
    """
    flat, stride = grad.reshape(-1), grad.shape[1]
    sums.gradient_limbs(flat, stride, column, dim, row_splits, positions, scale, targets, elements, limbs)


def add_limbs(elements: I8, limbs: I8, all_elements: I8, all_limbs: I8) -> None:
    """Add accumulators to those of the same elements; ``all_elements`` is ascending and holds all of ``elements``."""
    _exact.add_limbs(elements, limbs, all_elements, all_limbs)
