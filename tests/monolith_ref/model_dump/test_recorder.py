"""The recorder beyond the replayed scenarios: contexts, failures that leave nothing behind, whole models."""

from __future__ import annotations

import inspect
import threading
from pathlib import Path
from typing import Any

import pytest

from monolith_ref import entry
from monolith_ref.errors import ConfigError, DumpError, StateError
from monolith_ref.model_dump import (
    EngineFeature,
    EngineModel,
    EngineSlice,
    EngineTable,
    ExportContext,
    Graph,
    Ragged,
    Recorder,
    Tensor,
    dump_model,
    parse_dump,
    read_dump,
)
from monolith_ref.model_dump.pickles import is_optimizer, read_pickle
from monolith_ref.model_dump.verify import verify
from tests.monolith_ref.model_dump.support import GOLDEN, golden


def engine_model(**changes: Any) -> EngineModel:
    config = entry.EmbeddingHashTableConfig()  # type: ignore[attr-defined]
    segment = config.entry_config.segments.add(dim_size=4)
    segment.opt_config.CopyFrom(entry.AdagradOptimizer(0.1).as_proto())
    entry.CuckooHashTableConfig().mutate_table(config)
    names = ["f_a", "f_b", "slot_7"]
    values: dict[str, Any] = {
        "features": [
            EngineFeature("f_a", slot=3, occurrence_threshold=2, expire_time=30),
            EngineFeature("f_b", combiner="ReduceMean"),
            EngineFeature("slot_7", combiner="FirstN", max_seq_length=5),
        ],
        "slices": [
            EngineSlice("vec", names, 4, entry.ZerosInitializer(), entry.AdagradOptimizer(0.1), entry.Fp16Compressor()),
            EngineSlice("bias", names[:2], 1, out_type="concat"),
        ],
        "tables": [EngineTable(name, config, [0.1]) for name in names],
        "heads": ["ctr", "cvr"],
        "labels": ["label", None],
        "predictions": ["pred_0", "pred_1"],
        "classification": [True, False],
        "dense_features": {"price": ("float32", (None, 3))},
        "run_config": {"num_ps": 2},
        "params": {"shuffle_size": 10, "p": {"train": {"max_steps": 5}, "cls": "Task"}},
        "optimizer": type("AdagradOptimizer", (), {})(),
        "variables": {"w": ("float32", (3, 2))},
    }
    return EngineModel(**{**values, **changes})


@pytest.mark.parametrize("compat", ["clean", "original"])
def test_a_whole_model_is_written_verified_and_loaded(tmp_path: Path, compat: str) -> None:
    path = tmp_path / "model_dump"
    dump_model(path, engine_model(), compat=compat)
    report = verify(path)
    assert report.findings == []
    recorder = Recorder(compat=compat)
    recorder.load(path)
    again = tmp_path / "again"
    recorder.dump(again)
    assert again.read_bytes() == path.read_bytes()
    train = recorder.get_proto_model("train")
    assert list(train.model_fn.head_name) == ["ctr", "cvr"]
    assert list(train.model_fn.label) == ["label:0", ""]
    assert dict(train.model_fn.non_ragged_features) == {"price": "price:0"}
    assert [list(item.output_tensor_names) for item in train.emb_slices] == [
        ["f_a/vec:0", "f_b/vec:0", "slot_7/vec:0"],
        ["bias_concat:0"],
    ]
    found = recorder.get_graph_helper("train").slice(["pred_0:0", "w"])
    assert [(item.name, item.shape) for item in found.variables] == [("w", [3, 2])]
    assert bool(train.params) == (compat == "original")
    assert recorder.has_collected


def test_typed_and_pickled_parameters_say_the_same(tmp_path: Path) -> None:
    clean = dump_model(tmp_path / "a", engine_model())
    assert clean.restore_params() == {
        "shuffle_size": 10,
        "p": {"train": {"max_steps": 5}, "cls": None},
        "layout_dict": {},
    }
    assert clean.restore_optimizer() == {"class": "AdagradOptimizer", "fields": {}}
    original = dump_model(tmp_path / "b", engine_model(), compat="original")
    record = original.get_proto_model("train")
    found = read_pickle(record.params)
    assert set(found.value) == {"shuffle_size", "p", "_layout_dict"}
    assert found.value["p"].class_name.endswith("InstantiableParams")
    assert read_pickle(record.optimizer, is_optimizer).value.state["_learning_rate"] == 0.01


