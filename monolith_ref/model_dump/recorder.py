"""Records a model while it is built, writes and reads its dump. Rule: model_dump 7.

Every member checks first and changes then: a call that raises leaves recorder and graph as they were.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, ClassVar, TypeVar, cast

from monolith_protos import model_dump_pb2

from monolith_ref.errors import ConfigError, DumpError
from monolith_ref.model_dump import arguments, inputs, model_record, params
from monolith_ref.model_dump.config_lists import ConfigLists
from monolith_ref.model_dump.file import Dump, read_dump
from monolith_ref.model_dump.heads import arrange_heads
from monolith_ref.model_dump.models import Models
from monolith_ref.model_dump.notices import warn
from monolith_ref.model_dump.stand_ins import Graph, Ragged, Tensor
from monolith_ref.model_dump.sub_models import SubModels

__all__ = ["Recorder"]

F = TypeVar("F", bound=Callable[..., Any])


class Recorder(Models, ConfigLists, SubModels):
    """One recorder per model.

    Parameters
    ----------
    enable : bool
        False: nothing is recorded, and ``dump`` writes nothing.
    compat : {"clean", "original"}
        ``"original"`` does as the original's newest revision, faults included (model_dump 6), but for those that
        execute data.
    strict : bool
        Arguments that no field can hold are errors rather than warnings.
    feature_slots : mapping of str to int
        The feature list: which slot a feature's name has.
    tob_env : bool
        Features known by slot only are called ``fc_slot_<n>``.

    Attributes
    ----------
    parser_type : str or None
        Which parser reads the input files.
    """

    _variants: ClassVar[dict[str, type[Recorder]]] = {}

    def __init_subclass__(cls, compat: str | None = None, **options: Any) -> None:
        """A class that names a ``compat`` is what :class:`Recorder` makes for it."""
        super().__init_subclass__(**options)
        if compat is not None:
            Recorder._variants[compat] = cls

    def __new__(cls, *_: Any, compat: str = "clean", **__: Any) -> Recorder:
        return object.__new__(Recorder._variants.get(compat, cls) if cls is Recorder else cls)

    def __init__(
        self,
        enable: bool = True,
        *,
        compat: str = "clean",
        strict: bool = False,
        feature_slots: Mapping[str, int] | None = None,
        tob_env: bool = False,
    ) -> None:
        if compat not in ("clean", "original"):
            raise ConfigError(f"compat is 'clean' or 'original', not {compat!r}")
        ConfigLists.__init__(self)
        SubModels.__init__(self)
        Models.__init__(self)
        self.enable = enable
        self.compat = compat
        self.strict = strict
        self.parser_type: str | None = None
        self.feature_slots = dict(feature_slots or {})
        self.tob_env = tob_env
        self._params: set[str] = set()
        self._run_config: str | None = None
        self._user_params: list[str] = []
        self._foreign = model_dump_pb2.ModelDump()

    # Where it records ------------------------------------------------------------------------------------------------

    @property
    def need_record(self) -> bool:
        """Whether anything is recorded in the current graph."""
        return bool(self.enable and not self.graph.dry_run)

    @property
    def model_dump(self) -> model_dump_pb2.ProtoModel:
        """The record of the current graph."""
        return self.graph.record

    def add_config(self, text: str) -> None:
        """Keep the run configuration (JSON; only ``verify`` looks at it)."""
        if not isinstance(text, str):
            raise DumpError(f"the run configuration is a {type(text).__name__}, no text", kind="bad_value")
        self._run_config = text

    def get_config(self) -> str | None:
        """The run configuration; None if there is none."""
        return self._run_config

    def add_user_params(self, names: Sequence[str]) -> None:
        """Keep the names of the settings that the user changed."""
        if isinstance(names, str) or not all(isinstance(name, str) for name in names):
            raise DumpError(f"user params are a list of names, not {names!r}", kind="bad_value")
        self._user_params = list(names)

    def get_user_params(self) -> list[str]:
        """A copy of the names."""
        return list(self._user_params)

    update_kwargs_with_default = staticmethod(arguments.update_kwargs_with_default)

    # Recorded functions ----------------------------------------------------------------------------------------------

    def record_feature(self, function: F, *, graph: Graph | None = None) -> F:
        """Wrap the function that creates a feature column; its parameters are named as FeatureColumn's fields."""
        if graph is not None:
            return self.bound_to(graph, self.record_feature(function))

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            bound = arguments.bind(function, args, kwargs)
            if not self.need_record:
                return function(*bound.args, **bound.kwargs)
            column, notices = model_record.feature_column(bound, self._name_of_slot, strict=self.strict)
            result = function(*bound.args, **bound.kwargs)
            for text in notices:
                warn("unrecorded_argument", text)
            known = [other for other in self.model_dump.features if other.feature_name == column.feature_name]
            if not known:
                self.model_dump.features.append(column)
            elif known[0] != column:
                warn("duplicate_feature", f"'{column.feature_name}' is recorded with other values already")
            return result

        return cast(F, wrapper)

    def record_slice(self, function: F, *, graph: Graph | None = None) -> F:
        """Wrap the function that looks up an embedding slice; it returns a tensor, or a list or tuple of them."""
        if graph is not None:
            return self.bound_to(graph, self.record_slice(function))

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            bound = arguments.bind(function, args, kwargs)
            if not self.need_record:
                return function(*bound.args, **bound.kwargs)
            record, notices = model_record.embedding_slice(bound, strict=self.strict)
            result = function(*bound.args, **bound.kwargs)
            record.output_tensor_names.extend(model_record.tensor_names(result, "an embedding slice"))
            for text in notices:
                warn("unrecorded_argument", text)
            self._note(result)
            self.model_dump.emb_slices.append(record)
            return result

        return cast(F, wrapper)

    def record_receiver(self, function: F, *, graph: Graph | None = None) -> F:
        """Wrap ``serving_input_receiver_fn``; a second call replaces what the first recorded."""
        if graph is not None:
            return self.bound_to(graph, self.record_receiver(function))

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            if self.need_record:
                message = inputs.receiver_message(result, self.parser_type)
                pair = result if isinstance(result, tuple) else (result.features, result.receiver_tensors)
                self._note(*pair)
                self.model_dump.serving_input_receiver_fn.CopyFrom(message)
            return result

        return cast(F, wrapper)

    def _name_of_slot(self, slot: int) -> str:
        for name, number in self.feature_slots.items():
            if number == slot:
                return name
        return f"{'fc_' if self.tob_env else ''}slot_{slot}"

    def _note(self, *values: Any) -> None:
        """Give every tensor among the values a node in the current graph."""
        for value in values:
            if isinstance(value, Tensor | Ragged):
                self.graph.note(value)
            elif isinstance(value, Mapping):
                self._note(*value.values())
            elif isinstance(value, list | tuple):
                self._note(*value)

    # Parameters and optimizer ----------------------------------------------------------------------------------------

    def record_params(self, model: Any) -> list[str]:
        """Choose which attributes of ``model`` are kept: its own ones, no property is evaluated."""
        own = vars(model)
        skipped = params.SKIPPED | {"layout_dict"}
        names = params.attribute_names(own, own.__getitem__, skipped)
        self._params = set(names)
        return names

    def get_params_bytes(self, model: Any) -> bytes | None:
        """The chosen attributes as JSON (field 1006); None where nothing is recorded."""
        if not self.need_record:
            return None
        own = vars(model)
        chosen = {name: own[name] for name in sorted(self._params & own.keys())}
        return params.params_json(chosen, own.get("_layout_dict", own.get("layout_dict")))

    def add_optimizer(self, optimizer: Any, *, graph: Graph | None = None) -> None:
        """Record the dense optimizer: its class and its own plain attributes, as JSON (field 1007)."""
        if graph is not None:
            self.bound_to(graph, self.add_optimizer)(optimizer)
            return
        if self.need_record:
            self.model_dump.typed_optimizer = params.optimizer_json(optimizer)

    # Model and input functions ---------------------------------------------------------------------------------------

    def add_input_fn(self, results: Any, *, graph: Graph | None = None) -> None:
        """Record what the input function returned: features, or (features, label)."""
        if graph is not None:
            self.bound_to(graph, self.add_input_fn)(results)
            return
        if self.need_record:
            message = inputs.input_message(results, self.graph, self.parser_type)
            self._note(results)
            self._note(self.graph.item_pools)
            self.model_dump.input_fn.CopyFrom(message)

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
        """Record what the model function returned, and the graph as it is now."""
        if graph is not None:
            given = (model, mode, features, label, loss, pred, head_name, is_classification)
            self.bound_to(graph, self.add_model_fn)(*given)
            return
        if not self.need_record:
            return
        stored = model_record.mode_of(mode)
        graph = self.graph
        model_record.check_hooks(graph)
        heads = arrange_heads(label, pred, head_name, is_classification)
        message = model_record.model_fn_message(self.model_dump, graph, features, heads, loss)
        outputs = model_record.extra_outputs(graph)
        signatures = self._signature_messages(graph)
        typed = b"" if model is None else self.get_params_bytes(model)
        known = self._models.get(stored)
        if mode == "eval" and known is not None and known.mode == "train":
            warn("eval_ignored", "a record made in mode train is kept")
            return
        self._note(features, label, loss, pred, graph.losses, graph.export_outputs, graph.summaries)
        record = graph.record
        record.model_fn.CopyFrom(message)
        model_record.replace_repeated(record.extra_output, outputs)
        model_record.replace_repeated(record.signature, signatures)
        record.save_slice_info.clear()
        record.save_slice_info.update(graph.save_slice_info)
        if typed:
            record.typed_params = typed
        self._store(stored, mode, graph)

    def parse_input_fn_result(self, result: Any, *, graph: Graph | None = None) -> tuple[Any, Any, list[Any]]:
        """Record an input function's result; returns features, label and the hooks that initialise the input."""
        if graph is not None:
            return self.bound_to(graph, self.parse_input_fn_result)(result)
        hook: Any
        if isinstance(result, inputs.Dataset):
            hook = inputs.DatasetInitializerHook(result)
            result = result.next_element(self.graph)
        else:
            if isinstance(result, tuple) and len(result) != 2:
                raise DumpError(f"{len(result)} values where (features, label) belong", kind="bad_value")
            if not self.graph.initializers:
                raise DumpError("nothing initialises the input", kind="missing_initializer")
            hook = inputs.DatasetInitHook(self.graph.initializers[0])
        self.add_input_fn(result)
        features, label = result if isinstance(result, tuple) else (result, None)
        return features, label, [hook]

    # File ------------------------------------------------------------------------------------------------------------

    def to_lists(self) -> model_dump_pb2.ModelDump:
        """The three configuration lists alone, as a message."""
        out = model_dump_pb2.ModelDump()
        self._fill_lists(out)
        return out

    def to_message(self) -> model_dump_pb2.ModelDump:
        """Everything recorded, as one message.

        Raises
        ------
        DumpError
            ``no_train``.
        """
        if "train" not in self._models:
            raise DumpError("no model was recorded in mode train", kind="no_train")
        out = model_dump_pb2.ModelDump()
        out.CopyFrom(self._foreign)
        for mode in self.modes:
            out.model_dump[mode].CopyFrom(self._models[mode].message())
        if self._run_config is not None:
            out.run_config = self._run_config
        out.user_params.extend(self._user_params)
        self._fill_lists(out)
        for name, proto in self._sub_models["ps"].items():
            out.ps_sub_model_dump[name].CopyFrom(proto)
        for name, proto in self._sub_models["dense"].items():
            out.dense_sub_model_dump[name].CopyFrom(proto)
        return out

    def dump(self, fname: str | PathLike[str]) -> bool:
        """Write the file in canonical form, replaced as a whole; False (and no file) where recording is off."""
        if not self.enable:
            return False
        Dump(self.to_message()).write(fname)
        return True

    def load(self, fname: str | PathLike[str]) -> None:
        """Read a file and replace everything recorded.

        Raises
        ------
        DumpError
            ``empty_file``, ``malformed``, ``no_train``, ``no_graph``, ``bad_graph``; nothing is changed then.
        """
        message = read_dump(fname).message
        models = {}
        for mode in ("train", "infer"):
            if mode in message.model_dump:
                models[mode] = model_record.loaded_model(message.model_dump[mode], mode)
        for proto in (*message.ps_sub_model_dump.values(), *message.dense_sub_model_dump.values()):
            model_record.checked_graph(proto.graph_def, "a sub-model")
        self._models = models
        self._helpers = {}
        self._run_config = message.run_config or None
        self._user_params = list(message.user_params)
        self._take_lists(message)
        self._sub_models = {
            "ps": model_record.copies(message.ps_sub_model_dump),
            "dense": model_record.copies(message.dense_sub_model_dump),
        }
        self._foreign = model_record.foreign_part(message)
