"""Sums of dense gradients over ranks, in rank order or exact. Rule: sync_training 2.3 and 5.

Every element is summed by one rank, in rank order, and the sums are spread again: twice the gradient's size travels,
however many ranks there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from monolith_kernels import reduction as exact
from monolith_kernels.cpu import dense as kernels
from monolith_kernels.reduction import Partial
from numpy.typing import NDArray

from monolith_ref.errors import ConfigError
from monolith_ref.sync.communicator import Communicator

__all__ = ["DenseReducer"]


class DenseReducer:
    """Reduces named dense gradients (host arrays) over all ranks.

    Parameters
    ----------
    communicator : Communicator
    reduction : str
        ``sequential``, ``sum``, ``mean``: ((+0 + d_0) + d_1) + ... in rank order, divided by float32(size):
        :meth:`reduce`. ``exact``: the real sum of all terms, rounded once: :meth:`reduce_exact`.
    fusion : {"none", "one"}
        One exchange per gradient, or one for all; never changes a bit.
    wire : {"f32", "f16"}
        f16: each rank's value is rounded to half once before it travels.
    skip : bool
        ``sync.skip_allreduce``: :meth:`reduce` returns the rank's own gradients.
    """

    def __init__(
        self,
        communicator: Communicator,
        reduction: str = "sequential",
        *,
        fusion: Literal["none", "one"] = "none",
        wire: Literal["f32", "f16"] = "f32",
        skip: bool = False,
    ) -> None:
        if fusion not in ("none", "one"):
            raise ConfigError(f"sync.allreduce_fusion must be none or one, not {fusion!r}")
        if wire not in ("f32", "f16"):
            raise ConfigError(f"sync.dense_wire must be f32 or f16, not {wire!r}")
        if reduction == "exact" and wire == "f16":
            raise ConfigError("sync.reduction=exact needs unrounded gradients, sync.dense_wire is f16")
        self._communicator = communicator
        self._fused = fusion == "one"
        self._wire: Any = np.float16 if wire == "f16" else np.float32
        self._skip = skip

    def reduce(self, gradients: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Reduced gradients, same names and shapes (names, order and shapes must be equal on all ranks)."""
        if self._skip:
            return {name: gradient.copy() for name, gradient in gradients.items()}
        return self._by_exchange(gradients, self._sum_in_order)

    def reduce_exact(self, partials: Mapping[str, Partial], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """Rounded sums float32, of these ``shapes``, from every rank's unrounded flat ones."""
        counts = [len(partial.values) for partial in partials.values()]
        ends = np.cumsum(counts)
        if self._fused and len(counts) > 1:
            sums = np.split(self._sum_exactly(_side_by_side(list(partials.values()), ends)), ends[:-1])
        else:
            sums = [self._sum_exactly(partial) for partial in partials.values()]
        return {name: one.reshape(shapes[name]) for name, one in zip(partials, sums, strict=True)}

    def reduce_loss(self, total: np.float32, rows: int) -> np.float32:
        """(sum over ranks of total_r / rows_r) / size, in rank order; a rank without rows adds +0."""
        mine = np.float32(total) / np.float32(rows) if rows else np.float32(0)
        each = self._communicator.allgather(np.array([mine], np.float32), "loss")
        out = np.empty(1, np.float32)
        kernels.rank_sum(each, float(self._communicator.size), out)
        return np.float32(out[0])

    def reduce_loss_exact(self, terms: Partial, global_rows: int) -> np.float32:
        """The real sum of all ranks' terms (one element), rounded once, divided by float32(global_rows)."""
        mine = np.array([terms.values.view(np.int64)[0], len(terms.elements)])
        each = self._communicator.allgather(mine, "loss")
        slow = each[:, 1] != 0
        limbs = (
            self._communicator.allgatherv(terms.limbs, "loss slow elements")
            if slow.any()
            else [terms.limbs] * len(each)
        )
        nothing, first = np.empty(0, np.int64), np.zeros(1, np.int64)
        parts = [
            Partial(each[rank, :1].copy().view(np.float64), first if slow[rank] else nothing, limbs[rank])
            for rank in range(len(each))
        ]
        total = np.empty(1, np.float32)
        exact.finish(exact.combine(parts), total)
        return np.float32(total[0] / np.float32(global_rows))

    def _by_exchange(self, gradients: Mapping[str, NDArray[np.float32]], sums: Any) -> dict[str, NDArray[np.float32]]:
        if not self._fused:
            return {name: sums(gradient.reshape(-1)).reshape(gradient.shape) for name, gradient in gradients.items()}
        flat = [gradient.reshape(-1) for gradient in gradients.values()]
        whole = sums(np.concatenate(flat) if flat else np.empty(0, np.float32))
        reduced, low = {}, 0
        for name, gradient in gradients.items():
            reduced[name] = whole[low : low + gradient.size].reshape(gradient.shape)
            low += gradient.size
        return reduced

    def _sum_in_order(self, gradient: NDArray[np.float32]) -> NDArray[np.float32]:
        communicator = self._communicator
        cuts = _cuts(gradient.size, communicator.size)
        with np.errstate(over="ignore"):
            send = gradient.astype(self._wire, copy=False)
        mine = cuts[communicator.rank + 1] - cuts[communicator.rank]
        arrived = communicator.alltoallv(
            np.ascontiguousarray(send),
            np.diff(cuts),
            np.empty(mine * communicator.size, self._wire),
            np.full(communicator.size, mine),
            "dense",
        )
        parts = arrived.astype(np.float32, copy=False).reshape(communicator.size, mine)
        out = np.empty(mine, np.float32)
        kernels.rank_sum(parts, float(communicator.size), out)
        return self._spread(out, cuts, np.empty(gradient.size, np.float32))

    def _sum_exactly(self, partial: Partial) -> NDArray[np.float32]:
        """The real sums of all ranks, rounded once: each element by one rank, then spread."""
        communicator = self._communicator
        count = len(partial.values)
        cuts = _cuts(count, communicator.size)
        mine = np.empty(cuts[communicator.rank + 1] - cuts[communicator.rank], np.float32)
        exact.finish(exact.combine(self._exchange_partials(partial, cuts)), mine)
        return self._spread(mine, cuts, np.empty(count, np.float32))

    def _spread(
        self, mine: NDArray[np.float32], cuts: NDArray[np.int64], out: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Every rank's part to every rank."""
        communicator = self._communicator
        return communicator.alltoallv(
            np.tile(mine, communicator.size) if communicator.size > 1 else mine,
            np.full(communicator.size, len(mine)),
            out,
            np.diff(cuts),
            "dense sums",
        )

    def _exchange_partials(self, partial: Partial, cuts: NDArray[np.int64]) -> Sequence[Partial]:
        """Every rank's partial sums of this rank's part of the elements."""
        communicator = self._communicator
        size, mine = communicator.size, int(cuts[communicator.rank + 1] - cuts[communicator.rank])
        values = communicator.alltoallv(
            partial.values,
            np.diff(cuts),
            np.empty(mine * size, np.float64),
            np.full(size, mine),
            "dense",
        ).reshape(size, mine)
        owner = np.searchsorted(cuts[1:], partial.elements, side="right")
        sent = np.bincount(owner, minlength=size).astype(np.int64)
        width = 1 + exact.LIMBS
        packed = np.empty((len(partial.elements), width), np.int64)
        packed[:, 0] = partial.elements - cuts[owner]
        packed[:, 1:] = partial.limbs
        arriving = communicator.alltoall(sent.reshape(-1, 1), "dense slow counts")[:, 0]
        slow = communicator.alltoallv(
            packed.reshape(-1),
            sent * width,
            np.empty(int(arriving.sum()) * width, np.int64),
            arriving * width,
            "dense slow elements",
        ).reshape(-1, width)
        parts = np.split(slow, np.cumsum(arriving)[:-1])
        return [
            Partial(values[rank], np.ascontiguousarray(part[:, 0]), np.ascontiguousarray(part[:, 1:]))
            for rank, part in enumerate(parts)
        ]


def _side_by_side(partials: Sequence[Partial], ends: NDArray[np.int64]) -> Partial:
    """Several partial sums as one; ``ends`` int64: where each one's elements end."""
    begins = [0, *ends[:-1].tolist()]
    return Partial(
        np.concatenate([partial.values for partial in partials]),
        np.concatenate([partial.elements + begin for partial, begin in zip(partials, begins, strict=True)]),
        np.concatenate([partial.limbs for partial in partials]),
    )


def _cuts(count: int, ranks: int) -> NDArray[np.int64]:
    """Where each rank's share of ``count`` elements begins, and the end: int64 [ranks + 1]."""
    return np.arange(ranks + 1, dtype=np.int64) * count // ranks
