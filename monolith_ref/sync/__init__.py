"""Ranks: communicators, exchanges of ids, rows and gradients, reductions, and how a job ends.

Public names are imported on first use, so that importing this package loads neither kernels nor mpi4py.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monolith_ref.sync.agreement import check_agreement
    from monolith_ref.sync.communicator import Communicator, SerialCommunicator, Traffic
    from monolith_ref.sync.dense import DenseReducer
    from monolith_ref.sync.embeddings import STAGES, ShardedEmbeddings
    from monolith_ref.sync.finite import Finding, NonFiniteGuard
    from monolith_ref.sync.guard import run_guarded
    from monolith_ref.sync.launch import make_communicator

__all__ = [
    "STAGES",
    "Communicator",
    "DenseReducer",
    "Finding",
    "NonFiniteGuard",
    "SerialCommunicator",
    "ShardedEmbeddings",
    "Traffic",
    "check_agreement",
    "make_communicator",
    "run_guarded",
]

_HOMES = {
    "STAGES": "embeddings",
    "Communicator": "communicator",
    "DenseReducer": "dense",
    "Finding": "finite",
    "NonFiniteGuard": "finite",
    "SerialCommunicator": "communicator",
    "ShardedEmbeddings": "embeddings",
    "Traffic": "communicator",
    "check_agreement": "agreement",
    "make_communicator": "launch",
    "run_guarded": "guard",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found
