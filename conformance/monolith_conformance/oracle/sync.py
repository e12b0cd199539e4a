"""Path B of the comparison: dense arrays, updated by naive rules, on every rank alike.

Each rank holds all rows of all features as plain arrays. It computes the forward and backward pass of its own rows,
the shares of all ranks are gathered, and everybody applies all of them. No hash table, no exchange of rows, no
kernel: nothing here is shared with the engine. Rule: sync_training 2.2, 5 and 6.2; job 7 (half-precision wires).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from monolith_conformance.oracle import sync_rules as rules
from monolith_conformance.oracle.sync_exact import ExactSum, exact_sum, exact_sum_groups
from monolith_conformance.oracle.sync_rules import F32, I64

__all__ = ["DenseRows", "Layer", "Oracle", "RankBatch", "Reduced", "Settings", "Share", "StepValues"]

_BLOCK = 4096


class Settings(NamedTuple):
    """What decides the numbers: reduction, rates, floats that travel as half, steps by which rows lag."""

    reduction: str = "sequential"
    rate: float = 0.05
    accumulator: float = 0.1
    half_embedding_gradients: bool = False
    half_dense_gradients: bool = False
    staleness: int = 0


@dataclass
class Layer:
    """One dense layer: kernel [fan_in, fan_out], bias [fan_out], and their accumulators."""

    kernel: F32
    bias: F32
    kernel_accumulator: F32
    bias_accumulator: F32

    @classmethod
    def fresh(cls, kernel: F32, bias: float, accumulator: float) -> Layer:
        """A layer before its first step."""
        start = np.float32(accumulator)
        fan_out = kernel.shape[1]
        return cls(
            kernel.copy(),
            np.full(fan_out, bias, np.float32),
            np.full(kernel.shape, start, np.float32),
            np.full(fan_out, start, np.float32),
        )


class DenseRows:
    """All embedding rows there can be: ``w`` and ``accumulator`` [rows, D], ``touched`` [rows]."""

    def __init__(self, rows: int, dim: int, accumulator: float) -> None:
        self.w = np.zeros((rows, dim), np.float32)
        self.accumulator = np.full((rows, dim), accumulator, np.float32)
        self.touched = np.zeros(rows, np.bool_)


class RankBatch(NamedTuple):
    """A rank's rows: occurrences feature by feature, row by row.

    ``positions`` [n]: row of the dense arrays; ``bags`` [n]: feature * rows + row; ``labels`` [rows].
    """

    positions: I64
    bags: I64
    labels: F32

    @classmethod
    def build(cls, positions: Sequence[I64], row_splits: Sequence[I64], labels: F32) -> RankBatch:
        """From positions and row_splits per feature."""
        rows = len(labels)
        bags = [f * rows + np.repeat(np.arange(rows), np.diff(s)) for f, s in enumerate(row_splits)]
        return cls(np.concatenate(positions), np.concatenate(bags), labels)


class Share(NamedTuple):
    """What a rank tells the others: its ids, the gradient of every bag, and its part of the dense sums.

    ``dense`` are the rank's six sums, or, for the exact reduction, x, t1, h, t2, h2, d of its rows; ``losses`` is
    the sum of squares [1], or, for exact, the squares [rows].
    """

    positions: I64
    bags: I64
    bag_gradients: F32
    dense: list[F32]
    losses: F32
    rows: int


class StepValues(NamedTuple):
    """What a rank computed for its own rows: x [B, F*D], p [B], dx [B, F*D]."""

    x: F32
    p: F32
    dx: F32


class Reduced(NamedTuple):
    """What all ranks agree on: the six dense gradients and the loss."""

    dense: list[F32]
    loss: np.float32


@dataclass
class Oracle:
    """The dense arrays, the head and the rules that move them. One object per rank (or per simulated run)."""

    rows: DenseRows
    layers: list[Layer]
    features: int
    settings: Settings
    broadcast_labels: bool = False

    def local(self, batch: RankBatch, global_rows: int) -> tuple[StepValues, Share]:
        """Forward and backward of a rank's rows, and its share for the others."""
        count = len(batch.labels)
        exact = self.settings.reduction == "exact"
        kernels = [layer.kernel for layer in self.layers]
        biases = [layer.bias for layer in self.layers]
        with np.errstate(all="ignore"):
            pooled = rules.pool(self.rows.w, batch.positions, batch.bags, self.features * count)
            x = bags_to_columns(pooled, self.features)
            f = rules.forward(x, kernels, biases)
            divisor = global_rows if exact else count
            b = rules.backward(f, batch.labels, divisor, kernels, self._broadcast_gradient(f.p, batch.labels))
            losses = self._losses(f.p, batch.labels, exact)
            if exact:
                dense = [x, b.t1, f.h, b.t2, f.h2, b.d]
            else:
                dense = rules.dense_local_sums(x, f, b)
        bag_gradients = columns_to_bags(b.dx, self.features)
        share = Share(batch.positions, batch.bags, bag_gradients, dense, losses, count)
        return StepValues(x, f.p, b.dx), share

    def _broadcast_gradient(self, p: F32, labels: F32) -> F32 | None:
        """(2/B^2) * sum over labels of (p_i - y_j), each rounded in that order: the published loss."""
        if not self.broadcast_labels:
            return None
        rows = np.float32(len(labels))
        total = np.zeros(len(p), np.float32)
        for label in labels:
            total += np.float32(2) * (p - label) * (np.float32(1) / rows / rows)
        return total

    def _losses(self, p: F32, labels: F32, exact: bool) -> F32:
        if self.broadcast_labels:
            total = np.zeros(len(p), np.float32)
            for label in labels:
                total += (label - p) * (label - p)
            return np.array([np.cumsum(total / np.float32(len(labels)), dtype=np.float32)[-1]], np.float32)
        if exact:
            return (p - labels) * (p - labels)
        return np.array([rules.loss_sum(p, labels)], np.float32)

    def reduce(self, shares: Sequence[Share]) -> Reduced:
        """The dense gradients and the loss that every rank must have. Rule: sync_training 5, 6.2."""
        with np.errstate(all="ignore"):
            if self.settings.reduction == "exact":
                return self._reduce_exact(shares)
            ranks = np.float32(len(shares))
            sums = [np.zeros_like(part) for part in shares[0].dense]
            loss = np.float32(0.0)
            for share in shares:
                for total, part in zip(sums, share.dense, strict=True):
                    total += rules.through_half(part) if self.settings.half_dense_gradients else part
                if share.rows:
                    loss = loss + share.losses[0] / np.float32(share.rows)
            return Reduced([total / ranks for total in sums], np.float32(loss / ranks))

    def _reduce_exact(self, shares: Sequence[Share]) -> Reduced:
        layers = [(layer.kernel.shape, layer.bias.shape) for layer in self.layers]
        sums = [ExactSum(shape) for pair in layers for shape in pair]

        def all_terms() -> Iterator[list[F32]]:
            for share in shares:
                x, t1, h, t2, h2, d = share.dense
                f, b = rules.Forward(h, h, h2, h2, d), rules.Backward(d, t2, t1, x)
                for row in range(share.rows):
                    yield rules.dense_terms(x, f, b, row)

        for terms in all_terms():
            for total, term in zip(sums, terms, strict=True):
                total.add(term)
        dense = [total.result(terms[i] for terms in all_terms()) for i, total in enumerate(sums)]
        squares = np.concatenate([share.losses for share in shares])
        return Reduced(dense, np.float32(exact_sum(squares.tolist()) / np.float32(len(squares))))

    def apply_dense(self, reduced: Reduced) -> None:
        """One optimizer step of the head."""
        rate = np.float32(self.settings.rate)
        with np.errstate(all="ignore"):
            for i, layer in enumerate(self.layers):
                kernel_gradient, bias_gradient = reduced.dense[2 * i], reduced.dense[2 * i + 1]
                layer.kernel, layer.kernel_accumulator = rules.adagrad(
                    layer.kernel, layer.kernel_accumulator, kernel_gradient, rate
                )
                layer.bias, layer.bias_accumulator = rules.adagrad(
                    layer.bias, layer.bias_accumulator, bias_gradient, rate
                )

    def touched_by(self, shares: Sequence[Share]) -> I64:
        """Positions that any of the shares names, ascending."""
        named = np.zeros(len(self.rows.w), np.bool_)
        for share in shares:
            named[share.positions] = True
        return np.flatnonzero(named)

    def apply_rows(self, shares: Sequence[Share]) -> I64:
        """The step of all embedding rows; returns the positions touched on any rank, ascending."""
        touched = self.touched_by(shares)
        with np.errstate(all="ignore"):
            for positions, gradients in self.row_gradients(shares):
                self._step_rows(positions, gradients)
        self.rows.touched[touched] = True
        return touched

    def row_gradients(self, shares: Sequence[Share]) -> Iterator[tuple[I64, F32]]:
        """(distinct positions, gradients) of each optimizer step in turn. Rule: sync_training 5."""
        if self.settings.reduction == "exact":
            yield self._exact_gradients(shares)
            return
        per_rank = []
        for share in shares:
            order, starts, counts, positions = rules.group_occurrences(share.positions)
            sums = rules.occurrence_sums(share.bag_gradients, order, starts, counts, share.bags)
            if self.settings.half_embedding_gradients:
                sums = rules.through_half(sums)
            per_rank.append((positions, sums))
        if self.settings.reduction == "sequential":
            yield from per_rank
            return
        everywhere = np.concatenate([positions for positions, _ in per_rank])
        order, starts, counts, positions = rules.group_occurrences(everywhere)
        parts = np.concatenate([sums for _, sums in per_rank])
        total = rules.occurrence_sums(parts, order, starts, counts, np.arange(len(parts)))
        if self.settings.reduction == "mean":
            total = total / np.float32(len(shares))
        yield positions, total

    def _exact_gradients(self, shares: Sequence[Share]) -> tuple[I64, F32]:
        everywhere = np.concatenate([share.positions for share in shares])
        terms = np.concatenate([rules.take_rows(share.bag_gradients, share.bags) for share in shares])
        order, starts, counts, positions = rules.group_occurrences(everywhere)
        return positions, exact_sum_groups(rules.take_rows(terms, order), starts, counts)

    def _step_rows(self, positions: I64, gradients: F32) -> None:
        rate = np.float32(self.settings.rate)
        w, accumulator = self.rows.w, self.rows.accumulator
        for start in range(0, len(positions), _BLOCK):
            block = positions[start : start + _BLOCK]
            new_w, new_accumulator = rules.adagrad(
                rules.take_rows(w, block),
                rules.take_rows(accumulator, block),
                gradients[start : start + _BLOCK],
                rate,
            )
            rules.put_rows(w, block, new_w)
            rules.put_rows(accumulator, block, new_accumulator)


def bags_to_columns(pooled: F32, features: int) -> F32:
    """[features * B, D] -> [B, features * D]: feature f of a row is columns f*D to f*D + D - 1."""
    bags, dim = pooled.shape
    by_feature = pooled.reshape(features, bags // features, dim)
    return np.ascontiguousarray(by_feature.transpose(1, 0, 2)).reshape(bags // features, features * dim)


def columns_to_bags(gradients: F32, features: int) -> F32:
    """[B, features * D] -> [features * B, D]."""
    count, width = gradients.shape
    by_row = gradients.reshape(count, features, width // features)
    return np.ascontiguousarray(by_row.transpose(1, 0, 2)).reshape(features * count, width // features)