def test_a_real_file_is_loaded_and_written_with_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(golden("ctr_one_head.pb"))
    recorder = Recorder()
    recorder.load(tmp_path / "a")
    recorder.dump(tmp_path / "b")
    assert read_dump(tmp_path / "b").message == parse_dump(golden("ctr_one_head.pb"))
    restored = recorder.restore_params()
    assert restored is not None
    assert sorted(restored["layout_dict"]) == [
        "bias_b0ca98beb60c018c28f196992fd8291b",
        "vec_b0ca98beb60c018c28f196992fd8291b",
    ]
    assert sorted(recorder.sub_models("ps")) == ["ps_0", "ps_1"]
    assert {kind: len(getattr(recorder, kind)) for kind in ("table_configs", "feature_slice_dims")} == {
        "table_configs": 2,
        "feature_slice_dims": 2,
    }
    (tmp_path / "c").write_bytes(golden("foreign_fields.pb"))
    recorder.load(tmp_path / "c")
    recorder.dump(tmp_path / "d")
    assert read_dump(tmp_path / "d").message == parse_dump(golden("foreign_fields.pb"))


def test_a_failed_load_changes_nothing(tmp_path: Path) -> None:
    dump_model(tmp_path / "a", engine_model())
    recorder = Recorder()
    recorder.load(tmp_path / "a")
    before = recorder.to_message()
    for data in (b"", b"\x0a", b"\x12\x02{}", b"\x0a\x07\x0a\x05train"):
        (tmp_path / "bad").write_bytes(data)
        with pytest.raises(DumpError):
            recorder.load(tmp_path / "bad")
    assert recorder.to_message() == before


def test_wrappers_keep_name_doc_and_signature() -> None:
    def create(feature_name: str, expire_time: int = 3) -> str:
        """A doc."""
        return feature_name

    wrapped = Recorder().record_feature(create)
    assert wrapped.__name__ == "create"
    assert wrapped.__doc__ == "A doc."
    assert inspect.signature(wrapped) == inspect.signature(create)


def test_faulty_arguments_never_reach_the_function() -> None:
    calls = []
    recorder = Recorder(strict=True)
    feature = recorder.record_feature(lambda feature_name, expire_time=1, bucket=None: calls.append(feature_name))
    for arguments, kind in (
        (("f", "soon"), "bad_value"),
        (("f", 1, 2), "unrecorded_argument"),
        (("f", 1, None, 4), "bad_call"),
        ((3.5,), "bad_value"),
    ):
        with pytest.raises(DumpError) as caught:
            feature(*arguments)
        assert caught.value.kind == kind
    assert calls == []
    assert not recorder.model_dump.features


def test_columns_stand_for_their_names_in_features() -> None:
    class Column:
        feature_name = "f_a"

    recorder = Recorder()
    recorder.record_slice(lambda features, slice_name: Tensor("x:0"))([Column(), "f_b", ("f_c", 2)], "vec")
    assert recorder.model_dump.emb_slices[0].features == "['f_a', 'f_b', ('f_c', 2)]"


def test_graphs_are_current_per_thread_and_nest() -> None:
    recorder = Recorder()
    outer, inner = Graph(), Graph()
    seen = []
    with recorder.recording(outer):
        with recorder.recording(inner):
            assert recorder.graph is inner
            thread = threading.Thread(target=lambda: seen.append(recorder.graph))
            thread.start()
            thread.join()
        assert recorder.graph is outer
    assert seen[0] not in (outer, inner)
    with pytest.raises(ConfigError):
        recorder.recording("graph").__enter__()  # type: ignore[arg-type]


def test_exports_do_not_nest_and_know_their_modes() -> None:
    recorder = Recorder()
    with recorder.exporting("DISTRIBUTED", ExportContext()) as context:
        assert recorder.export_context is context
        with pytest.raises(StateError), recorder.exporting(1, ExportContext()):
            pass
    assert recorder.export_context is None
    with pytest.raises(ConfigError), recorder.exporting("ALL", ExportContext()):
        pass


def test_signatures_go_out_and_come_back() -> None:
    recorder = Recorder()
    graph = Graph()
    with recorder.exporting("STANDALONE", ExportContext()) as context:
        context.add_signature(graph, "main", {"a": Tensor("x:0")}, {"b": Tensor("y:1")})
        context.merge_signature(graph, "main", {"c": Tensor("z:0")}, {})
        recorder.add_sub_model("ps", "ps_0", graph)
    with recorder.exporting("STANDALONE", ExportContext()) as context:
        recorder.restore_sub_model("ps")
        (found,) = context.signatures(context.sub_graph("ps_0"))
        assert sorted(found.inputs) == ["a", "c"]
        assert found.outputs["b"].name == "y:1"
        recorder.sub_models("ps")["ps_0"].signature[0].inputs["a"] = "gone:0"
        with pytest.raises(DumpError) as caught:
            recorder.restore_sub_model("ps")
        assert caught.value.kind == "unresolved_name"


