"""The random streams that rows of all tables of one rank share. Rule: optimizers 3, 5, tables 6.

One mt19937 stream serves every initializer, one generator every stochastic rounding, rows in batch order over all
tables that were given the same :class:`RandomStreams`.
"""

from __future__ import annotations

import threading

import numpy as np
from monolith_kernels import random
from numpy.typing import NDArray

from monolith_ref.errors import ArgumentError
from monolith_ref.quirks import Quirks, as_quirks

__all__ = ["RandomStreams"]

_CHUNK = 1 << 20


class RandomStreams:
    """Both generators, at their start, and how far the first one has come.

    Attributes
    ----------
    initializer : uint32[625]
        mt19937 state.
    rounding : uint32[2]
        (z, w).
    draws : int
        Draws taken from ``initializer``.
    lock : RLock
        Held by every call on a table that draws from these streams: calls of several threads come one after the other.
    """

    def __init__(self, quirks: str | Quirks | None = None) -> None:
        self.lock = threading.RLock()
        self._stuck = "sr_stuck_generator" in as_quirks(quirks)
        self.initializer: NDArray[np.uint32] = random.mt19937()
        self.rounding: NDArray[np.uint32] = random.rounding_generator(self._stuck)
        self.draws = 0

    def export_state(self) -> tuple[int, tuple[int, int]]:
        """(initializer draws taken, (z, w)): what a checkpoint keeps."""
        return self.draws, (int(self.rounding[0]), int(self.rounding[1]))

    def import_state(self, draws: int, rounding: tuple[int, int]) -> None:
        """Continue where an exported state was. ArgumentError for a negative number of draws."""
        if draws < 0:
            raise ArgumentError(f"a stream cannot be {draws} draws in")
        self.initializer = random.mt19937()
        self.draws = draws
        while draws > 0:
            some = min(draws, _CHUNK)
            random.uniforms(self.initializer, some)
            draws -= some
        self.rounding[:] = rounding
