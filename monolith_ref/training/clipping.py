"""Clipping by the rank's own global norm, before any exchange. Rule: features 6, sync_training 2.2."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from monolith_ref.features.ragged import Ragged

__all__ = ["clip_factor", "global_norm"]


def global_norm(
    dense: Iterable[NDArray[np.float32]],
    dx: NDArray[np.float32],
    ragged: Mapping[str, Ragged],
    columns: Mapping[str, tuple[int, int]],
) -> np.float32:
    """Norm of dense gradients and of the gradient of every id occurrence together; squares are summed in float64.

    An occurrence's gradient is its row's part of ``dx`` [rows, width or more], so a row counts once per id.
    """
    total = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for gradient in dense:
            total += float(np.square(gradient, dtype=np.float64).sum())
        for feature, (first, width) in columns.items():
            part = np.square(dx[:, first : first + width], dtype=np.float64).sum(axis=1)
            total += float((part * ragged[feature].lengths())[ragged[feature].lengths() > 0].sum())
        return np.float32(np.sqrt(total))


def clip_factor(
    limit: float,
    dense: Iterable[NDArray[np.float32]],
    dx: NDArray[np.float32],
    ragged: Mapping[str, Ragged],
    columns: Mapping[str, tuple[int, int]],
) -> np.float32 | None:
    """What every gradient is multiplied by, float32(limit) / norm; None where the norm is not above the limit (or
    NaN)."""
    norm = global_norm(dense, dx, ragged, columns)
    with np.errstate(divide="ignore"):
        return np.float32(np.float32(limit) / norm) if norm > np.float32(limit) else None
