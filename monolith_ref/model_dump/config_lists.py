"""The three configuration lists of a recorder, and slots by feature. Rule: model_dump 7.6."""

from __future__ import annotations

from typing import Any

from monolith_protos import model_dump_pb2

from monolith_ref.model_dump import configs
from monolith_ref.model_dump.notices import warn

__all__ = ["ConfigLists"]


class ConfigLists:
    """Table configurations, slice dimensions and combiners, each as the messages of the file."""

    feature_slots: dict[str, int]

    def __init__(self) -> None:
        self._tables: list[model_dump_pb2.HashTableConfig] = []
        self._dims: list[model_dump_pb2.FeatureSliceDim] = []
        self._combiners: list[model_dump_pb2.FeatureCombiner] = []

    @property
    def table_configs(self) -> dict[str, configs.TableRecord]:
        """``{name: TableRecord}``; set with those or with ``HashTableConfigInstance`` objects."""
        return configs.tables_of(self._tables)

    @table_configs.setter
    def table_configs(self, value: Any) -> None:
        self._tables = configs.table_messages(value)

    @property
    def feature_slice_dims(self) -> dict[str, list[int]]:
        """``{name: [dim, ...]}``."""
        return configs.dims_of(self._dims)

    @feature_slice_dims.setter
    def feature_slice_dims(self, value: Any) -> None:
        self._dims = configs.dim_messages(value)

    @property
    def feature_combiners(self) -> dict[str, Any]:
        """``{name: combiner}``."""
        return configs.combiners_of(self._combiners)

    @feature_combiners.setter
    def feature_combiners(self, value: Any) -> None:
        self._combiners = configs.combiner_messages(value)

    @property
    def has_collected(self) -> bool:
        """Whether all three lists have entries."""
        return bool(self._tables and self._dims and self._combiners)

    def _fill_lists(self, message: model_dump_pb2.ModelDump) -> None:
        message.table_configs.extend(self._tables)
        message.feature_slice_dims.extend(self._dims)
        message.feature_combiners.extend(self._combiners)

    def _take_lists(self, message: model_dump_pb2.ModelDump) -> None:
        self._tables = list(message.table_configs)
        self._dims = list(message.feature_slice_dims)
        self._combiners = list(message.feature_combiners)

    def get_proto_model(self, mode: str) -> model_dump_pb2.ProtoModel:
        """The record of a mode."""
        raise NotImplementedError

    def get_slot_to_occurrence_threshold(self, mode: str = "train") -> dict[int, int]:
        """``{slot: occurrence_threshold}`` of a mode's features; unknown slots are left out (``unresolved_slot``)."""
        return self._slot_map(mode, "occurrence_threshold")

    def get_slot_to_expire_time(self, mode: str = "train") -> dict[int, int]:
        """``{slot: expire_time}`` of a mode's features; unknown slots are left out (``unresolved_slot``)."""
        return self._slot_map(mode, "expire_time")

    def _slot_map(self, mode: str, field: str) -> dict[int, int]:
        out: dict[int, int] = {}
        for column in self.get_proto_model(mode).features:
            slot = self._slot_of(column.feature_name)
            if slot is None:
                warn("unresolved_slot", f"the slot of '{column.feature_name}' is not known", stacklevel=4)
            else:
                out[slot] = getattr(column, field)
        return out

    def _slot_of(self, name: str) -> int | None:
        if name in self.feature_slots:
            return self.feature_slots[name]
        try:
            return configs.slot_in_name(name)
        except ValueError:
            return None
