"""The three configuration lists as the original's newest revision keeps them. Rule: model_dump 6."""

from __future__ import annotations

from typing import Any, cast

from monolith_protos import model_dump_pb2

from monolith_ref.model_dump import configs
from monolith_ref.model_dump.config_lists import ConfigLists

__all__ = ["OriginalLists"]


class OriginalLists(ConfigLists):
    """Nothing is checked before it is kept, and what does not fit is Python's own exception."""

    @property
    def table_configs(self) -> dict[str, configs.TableRecord]:
        """As in the clean recorder."""
        return configs.tables_of(self._tables)

    @table_configs.setter
    def table_configs(self, value: Any) -> None:
        if not value:
            return
        assert isinstance(value, dict)
        self._tables = []
        for name, instance in value.items():
            if any(callable(rate) for rate in instance.learning_rate_fns):
                raise Exception("learning_rate_fn is not support!")
            self._tables.extend(configs.table_messages({name: instance}))

    @property
    def feature_slice_dims(self) -> dict[str, list[int]]:
        """As in the clean recorder."""
        return configs.dims_of(self._dims)

    @feature_slice_dims.setter
    def feature_slice_dims(self, value: Any) -> None:
        if value:
            assert isinstance(value, dict)
            self._dims = configs.dim_messages(value)

    @property
    def feature_combiners(self) -> dict[str, Any]:
        """As in the clean recorder, but FirstN without a length is an AssertionError."""
        for message in self._combiners:
            if message.combiner == model_dump_pb2.FirstN:
                assert message.max_seq_length > 0, "seq_length must be greater than 0"
        return configs.combiners_of(self._combiners)

    @feature_combiners.setter
    def feature_combiners(self, value: Any) -> None:
        if not value:
            return
        assert isinstance(value, dict)
        self._combiners = []
        for name, combiner in value.items():
            kind = {"ReduceSum": 0, "ReduceMean": 1}.get(type(combiner).__name__, 2)
            length = configs.length_of(combiner) if kind == 2 else 0
            self._combiners.append(
                model_dump_pb2.FeatureCombiner(name=name, combiner=cast(Any, kind), max_seq_length=length)
            )

    @property
    def has_collected(self) -> bool:
        """All or nothing, else an AssertionError."""
        lists = (self._tables, self._dims, self._combiners)
        if all(lists):
            return True
        assert not any(lists)
        return False
