"""One call sequence on a recorder, carried out: the scenarios of ``recorder.json``."""

from __future__ import annotations

import base64
import tempfile
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from monolith_protos import graph_pb2
from monolith_protos.hash_table_pb2 import EmbeddingHashTableConfig

from monolith_conformance.dumps.setting import Model, Setting
from monolith_ref import entry
from monolith_ref.model_dump import Dataset, DumpWarning, ExportContext, Graph, Tensor
from monolith_ref.model_dump.configs import TableRecord
from monolith_ref.model_dump.plain import plain_message

__all__ = ["Scenario"]

UNCOMPARED = ("params", "optimizer", "graph_def", "typed_params", "typed_optimizer")


class _Optimizer:
    """Base of optimizers by name."""


def _optimizer(name: str) -> Any:
    cls = type(f"{name.capitalize()}Optimizer", (_Optimizer,), {})
    out = cls()
    out.__dict__.update(learning_rate=0.01, initial_accumulator_value=0.1)
    return out


def _named_object(name: str, **attributes: Any) -> Any:
    """An object whose class is called ``name``."""
    out = type(name, (), {})()
    out.__dict__.update(attributes)
    return out


class Scenario(Setting):
    """One scenario under way: its calls, and what every one came to."""

    # Calls -----------------------------------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """All outcomes, and what is recorded at the end."""
        with tempfile.TemporaryDirectory() as folder, self.exits:
            self.folder = Path(folder)
            self.exits.enter_context(self.recorder.recording(self.graph))
            outcomes = [self._outcome(call) for call in self.scenario["calls"]]
        return {"outcomes": outcomes, **self._end()}

    def _outcome(self, call: Mapping[str, Any]) -> dict[str, Any]:
        self.seen = {}
        out: dict[str, Any] = {}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                out = getattr(self, f"call_{call['call']}")(call) or {}
            except Exception as error:  # what is raised is the outcome
                out = {"error": getattr(error, "kind", type(error).__name__)}
        kinds = [item.message.kind for item in caught if isinstance(item.message, DumpWarning)]
        if call["call"] in ("feature", "feature_b") and "error" not in out:
            out["seen"] = self._shown()
        if kinds:
            out["warnings"] = kinds
        return out

    def _shown(self) -> dict[str, Any]:
        """Of the seen arguments those that the file lists: name, threshold, expiry, or what is beyond them."""
        if "bucket" in self.seen:
            return {key: self.seen[key] for key in ("feature_name", "bucket")}
        return {key: self.seen[key] for key in ("feature_name", "occurrence_threshold", "expire_time")}

    def _wrapped(self, name: str, call: Mapping[str, Any], wrap: Callable[..., Any]) -> None:
        self.result = self.value(call.get("result"))
        function = wrap(self.functions[name])
        function(None, *self.value(call["args"]), **self.value(call["kwargs"]))

    def call_feature(self, call: Mapping[str, Any]) -> None:
        self._wrapped("feature", call, self.recorder.record_feature)

    def call_feature_b(self, call: Mapping[str, Any]) -> None:
        self._wrapped("feature_b", call, self.recorder.record_feature)

    def call_slice(self, call: Mapping[str, Any]) -> None:
        self._wrapped("slice", call, self.recorder.record_slice)

    def call_receiver(self, call: Mapping[str, Any]) -> None:
        receiver = _named_object(
            "ServingInputReceiver",
            features=self.value(call["features"]),
            receiver_tensors=self.value(call["receiver_tensors"]),
        )
        self.recorder.record_receiver(lambda: receiver)()

    def call_graph(self, call: Mapping[str, Any]) -> None:
        for name, value in call["set"].items():
            if name in ("losses", "summaries"):
                setattr(self.graph, name, [self.tensors[key] for key in value])
            elif name == "item_pool":
                self.graph.item_pools = [self.tensors[value]]
            elif name == "training_hooks":
                self.graph.training_hooks = [_named_object(kind) for kind in value]
            else:
                setattr(self.graph, name, self.value(value))

    def call_need_record(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"value": self.recorder.need_record}

    def call_add_optimizer(self, call: Mapping[str, Any]) -> None:
        self.recorder.add_optimizer(_optimizer(call["optimizer"]))

    def call_add_sub_model(self, call: Mapping[str, Any]) -> None:
        graph = Graph(graph_def=graph_pb2.GraphDef())
        assert graph.graph_def is not None
        for name, op in call["nodes"]:
            graph.graph_def.node.add(name=name, op=op)
        if "signature" in call and self.context is not None:
            signature = call["signature"]
            inputs, outputs = ({k: Tensor(v) for k, v in signature[side].items()} for side in ("inputs", "outputs"))
            self.context.add_signature(graph, signature["name"], inputs, outputs)
        self.recorder.add_sub_model(call["type"], call["name"], graph)

    def call_state(self, _: Mapping[str, Any]) -> dict[str, Any]:
        state = {mode: mode in self.recorder.modes for mode in ("train", "infer")}
        subs = {kind: sorted(self.recorder.sub_models(kind)) for kind in ("ps", "dense")}
        return {"value": {**state, "table_configs": len(self.recorder.to_lists().table_configs), **subs}}

    def call_parser_type(self, call: Mapping[str, Any]) -> None:
        self.recorder.parser_type = call["value"]

    def call_input_fn(self, call: Mapping[str, Any]) -> None:
        self.recorder.add_input_fn(self.value(call["results"]))

    def call_model_fn(self, call: Mapping[str, Any]) -> None:
        names = ("features", "label", "loss", "pred", "head_name", "is_classification")
        self.recorder.add_model_fn(self.model, call["mode"], *(self.value(call[name]) for name in names))

    def call_enter_export(self, call: Mapping[str, Any]) -> None:
        self.context = ExportContext()
        self.export = ExitStack()
        self.export.enter_context(self.recorder.exporting(call["mode"], self.context))

    def call_exit_export(self, _: Mapping[str, Any]) -> None:
        self.export.close()
        self.context = None

    def call_add_signature(self, call: Mapping[str, Any]) -> None:
        assert self.context is not None
        self.context.add_signature(self.graph, call["name"], self.value(call["inputs"]), self.value(call["outputs"]))

    def call_restore_sub_model(self, call: Mapping[str, Any]) -> dict[str, Any]:
        self.recorder.restore_sub_model(call["type"])
        if self.context is None:
            return {"restored": None} if self.compat == "original" else {}
        graphs = self.context.sub_graphs if call["type"] == "ps" else self.context.dense_sub_graphs
        return {"restored": {name: self._graph_state(graph) for name, graph in graphs.items()}}

    def _graph_state(self, graph: Graph) -> dict[str, Any]:
        assert self.context is not None
        assert graph.graph_def is not None
        return {
            "nodes": [node.name for node in graph.graph_def.node],
            "signatures": {
                item.name: {
                    "inputs": {key: tensor.name for key, tensor in item.inputs.items()},
                    "outputs": {key: tensor.name for key, tensor in item.outputs.items()},
                }
                for item in self.context.signatures(graph)
            },
        }

    def call_has_collected(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"value": self.recorder.has_collected}

    def call_set_table_configs(self, call: Mapping[str, Any]) -> None:
        value = call["value"]
        if isinstance(value, dict):
            value = {name: self._table(item) for name, item in value.items()}
        self.recorder.table_configs = value

    def _table(self, item: Mapping[str, Any]) -> TableRecord:
        config = EmbeddingHashTableConfig()
        for dim, initializer, optimizer in item["segments"]:
            made = [
                getattr(entry, f"{initializer.capitalize()}Initializer")(),
                getattr(entry, f"{optimizer.capitalize()}Optimizer")(0.5),
                entry.Fp32Compressor(),
            ]
            segment = config.entry_config.segments.add(dim_size=dim)
            for field, part in zip(("init_config", "opt_config", "comp_config"), made, strict=True):
                getattr(segment, field).CopyFrom(part.as_proto())
        entry.CuckooHashTableConfig().mutate_table(config)
        return TableRecord(config, self.value(item["learning_rates"]), item["extra_restore_names"])

    def call_get_table_configs(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "value": {
                name: {
                    "learning_rates": list(item.learning_rate_fns),
                    "extra_restore_names": list(item.extra_restore_names),
                    "segments": len(item.table_config.entry_config.segments),
                }
                for name, item in self.recorder.table_configs.items()
            }
        }

    def call_set_feature_slice_dims(self, call: Mapping[str, Any]) -> None:
        self.recorder.feature_slice_dims = call["value"]

    def call_get_feature_slice_dims(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"value": self.recorder.feature_slice_dims}

    def call_set_feature_combiners(self, call: Mapping[str, Any]) -> None:
        made = {}
        for name, text in call["value"].items():
            kind, _, length = text.partition(":")
            made[name] = _named_object(kind, max_seq_length=int(length or 0))
        self.recorder.feature_combiners = made

    def call_get_feature_combiners(self, _: Mapping[str, Any]) -> dict[str, Any]:
        out = {}
        for name, combiner in self.recorder.feature_combiners.items():
            kind = type(combiner).__name__
            out[name] = f"{kind}:{combiner.max_seq_length}" if kind == "FirstN" else kind
        return {"value": out}

    def call_slot_to_occurrence_threshold(self, call: Mapping[str, Any]) -> dict[str, Any]:
        found = self.recorder.get_slot_to_occurrence_threshold(call["mode"])
        return {"value": {str(slot): value for slot, value in found.items()}}

    def call_slot_to_expire_time(self, call: Mapping[str, Any]) -> dict[str, Any]:
        found = self.recorder.get_slot_to_expire_time(call["mode"])
        return {"value": {str(slot): value for slot, value in found.items()}}

    def call_dump(self, _: Mapping[str, Any]) -> dict[str, Any]:
        path = self.folder / "rec.pb"
        path.unlink(missing_ok=True) if not self.written else None
        self.recorder.dump(path)
        if not path.exists():
            return {"written": False}
        self.written.append(path.read_bytes())
        same = len(self.written) > 1 and self.written[0] == self.written[-1]
        return {"written": True, **({"same_bytes_as_first_dump": True} if same else {})}

    def call_add_config(self, call: Mapping[str, Any]) -> None:
        self.recorder.add_config(call["value"])

    def call_add_user_params(self, call: Mapping[str, Any]) -> None:
        self.recorder.add_user_params(list(call["value"]))

    def call_new_recorder(self, _: Mapping[str, Any]) -> None:
        parser_type = self.recorder.parser_type
        self.recorder = self.new_recorder()
        self.recorder.parser_type = parser_type
        self.exits.enter_context(self.recorder.recording(self.graph))

    def call_load(self, _: Mapping[str, Any]) -> None:
        self.recorder.load(self.folder / "rec.pb")

    def call_load_bytes(self, call: Mapping[str, Any]) -> None:
        path = self.folder / "given.pb"
        path.write_bytes(bytes.fromhex(call["hex"]))
        self.recorder.load(path)

    def call_get_config(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"value": self.recorder.get_config()}

    def call_get_user_params(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"value": self.recorder.get_user_params()}

    def call_get_proto_model(self, call: Mapping[str, Any]) -> dict[str, Any]:
        found = self.recorder.get_proto_model(call["mode"])
        return {"value": None if found is None else _recorded(found)}

    def call_get_graph_helper(self, call: Mapping[str, Any]) -> dict[str, Any]:
        nodes = len(self.recorder.get_graph_helper(call["mode"]).nodes)
        return {"value": "GraphDefHelper", "nodes": nodes} if self.compat == "original" else {"nodes": nodes}

    def call_set_enable(self, call: Mapping[str, Any]) -> None:
        self.recorder.enable = call["value"]

    def call_record_params(self, call: Mapping[str, Any]) -> dict[str, Any]:
        self.model = Model({**self.attributes, "p": {}, "_layout_dict": {}, **call["attrs"]})
        return {"value": self.recorder.record_params(self.model)}

    def call_restore_params(self, _: Mapping[str, Any]) -> dict[str, Any]:
        found = self.recorder.restore_params()
        if found is None:
            return {"value": None}
        layouts = {"layouts": sorted(found["layout_dict"])} if self.compat == "clean" else {}
        return {"value": sorted(found), **layouts}

    def call_set_params_pickle(self, call: Mapping[str, Any]) -> None:
        record = self.recorder.get_proto_model("train")
        record.ClearField("typed_params")
        record.params = base64.b64decode(call["pickle_base64"])

    def call_clear_params(self, _: Mapping[str, Any]) -> None:
        record = self.recorder.get_proto_model("train")
        record.ClearField("typed_params")
        record.ClearField("params")

    def call_parse_input_fn_result(self, call: Mapping[str, Any]) -> dict[str, Any]:
        self.graph.initializers = ["MakeIterator"] if call.get("mkiter") else []
        given: Any
        if "dataset" in call:
            given = Dataset({name: (dtype, tuple(shape)) for name, (dtype, shape) in call["dataset"].items()})
        else:
            given = self.value(call["result"])
        features, label, hooks = self.recorder.parse_input_fn_result(given)
        names = {"DatasetInitializerHook": "_DatasetInitializerHook"}
        kinds = [names.get(type(hook).__name__, type(hook).__name__) for hook in hooks]
        return {
            "features": {name: tensor.name for name, tensor in features.items()},
            "label": None if label is None else label.name,
            "hooks": kinds if self.compat == "original" else len(hooks),
        }

    # The end ---------------------------------------------------------------------------------------------------------

    def _end(self) -> dict[str, Any]:
        lists = self.recorder.to_lists()
        configs = {
            name: [plain_message(item) for item in getattr(lists, name)]
            for name in ("table_configs", "feature_slice_dims", "feature_combiners")
        }
        for item in configs["table_configs"]:
            item["table_config"] = {"base64": item["table_config"]["base64"]}
        subs = {
            kind: {name: _recorded(proto) for name, proto in sorted(self.recorder.sub_models(kind).items())}
            for kind in ("ps", "dense")
        }
        return {
            "recorded": _recorded(self.graph.record),
            "configs": configs,
            "sub_models": subs,
            "modes": self.recorder.modes,
        }


def _recorded(proto: Any) -> dict[str, Any]:
    return {key: value for key, value in plain_message(proto).items() if key not in UNCOMPARED}
