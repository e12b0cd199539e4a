"""The oracle's side of features.json: combiners, layouts and segment sums. The rest it does not define."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from monolith_conformance.oracle import combine as oracle
from monolith_ref.errors import UnsupportedError
from monolith_ref.quirks import Quirks

__all__ = ["OracleFeatures"]

F4 = NDArray[np.float32]


class OracleFeatures:
    """What feature cases ask, from the oracle."""

    def __init__(self, profile: str, quirks: Quirks) -> None:
        self._profile, self._quirks = profile, quirks

    def combine(self, kind: str, values: F4, splits: Sequence[int], n: int = 0) -> F4:
        """Forward of a combiner."""
        return oracle.combine(kind, values, splits, n, profile=self._profile, quirks=self._quirks.on)

    def combine_gradient(self, kind: str, upstream: F4, values: F4, splits: Sequence[int], n: int = 0) -> F4:
        """Gradient of a combiner."""
        return oracle.combine_gradient(kind, upstream, values, splits, n, profile=self._profile)

    def segment_sum(self, values: F4, ids: Sequence[int], rows: int) -> F4:
        """Sequential sums of rows."""
        splits = [int(np.searchsorted(np.asarray(ids), row)) for row in range(rows + 1)]
        return oracle.combine("reduce_sum", values, splits)

    def layout_forward(self, case: dict[str, Any], embeddings: Sequence[F4]) -> list[F4]:
        """Output tensors."""
        return oracle.layout_forward(case, embeddings)

    def layout_backward(self, case: dict[str, Any], embeddings: Sequence[F4], gradients: Sequence[F4]) -> list[F4]:
        """Gradients of the embedding buffers."""
        return oracle.layout_backward(case, embeddings, gradients)

    def __getattr__(self, name: str) -> Any:
        def refuse(*_: Any) -> NoReturn:
            raise UnsupportedError(f"the oracle does not define {name}")

        return refuse
