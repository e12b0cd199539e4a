"""NaN and infinity among gradients: raise, propagate or skip, all ranks alike. Rule: sync_training 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from monolith_ref.sync.communicator import Communicator

__all__ = ["Finding", "NonFiniteGuard"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One element that is not finite: of an embedding gradient, or of a dense one (``feature`` names it, no ``fid``)."""

    feature: str
    element: int
    value: float
    fid: int | None = None


class NonFiniteGuard:
    """Ranks agree on what to do with a step before any row changes."""

    def __init__(self, communicator: Communicator, policy: Literal["raise", "propagate", "skip"] = "raise") -> None:
        raise NotImplementedError

    def admits(self, finding: Finding | None, step: int) -> bool:
        """True: go on with the updates. False: skip the step, on all ranks.

        Raises
        ------
        SyncError
            Policy ``raise``: on all ranks, naming fid, feature, element, rank and step of the lowest rank's finding.
        """
        raise NotImplementedError
