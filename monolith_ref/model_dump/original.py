"""The recorder as the original's newest revision behaves, member by member, faults included. Rule: model_dump 6, 7.

Exceptions are Python's own, as there: a call that raises may leave half a record. What is not reproduced executes data:
params and reprs are read by the same inert readers as in the clean recorder.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar, cast

from google.protobuf.message import DecodeError
from monolith_protos import graph_pb2, model_dump_pb2

from monolith_ref.errors import DumpError
from monolith_ref.model_dump import inputs, model_record, params
from monolith_ref.model_dump.canonical import canonical_bytes
from monolith_ref.model_dump.file import replace_file
from monolith_ref.model_dump.graphs import Slicer, parse_graph
from monolith_ref.model_dump.literals import write_literal
from monolith_ref.model_dump.notices import warn
from monolith_ref.model_dump.optimizers import optimizer_object
from monolith_ref.model_dump.original_configs import OriginalLists
from monolith_ref.model_dump.original_fields import add_heads, add_output, try_set
from monolith_ref.model_dump.parsing import parse
from monolith_ref.model_dump.pickles import write_pickle
from monolith_ref.model_dump.recorder import Recorder
from monolith_ref.model_dump.stand_ins import Graph, Ragged, Tensor

__all__ = ["OriginalRecorder"]

F = TypeVar("F", bound=Callable[..., Any])


class OriginalRecorder(OriginalLists, Recorder, compat="original"):
    """``Recorder(compat="original")``."""

    def __init__(self, enable: bool = True, **options: Any) -> None:
        super().__init__(enable, **options)
        self._invented_slots: dict[str, int] = {}

    # Plain state -----------------------------------------------------------------------------------------------------

    @property
    def need_record(self) -> bool:
        """``enable``, and the graph was never given ``dry_run``: its value is not looked at."""
        return bool(self.enable and "dry_run" not in self.graph.given)

    def add_config(self, text: str) -> None:
        """Keep any value."""
        self._run_config = text

    def add_user_params(self, names: Any) -> None:
        """Keep the caller's own list."""
        self._user_params = names

    def get_user_params(self) -> list[str]:
        """The list itself."""
        return self._user_params

    # Recorded functions ----------------------------------------------------------------------------------------------

    def record_feature(self, function: F, *, graph: Graph | None = None) -> F:
        """Records before the call; what does not fit is a warning."""
        if graph is not None:
            return self.bound_to(graph, self.record_feature(function))

        def wraper(*args: Any, **kwargs: Any) -> Any:
            self.update_kwargs_with_default(function, kwargs)
            if self.need_record:
                column = self.model_dump.features.add()
                for name, value in [*self._positional(function, args), *kwargs.items()]:
                    if value is None and name in kwargs:
                        continue
                    if name == "feature_name" and isinstance(value, int):
                        value = self._name_of_slot(value)
                    try_set(column, name, value)
            return function(*args, **kwargs)

        return cast(F, wraper)

    def record_slice(self, function: F, *, graph: Graph | None = None) -> F:
        """Records before the call, and the outputs after it."""
        if graph is not None:
            return self.bound_to(graph, self.record_slice(function))

        def warper(*args: Any, **kwargs: Any) -> Any:
            self.update_kwargs_with_default(function, kwargs)
            if not self.need_record:
                return function(*args, **kwargs)
            if kwargs.get("learning_rate_fn") is not None:
                raise Exception("for safety purpose learning_rate_fn is not allowed")
            record = self.model_dump.emb_slices.add()
            for name, value in [*self._positional(function, args), *kwargs.items()]:
                if value is None:
                    continue
                try_set(record, name, repr(value) if name == "features" else value)
            result = function(*args, **kwargs)
            items = result if isinstance(result, list | tuple) else [result]
            record.output_tensor_names.extend(item.name for item in items)
            self._note(result)
            return result

        return cast(F, warper)

    @staticmethod
    def _positional(function: Callable[..., Any], args: tuple[Any, ...]) -> list[tuple[str, Any]]:
        names = list(inspect.signature(function).parameters)
        pairs = list(zip(names, args, strict=False))
        return pairs[1:] if names and names[0] == "self" else pairs

    def record_receiver(self, function: F, *, graph: Graph | None = None) -> F:
        """A second call merges into the maps."""
        if graph is not None:
            return self.bound_to(graph, self.record_receiver(function))

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            if self.need_record:
                message = self.model_dump.serving_input_receiver_fn
                for name, feature in result.features.items():
                    if isinstance(feature, Tensor) and feature.shape is None:
                        raise ValueError("Cannot take the length of shape with unknown rank.")
                    message.features[name] = inputs.receiver_text(name, feature)
                for name, tensor in result.receiver_tensors.items():
                    message.receiver_name[name] = tensor.name
                self._note(result.features, result.receiver_tensors)
                message.parser_type = cast(str, self.parser_type)
            return result

        return cast(F, wrapper)

    # Parameters and optimizer ----------------------------------------------------------------------------------------

    def record_params(self, model: Any) -> list[str]:
        """Adds names; properties are evaluated."""
        names = params.attribute_names(dir(model), lambda name: getattr(model, name))
        self._params.update(names)
        return sorted(self._params)

    def get_params_bytes(self, model: Any) -> bytes | None:
        """A pickle of inert values."""
        if not self.need_record:
            return None
        chosen = {name: getattr(model, name) for name in sorted(self._params)}
        return write_pickle(params.inert_params(chosen, getattr(model, "_layout_dict", None)))

    def add_optimizer(self, optimizer: Any, *, graph: Graph | None = None) -> None:
        """A pickle of the original's class with our numbers, and the typed form."""
        if graph is not None:
            self.bound_to(graph, self.add_optimizer)(optimizer)
            return
        if self.need_record:
            self.model_dump.optimizer = write_pickle(optimizer_object(optimizer))
            self.model_dump.typed_optimizer = params.optimizer_json(optimizer)

    # Model and input functions ---------------------------------------------------------------------------------------

    def add_input_fn(self, results: Any, *, graph: Graph | None = None) -> None:
        """Merges into the maps; stops half way where a value does not fit."""
        if graph is not None:
            self.bound_to(graph, self.add_input_fn)(results)
            return
        if not self.need_record:
            return
        features, label = (results[0], results[1]) if isinstance(results, tuple) else (results, None)
        assert isinstance(features, dict)
        message = self.model_dump.input_fn
        for name, feature in features.items():
            if isinstance(feature, Ragged):
                text = write_literal({"name": feature.values.node, "is_ragged": True})
            else:
                text = write_literal({"name": feature.name, "is_ragged": False})
            message.output_features[name] = text
        self._note(features, label)
        if label is not None:
            message.label = label.name
        message.parser_type = cast(str, self.parser_type)
        pools = self.graph.item_pools
        assert len(pools) <= 1
        if pools:
            message.item_pool = pools[0].name

    def add_model_fn(
        self,
        model: Any,
        mode: str,
        features: Mapping[str, Any],
        label: Any,
        loss: Any,
        pred: Any,
        head_name: Any = None,
        is_classification: Any = None,
        *,
        graph: Graph | None = None,
    ) -> None:
        """Appends to what the graph has; stops half way where a value does not fit."""
        if graph is not None:
            given = (model, mode, features, label, loss, pred, head_name, is_classification)
            self.bound_to(graph, self.add_model_fn)(*given)
            return
        if not self.need_record:
            return
        graph = self.graph
        record = graph.record
        message = record.model_fn
        add_heads(message, label, loss, pred, head_name, is_classification)
        message.summary.extend(item.node if isinstance(item, Tensor) else str(item) for item in graph.summaries)
        last: Any = None
        columns = {column.feature_name for column in record.features}
        for name, last in features.items():
            if name not in columns and not isinstance(last, Ragged):
                message.non_ragged_features[name] = last.name
        for last in graph.losses:
            message.extra_losses.append(last.name)
        for name, output in graph.export_outputs.items():
            add_output(record.extra_output.add(signature_name=name), output, last)
        if graph.training_hooks:
            hooks = graph.training_hooks
            kinds = [cls.__name__ for cls in type(hooks[0]).__mro__]
            if len(hooks) > 1 or "ItemPoolSaveRestoreHook" not in kinds:
                raise Exception("For safety purpose, customer hooks is not allowed!")
        self.add_signature(record, graph)
        for name, data in graph.save_slice_info.items():
            record.save_slice_info[name] = data
        if model is not None:
            record.params = self.get_params_bytes(model) or b""
        self._note(dict(features), label, loss, pred, graph.losses, graph.export_outputs, graph.summaries)
        self._store("train" if mode == "train" else "infer", mode, graph)

    def parse_input_fn_result(self, result: Any, *, graph: Graph | None = None) -> tuple[Any, Any, list[Any]]:
        """Records first and checks then; a missing initializer goes unnoticed."""
        if graph is not None:
            return self.bound_to(graph, self.parse_input_fn_result)(result)
        hook: Any
        if isinstance(result, inputs.Dataset):
            hook = inputs.DatasetInitializerHook(result)
            result = result.next_element(self.graph)
        else:
            hook = inputs.DatasetInitHook(self.graph.initializers[0] if self.graph.initializers else None)
        self.add_input_fn(result)
        if isinstance(result, tuple):
            if len(result) != 2:
                raise ValueError("input_fn should return (features, labels) as a len 2 tuple.")
            return result[0], result[1], [hook]
        return result, None, [hook]

    # Signatures and sub-models ---------------------------------------------------------------------------------------

    def add_signature(self, proto: model_dump_pb2.ProtoModel, graph: Graph) -> None:
        """Appends."""
        proto.signature.extend(self._signature_messages(graph))

    def restore_signature(self, proto: model_dump_pb2.ProtoModel, graph: Graph) -> None:
        """A name that the graph lacks is a KeyError."""
        try:
            super().restore_signature(proto, graph)
        except DumpError as error:
            raise KeyError(str(error)) from None

    def add_sub_model(self, sub_model_type: str, name: str, graph: Graph) -> None:
        """The first graph under a name stays."""
        if not self.need_record:
            return
        assert sub_model_type in ("ps", "dense")
        if name not in self._sub_models[sub_model_type]:
            super().add_sub_model(sub_model_type, name, graph)

    def restore_sub_model(self, sub_model_type: str) -> None:
        """Outside of an export nothing happens, whatever the type."""
        if self.export_context is None:
            return
        if sub_model_type not in ("ps", "dense"):
            raise Exception(f"sub_model_type: {sub_model_type} error ")
        super().restore_sub_model(sub_model_type)

    # File ------------------------------------------------------------------------------------------------------------

    def dump(self, fname: str | PathLike[str]) -> bool:
        """Writes what there is; without a train model a TypeError."""
        if not self.enable:
            return False
        if "train" not in self._models:
            raise TypeError("Parameter to CopyFrom() must be instance of same class: expected ProtoModel got NoneType.")
        replace_file(fname, [canonical_bytes(self.to_message())])
        return True

    def load(self, fname: str | PathLike[str]) -> None:
        """Nothing is checked; lists grow; a missing train model is made, empty."""
        message = parse(model_dump_pb2.ModelDump, Path(fname).read_bytes())
        for mode in ("train", "infer"):
            if mode == "train" or mode in message.model_dump:
                proto = message.model_dump[mode]
                _parse_strictly(proto.graph_def)
                record = model_dump_pb2.ProtoModel()
                record.CopyFrom(proto)
                record.ClearField("graph_def")
                self._models[mode] = model_record.Model(record, proto.graph_def, mode)
        self._run_config = message.run_config
        self._user_params.extend(message.user_params)
        self._tables.extend(message.table_configs)
        self._dims.extend(message.feature_slice_dims)
        self._combiners.extend(message.feature_combiners)
        self._sub_models["ps"].update(model_record.copies(message.ps_sub_model_dump))
        self._sub_models["dense"].update(model_record.copies(message.dense_sub_model_dump))

    def find_proto_model(self, mode: str) -> model_dump_pb2.ProtoModel | None:
        """The record of a mode, or None: what the original's ``get_proto_model`` returns."""
        found = self._models.get("train" if mode in ("train", "eval") else "infer")
        return None if found is None else found.record

    def get_proto_model(self, mode: str) -> model_dump_pb2.ProtoModel:
        """The record of a mode; None if there is none."""
        return cast(model_dump_pb2.ProtoModel, self.find_proto_model(mode))

    def get_graph_helper(self, mode: str) -> Slicer:
        """Cached on the current graph, whatever the mode."""
        helper: Slicer | None = self.graph.helper
        if helper is None:
            found = self._models.get("train" if mode in ("train", "eval") else "infer")
            if found is None:
                raise AttributeError("'NoneType' object has no attribute 'save_slice_info'")
            helper = Slicer(_graph_or_empty(found.graph_def), found.record.save_slice_info)
            self.graph.helper = helper
        return helper

    def restore_params(self) -> dict[str, Any] | None:
        """Only the key of the newest revision is read; empty layouts are an Exception."""
        record = self.find_proto_model("train")
        if record is None or not record.params:
            return None
        value = params.read_params(record.params)[0]
        if not value.get("_layout_dict"):
            raise Exception("layout_dict is empty")
        layouts = params.restored(value)["layout_dict"]
        out = {name: item for name, item in value.items() if name != "_training_hooks"}
        out["_layout_dict"] = layouts
        return out

    def _slot_map(self, mode: str, field: str) -> dict[int, int]:
        found = self._models.get("train" if mode == "train" else "infer")
        if found is None:
            raise AttributeError("'NoneType' object has no attribute 'features'")
        out: dict[int, int] = {}
        for column in found.record.features:
            name = column.feature_name
            slot = self._slot_of(name)
            if slot is None and name.startswith(("slot_", "fc_slot_")):
                warn("unresolved_slot", f"feature[{name}] slot is None. pls check feature_list.conf", stacklevel=4)
                continue
            if slot is None:
                slot = self._invented_slots.setdefault(name, len(self._invented_slots) + 1)
            out[slot] = getattr(column, field)
        return out


def _parse_strictly(data: bytes) -> None:
    try:
        parse(graph_pb2.GraphDef, data)
    except DecodeError:
        raise DecodeError("Error parsing message") from None


def _graph_or_empty(data: bytes) -> graph_pb2.GraphDef:
    return parse_graph(data) if data else graph_pb2.GraphDef()
