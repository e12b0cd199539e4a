"""From a checked table message to what kernels take: rules, initializers, quantizers and the row's layout."""

from __future__ import annotations

from typing import Any

from monolith_kernels import rules
from monolith_kernels.layout import RowLayout, Segment
from monolith_kernels.rules import initializers, quantizers
from monolith_protos.hash_table_pb2 import EntryConfig

from monolith_ref.quirks import Quirks
from monolith_ref.table.config import TablePlan

__all__ = ["row_layout", "segment_quantizers"]


def _set_fields(message: Any) -> tuple[str, dict[str, Any]]:
    """The oneof member of a part's message and its present fields but dim_size, which the segment decides."""
    member = message.WhichOneof("type")
    inner = getattr(message, member)
    return member, {field.name: value for field, value in inner.ListFields() if field.name != "dim_size"}


def _quantizer(segment: EntryConfig.Segment, quirks: Quirks) -> Any:
    if not segment.HasField("comp_config"):
        return quantizers.Fp32()
    kind, fields = _set_fields(segment.comp_config)
    return quantizers.make(kind, fields, quirks.on)


def segment_quantizers(plan: TablePlan, quirks: Quirks) -> list[Any]:
    """The quantizer of each segment (fp32 where a training segment has none)."""
    return [_quantizer(segment, quirks) for segment in plan.segments]


def row_layout(plan: TablePlan, quirks: Quirks) -> RowLayout:
    """The layout of a training table's rows."""
    segments = []
    for segment in plan.segments:
        rule, fields = _set_fields(segment.opt_config)
        start, start_fields = _set_fields(segment.init_config)
        segments.append(
            Segment(
                segment.dim_size,
                rules.make(rule, fields, quirks.on),
                initializers.make(start, start_fields),
                segment.opt_config.stochastic_rounding_float16,
                _quantizer(segment, quirks),
            )
        )
    return RowLayout.of(
        segments,
        round_rest_of_row="sr_rounds_rest_of_row" in quirks,
        drop_global_step="decorator_drops_global_step" in quirks,
    )
