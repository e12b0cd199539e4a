"""Do all ranks mean the same job? Rule: sync_training 4."""

from __future__ import annotations

from collections.abc import Mapping

from monolith_ref.sync.communicator import Communicator

__all__ = ["check_agreement"]


def check_agreement(communicator: Communicator, configuration: Mapping[str, str]) -> str:
    """Compare a configuration (settings, versions, tables, dims ...) over all ranks; its digest (64 hex digits).

    Raises
    ------
    ConfigError
        On every rank, naming the first key that differs, the values and the ranks that have them.
    """
    raise NotImplementedError
