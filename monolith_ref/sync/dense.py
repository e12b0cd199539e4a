"""Sums of dense gradients over ranks, in rank order or exact. Rule: sync_training 2.3 and 5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from monolith_ref.sync.communicator import Communicator

__all__ = ["DenseReducer"]


class DenseReducer:
    """Reduces named dense gradients over all ranks.

    Parameters
    ----------
    communicator : Communicator
    reduction : str
        ``sequential``, ``sum``, ``mean``: ((+0 + d_0) + d_1) + ... in rank order, divided by float32(size).
        ``exact``: the real sum of all terms, rounded once; :meth:`reduce_exact`.
    fusion : {"none", "one"}
        One exchange per gradient, or one for all; never changes a bit.
    wire : {"f32", "f16"}
        f16: each rank's value is rounded to half once before it travels.
    skip : bool
        ``sync.skip_allreduce``: return the rank's own gradients.
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
        raise NotImplementedError

    def reduce(self, gradients: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Reduced gradients, same names and shapes (the mapping's order must be equal on all ranks)."""
        raise NotImplementedError

    def reduce_exact(
        self,
        partials: Mapping[str, NDArray[np.float64]],
        slow: Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]],
    ) -> dict[str, NDArray[np.float32]]:
        """Rounded sums from every rank's unrounded ones.

        ``partials``: float64 sums per element. ``slow``: for elements whose float64 sum is not exact, their flat
        numbers int64 [k] and accumulators int64 [k, 11] (``monolith_kernels.reduction``); their partial is ignored.
        """
        raise NotImplementedError

    def reduce_loss(self, total: np.float32, rows: int) -> np.float32:
        """(sum over ranks of total_r / rows_r) / size, in rank order; a rank without rows adds +0."""
        raise NotImplementedError
