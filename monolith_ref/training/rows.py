"""The row store of a planned table."""

from __future__ import annotations

from monolith_kernels.target import Target

from monolith_ref.errors import UnsupportedError
from monolith_ref.features.tables import TableSpec
from monolith_ref.quirks import Quirks
from monolith_ref.table.build import row_layout
from monolith_ref.table.config import check_table_config
from monolith_ref.table.store import RowStore

__all__ = ["make_store"]


def make_store(spec: TableSpec, target: Target, quirks: Quirks) -> RowStore:
    """An empty store for one rank's part of a table; ConfigError where the configuration cannot be built.

    UnsupportedError for occurrence thresholds: synchronous training has no admission filters.
    """
    if any(threshold > 0 for threshold in spec.occurrence_thresholds):
        raise UnsupportedError(
            f"table {spec.name}: synchronous training has no admission filters (occurrence_threshold)"
        )
    plan = check_table_config(spec.config.table_config, quirks)
    capacity = plan.config.initial_capacity
    return RowStore(row_layout(plan, quirks), target, quirks=quirks, expected=capacity if capacity > 1 else 0)
