"""The gradient of one variable over all of its uses in a step: float32 in order, or unrounded sums. Rule:
sync_training 5, 6.2.

``exact`` sums the *rounded* per-row terms in float64 with error detection, and elements that float64 does not hold in
exact accumulators, so that sums of several ranks can be joined without rounding
(:class:`monolith_kernels.reduction.Partial`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from monolith_kernels import reduction
from numpy.typing import NDArray

from monolith_ref.dense.storage import Matrix

if TYPE_CHECKING:
    from monolith_kernels.target import Target

__all__ = ["GradientSum"]


class GradientSum:
    """Sums contributions to the gradient of a variable of (padded) ``shape``."""

    def __init__(self, target: Target, shape: tuple[int, ...], exact: bool) -> None:
        self.target = target
        self.shape = shape
        self.exact = exact
        self._uses = 0
        self._total = target.asarray(np.zeros(shape, np.float32))
        self._scratch: Matrix = None
        self._wide: Matrix = None
        self._error: Matrix = None
        self._partial = self._nothing()
        if exact:
            self._wide = target.asarray(np.zeros(shape, np.float64))
            self._error = target.asarray(np.zeros(shape, np.float64))

    def begin(self) -> None:
        """Nothing has been added in this step."""
        self._uses = 0

    def add_product(self, x: Matrix, g: Matrix) -> None:
        """Add the sum over rows of x[i, k] * g[i, o]."""
        kernels, threads = self.target.dense, self.target.threads
        if not self.exact:
            self._add_float(lambda out: kernels.weight_gradient(x, g, out, threads))
            return
        kernels.weight_gradient_exact(x, g, self._wide, self._error, threads)
        self._add_exact(lambda elements, limbs: kernels.weight_gradient_limbs(x, g, elements, limbs))

    def add_rows(self, g: Matrix) -> None:
        """Add the sum over rows of g[i, o]."""
        kernels = self.target.dense
        if not self.exact:
            self._add_float(lambda out: kernels.bias_gradient(g, out))
            return
        kernels.bias_gradient_exact(g, self._wide, self._error)
        self._add_exact(lambda elements, limbs: kernels.bias_gradient_limbs(g, elements, limbs))

    def _add_float(self, compute: Any) -> None:
        self._uses += 1
        if self._uses == 1:
            compute(self._total)
            return
        if self._scratch is None:
            self._scratch = self.target.asarray(np.zeros(self.shape, np.float32))
        compute(self._scratch)
        whole = self._total.reshape(-1)
        self.target.dense.add(whole, self._scratch.reshape(-1), whole)

    def _add_exact(self, add_limbs: Any) -> None:
        self._uses += 1
        error = self.target.to_host(self._error).reshape(-1)
        values = self.target.to_host(self._wide).reshape(-1)
        elements = reduction.inexact(error)
        limbs = reduction.limbs_of(len(elements))
        if len(elements):
            on_target = self.target.asarray(limbs)
            add_limbs(self.target.asarray(elements), on_target)
            limbs = self.target.to_host(on_target)
        part = reduction.settle(values, elements, limbs)
        self._partial = part if self._uses == 1 else reduction.combine([self._partial, part])

    def _nothing(self) -> reduction.Partial:
        size = int(np.prod(self.shape))
        return reduction.Partial(np.zeros(size), np.zeros(0, np.int64), reduction.limbs_of(0))

    def total(self) -> NDArray[np.float32]:
        """The float32 sum, host (a view on the CPU); +0 where nothing was added."""
        if not self._uses:
            return np.zeros(self.shape, np.float32)
        return self.target.to_host(self._total)

    def partial(self) -> reduction.Partial:
        """The unrounded sum, flat, host."""
        return self._partial if self._uses else self._nothing()