def test_eval_never_replaces_train() -> None:
    recorder = Recorder()
    for mode, pred in (("train", "a:0"), ("eval", "b:0")):
        with recorder.recording(Graph()):
            if mode == "eval":
                with pytest.warns(match="eval_ignored"):
                    recorder.add_model_fn(None, mode, {}, None, None, Tensor(pred))
            else:
                recorder.add_model_fn(None, mode, {}, None, None, Tensor(pred))
    assert list(recorder.get_proto_model("train").model_fn.predict) == ["a:0"]
    assert recorder.get_proto_model("eval") is recorder.get_proto_model("train")


def test_ports_above_zero_get_a_node_with_outputs() -> None:
    graph = Graph()
    ragged = Ragged(Tensor("r:1", "int64"), Tensor("r:0", "int64"))
    recorder = Recorder()
    with recorder.recording(graph):
        recorder.add_model_fn(None, "infer", {"f": ragged, "x": Tensor("x:0")}, None, None, Tensor("p:0"))
    nodes = {node.name: node.op for node in recorder.graph_def("infer").node}
    assert nodes == {
        "r/input_0": "Placeholder",
        "r/input_1": "Placeholder",
        "r": "IdentityN",
        "x": "Placeholder",
        "p": "Placeholder",
    }


def test_attributes_are_taken_without_evaluating_properties() -> None:
    class Model:
        def __init__(self) -> None:
            self.kept = 1
            self.bad = object()

        @property
        def trap(self) -> int:
            raise AssertionError("evaluated")

    recorder = Recorder()
    assert recorder.record_params(Model()) == ["bad", "kept"]
    with pytest.raises(DumpError) as caught:
        recorder.get_params_bytes(Model())
    assert caught.value.kind == "unsupported_value"
    assert "'bad'" in str(caught.value)


def test_a_slice_over_an_unknown_feature_is_told(tmp_path: Path) -> None:
    with pytest.raises(DumpError) as caught:
        dump_model(tmp_path / "a", engine_model(slices=[EngineSlice("vec", ["nope"], 4)]))
    assert caught.value.kind == "unknown_feature"
    assert not (tmp_path / "a").exists()


def test_tensors_are_named_with_their_port() -> None:
    with pytest.raises(DumpError):
        Tensor("x")
    assert Tensor("a/b:3").port == 3


@pytest.mark.parametrize("compat", ["clean", "original"])
def test_a_graph_can_be_given_by_name(compat: str) -> None:
    recorder = Recorder(compat=compat)
    recorder.parser_type = "example"
    graph, other = Graph(), Graph()
    feature = recorder.record_feature(lambda feature_name: feature_name, graph=graph)
    assert feature("f_a") == "f_a"
    recorder.add_input_fn({"x": Tensor("x:0")}, graph=graph)
    recorder.add_model_fn(None, "train", {"x": Tensor("x:0")}, None, None, Tensor("p:0"), "a", graph=graph)
    recorder.add_optimizer(type("SgdOptimizer", (), {})(), graph=other)
    assert [column.feature_name for column in graph.record.features] == ["f_a"]
    assert graph.record.input_fn.output_features["x"]
    assert recorder.get_proto_model("train").model_fn.predict == ["p:0"]
    assert other.record.typed_optimizer
    assert not graph.record.typed_optimizer
    assert not recorder.model_dump.features


def test_the_helper_knows_variables_functions_and_partitions() -> None:
    recorder = Recorder()
    recorder.load(GOLDEN / "two_heads_local.pb")
    helper = recorder.get_graph_helper("train")
    assert helper is recorder.get_graph_helper("eval")
    assert helper is not recorder.get_graph_helper("infer")
    parts = [item for item in helper.variables() if item.partition_of == "net/kernel"]
    infos = [helper.slice_info(item.name) for item in parts]
    assert [list(info.var_offset) for info in infos if info is not None] == [[0, 0], [5, 0]]
    assert helper.slice_info("global_step") is None
    assert len(helper.functions) == 2
