"""What one step holds between its stages: ids, counts, buffers. Rule: sync_training 2.2."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Step"]


@dataclass(slots=True)
class Step:
    """Filled stage by stage. Block order is (rank, table, first occurrence) everywhere."""
