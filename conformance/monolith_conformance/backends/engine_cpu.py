"""The engine on the CPU: in one process, and over the ranks of a job."""

from __future__ import annotations

from monolith_conformance.backend import Backend
from monolith_conformance.backends.engine import EngineBackend
from monolith_conformance.backends.engine_ranks import RankedBackend
from monolith_ref.sync.communicator import Communicator

__all__ = ["CpuBackend"]


class CpuBackend(EngineBackend):
    """The engine on the CPU."""

    name = "engine-cpu"
    spans_ranks = True

    def over_ranks(self, communicator: Communicator) -> Backend:
        return RankedBackend(communicator)
