"""SHA-256 digests of a model's state and of its losses: how runs are compared across ranks and machines.

The state digest is that of sync_training 6.4 for any model: rows in ascending order of their fids, each its fid
(int64), weights, then every state array of every segment by name; then each dense variable, in order of creation,
followed by its optimizer arrays by name. Little-endian. Layouts, ranks and threads do not show in it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from monolith_kernels.layout import State
from numpy.typing import NDArray

from monolith_ref.fid import slot_of_v2

if TYPE_CHECKING:
    from monolith_ref.training.engine import Engine

__all__ = ["LossDigest", "state_digest"]

_CHUNK = 1 << 15


class LossDigest:
    """A digest of the losses of all steps that a run can continue: d = SHA-256(d, loss), 64 zeros at the start."""

    def __init__(self, start: str = "0" * 64) -> None:
        self._digest = bytes.fromhex(start)

    def add(self, loss: float | np.float32) -> None:
        """Take in the loss of the next step."""
        self._digest = hashlib.sha256(self._digest + np.float32(loss).astype("<f4").tobytes()).digest()

    def hexdigest(self) -> str:
        """The digest so far, 64 hex digits."""
        return self._digest.hex()


def _columns(weights: NDArray[np.float32], state: list[State]) -> list[NDArray[Any]]:
    """Weights and state arrays, in the order of the digest, as bytes of little-endian words [rows, bytes]."""
    parts: list[NDArray[Any]] = [weights]
    for segment in state:
        parts += [segment[name] for name in sorted(segment)]
    return [_bytes(part.reshape(len(weights), math.prod(part.shape[1:]))) for part in parts]


def _bytes(part: NDArray[Any]) -> NDArray[np.uint8]:
    little = np.ascontiguousarray(part, part.dtype.newbyteorder("<"))
    return little.view(np.uint8).reshape(len(part), part.shape[1] * part.dtype.itemsize)


def _rows_by_slot(engine: Engine) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """Fids and bytes of the rows of every slot, ascending by slot; the rows of all ranks, on every rank."""
    communicator = engine.communicator
    held: dict[int, tuple[NDArray[np.int64], NDArray[np.uint8]]] = {}
    widths: dict[int, int] = {}
    for spec in engine.tables:
        dump = engine.embeddings.tables[spec.name].export()
        rows = np.concatenate(_columns(dump.weights, dump.state), axis=1)
        slots = slot_of_v2(dump.ids)
        for slot in np.unique(slots).tolist():
            mine = slots == slot
            earlier_ids, earlier_rows = held.get(slot, (dump.ids[:0], rows[:0]))
            held[slot] = np.concatenate([earlier_ids, dump.ids[mine]]), np.concatenate([earlier_rows, rows[mine]])
            widths[slot] = rows.shape[1]
    known = np.array(sorted(widths.items()), np.int64).reshape(-1, 2)
    for slot, width in np.unique(np.concatenate(communicator.allgatherv(known, "digest: slots")), axis=0).tolist():
        none = np.empty(0, np.int64), np.empty((0, width), np.uint8)
        ids, rows = held.pop(slot, none)
        yield (
            np.concatenate(communicator.allgatherv(ids, "digest: ids")),
            np.concatenate(communicator.allgatherv(rows, "digest: rows")),
        )


def state_digest(engine: Engine) -> str:
    """The digest of all rows and dense variables, 64 hex digits; the same on every rank. Collective."""
    digest = hashlib.sha256()
    for ids, rows in _rows_by_slot(engine):
        order = np.argsort(ids)
        for start in range(0, len(order), _CHUNK):
            some = order[start : start + _CHUNK]
            digest.update(np.concatenate([_bytes(ids[some].reshape(-1, 1)), rows[some]], axis=1).data)
    slots = engine.slots
    for name, value in engine.variables.items():
        for array in (value, *(slots[name][field] for field in sorted(slots[name]))):
            digest.update(_bytes(array.reshape(1, -1)).data)
    return digest.hexdigest()
