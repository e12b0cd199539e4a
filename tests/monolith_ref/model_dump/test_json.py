"""JSON and back without loss: generated messages and encodings, and edits."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monolith_protos import graph_pb2, hash_table_pb2, model_dump_pb2

from monolith_ref.errors import DumpError
from monolith_ref.model_dump import parse_dump
from monolith_ref.model_dump.canonical import canonical_bytes
from monolith_ref.model_dump.jsonform import build, decode_message, encode_message, to_json
from monolith_ref.model_dump.wire import LENGTH, encode_tag, encode_varint, scan
from tests.monolith_ref.model_dump.support import DUMPS, filled, golden

FIXED = settings(derandomize=True, deadline=None, max_examples=120, database=None)


def through_json(raw: bytes) -> bytes:
    return build(json.loads(json.dumps(to_json(raw))))


@FIXED
@given(filled(model_dump_pb2.ModelDump))
def test_any_message_goes_through_write_read_canonical_form_and_json(message: model_dump_pb2.ModelDump) -> None:
    raw = message.SerializeToString()
    if not raw:
        return
    read = parse_dump(raw)
    canonical = canonical_bytes(read)
    assert canonical_bytes(parse_dump(canonical)) == canonical
    assert len(canonical) == len(raw)
    assert through_json(raw) == raw
    assert through_json(canonical) == canonical


@FIXED
@given(st.one_of(filled(graph_pb2.GraphDef), filled(hash_table_pb2.EmbeddingHashTableConfig)))
def test_messages_inside_of_bytes_go_through_json(message: graph_pb2.GraphDef) -> None:
    again = decode_message(json.loads(json.dumps(encode_message(message))), type(message)())
    assert encode_message(again) == encode_message(message)
    file = model_dump_pb2.ModelDump()
    file.model_dump["train"].graph_def = message.SerializeToString()
    file.table_configs.add(table_config=message.SerializeToString())
    raw = file.SerializeToString()
    assert through_json(raw) == raw


@st.composite
def rearranged(draw: st.DrawFn) -> bytes:
    """A golden file with records of its top bodies shuffled, doubled, and tags and lengths in long encodings."""
    raw = golden(draw(st.sampled_from(["odd_encoding.pb", "foreign_fields.pb"])))
    return _rearrange(draw, raw, 2)


def _rearrange(draw: st.DrawFn, body: bytes, depth: int) -> bytes:
    records = draw(st.permutations(scan(body, 0, len(body))))
    out = b""
    for record in [*records, *draw(st.lists(st.sampled_from(records), max_size=1) if records else st.just([]))]:
        content = body[record.body : record.end]
        if record.wire_type != LENGTH:
            out += body[record.start : record.end]
            continue
        if depth and record.number in (1, 2, 3) and len(content) > 20 and draw(st.booleans()):
            with contextlib.suppress(ValueError):
                content = _rearrange(draw, content, depth - 1)
        length = encode_varint(len(content))
        if draw(st.booleans()):
            length = length[:-1] + bytes([length[-1] | 0x80]) + b"\x80\x00"
        out += encode_tag(record.number, LENGTH) + length + content
    return out


@FIXED
@given(rearranged())
def test_any_encoding_of_a_message_comes_back(raw: bytes) -> None:
    try:
        parse_dump(raw)
    except DumpError:
        return
    assert through_json(raw) == raw


@pytest.mark.parametrize("name", DUMPS)
def test_an_edit_gives_the_edited_message(name: str) -> None:
    document = json.loads(json.dumps(to_json(golden(name))))
    document["message"]["run_config"] = '{"edited": true}'
    document["message"]["table_configs"][0]["learning_rates"] = [0.25]
    train = document["message"]["model_dump"]["train"]
    train["model_fn"]["predict"] = ["other:0", "second:0"]
    train["features"].append({"feature_name": "f_new", "expire_time": 5})
    train["features"][0]["expire_time"] = 1000000
    train["model_fn"].setdefault("non_ragged_features", {})["new"] = "x:0"
    train["graph_def"]["message"]["node"][0]["name"] = "a_longer_name_than_before"
    message = parse_dump(golden(name))
    message.run_config = '{"edited": true}'
    message.table_configs[0].learning_rates[:] = [0.25]
    model = message.model_dump["train"]
    model.model_fn.predict[:] = ["other:0", "second:0"]
    model.features.add(feature_name="f_new", expire_time=5)
    model.features[0].expire_time = 1000000
    model.model_fn.non_ragged_features["new"] = "x:0"
    built = parse_dump(build(document))
    graph = graph_pb2.GraphDef.FromString(built.model_dump["train"].graph_def)
    assert graph.node[0].name == "a_longer_name_than_before"
    want = graph_pb2.GraphDef.FromString(model.graph_def)
    want.node[0].name = "a_longer_name_than_before"
    assert graph == want
    built.model_dump["train"].graph_def = model.graph_def = b""
    assert built == message


def test_removing_things_leaves_their_departures_behind() -> None:
    document = to_json(golden("odd_encoding.pb"))
    train = document["message"]["model_dump"]["train"]
    del train["features"][0]
    del train["model_fn"]["non_ragged_features"]["T"]
    del document["message"]["feature_combiners"]
    built = parse_dump(build(document))
    assert [column.feature_name for column in built.model_dump["train"].features] == ["f_dup"]
    assert sorted(built.model_dump["train"].model_fn.non_ragged_features) == ["", "Tshape", "été"]
    assert not built.feature_combiners


@pytest.mark.parametrize("name", DUMPS)
def test_a_document_holds_content_and_no_copy_of_the_file(name: str) -> None:
    raw = golden(name)
    document = to_json(raw)
    assert {"path", "offset", "hex"} <= set(document["departures"][0]) if document["departures"] else True
    for item in document["departures"]:
        data = bytes.fromhex(item["hex"])
        assert len(data) < 128
        assert raw[item["offset"] : item["offset"] + len(data)] == data, item
    text = json.dumps(document)
    assert max((len(word) for word in text.split('"')), default=0) < max(2000, len(raw) // 4)


def test_a_canonical_file_has_no_departures() -> None:
    assert to_json(canonical_bytes(parse_dump(golden("odd_encoding.pb"))))["departures"] == []


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({}, "no message"),
        ({"message": {"no_such": 1}}, "no_such"),
        ({"message": {"run_config": 1}}, "run_config"),
        ({"message": {"feature_combiners": [{"combiner": "Sum"}]}}, "feature_combiners[0].combiner"),
        ({"message": {"table_configs": [{"table_config": {"pickle": []}}]}}, "table_configs[0].table_config"),
        ({"message": {"model_dump": {"train": {"params": {"pickle": [["NOPE"]]}}}}}, "NOPE"),
        ({"message": {"?": ["zz"]}}, "hex"),
        ({"message": {}, "departures": [{"path": ""}]}, "departure"),
        ({"message": {"feature_slice_dims": [{"dims": [2**40]}]}}, "dims"),
    ],
)
def test_documents_that_are_none_are_refused(document: dict[str, object], text: str) -> None:
    with pytest.raises(DumpError) as caught:
        build(document)
    assert caught.value.kind == "bad_json"
    assert text in str(caught.value)
