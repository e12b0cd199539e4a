"""NaN and infinity among gradients: raise, propagate or skip, all ranks alike. Rule: sync_training 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from monolith_ref.errors import ArgumentError, SyncError
from monolith_ref.sync.communicator import Communicator

__all__ = ["Finding", "NonFiniteGuard", "first_non_finite"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One element that is not finite.

    Attributes
    ----------
    where : str
        Feature (or table) of an embedding gradient, or name of a dense variable or of the loss.
    element : int
        Element within the embedding, or flat element of the variable.
    value : float
    fid : int or None
        None: not an embedding.
    received : bool
        Found in what came from other ranks or was reduced with them: the cause may be theirs.
    """

    where: str
    element: int
    value: float
    fid: int | None = None
    received: bool = False

    def text(self) -> str:
        """As a part of a sentence."""
        if self.fid is None:
            return f"{self.where}, element {self.element}: {self.value}"
        return f"gradient of fid {self.fid} (feature {self.where}), element {self.element}: {self.value}"


def first_non_finite(values: NDArray[Any]) -> int:
    """Flat number of the first NaN or infinity, -1 if there is none."""
    flat = values.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        # NaN and infinity survive every sum, so a finite one (nearly always) ends the search at once.
        if np.isfinite(flat.sum()):
            return -1
    bad = np.flatnonzero(~np.isfinite(flat))
    return int(bad[0]) if len(bad) else -1


class NonFiniteGuard:
    """Ranks agree on what to do with a step before any row changes.

    Parameters
    ----------
    communicator : Communicator
    policy : {"raise", "propagate", "skip"}
        ``training.non_finite``. ``propagate`` does not look, and costs nothing.
    """

    def __init__(self, communicator: Communicator, policy: Literal["raise", "propagate", "skip"] = "raise") -> None:
        if policy not in ("raise", "propagate", "skip"):
            raise ArgumentError(f"training.non_finite must be raise, propagate or skip, not {policy!r}")
        self._communicator = communicator
        self.policy = policy

    def is_settled(self, sound: bool) -> bool:
        """Collective: True where every rank knows, without a look at each number, that all are finite."""
        if self._communicator.size == 1:
            return sound
        return bool(self._communicator.allgather(np.array([sound], np.uint8), "finite").all())

    def admits(self, finding: Finding | None, step: int) -> bool:
        """True: go on with the updates. False: skip the step, on all ranks.

        ``finding``: the first element on this rank that is not finite, if any.

        Raises
        ------
        SyncError
            Policy ``raise``: on all ranks, naming step, rank and what it found: the lowest rank that found something
            of its own, else the lowest that received it.
        """
        if self.policy == "propagate":
            return True
        mine = 0 if finding is None else 1 if finding.received else 2
        found = self._communicator.allgather(np.array([mine], np.uint8), "finite")[:, 0]
        if not found.any():
            return True
        if self.policy == "skip":
            return False
        texts = self._communicator.allgather_bytes(b"" if finding is None else finding.text().encode(), "not finite")
        rank = int(np.argmax(found))
        raise SyncError(f"step {step}, rank {rank}: {texts[rank].decode()} (training.non_finite=raise)")
