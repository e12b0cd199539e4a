"""The command line: show, verify, diff, slice, graph, build; and the page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from monolith_protos import graph_pb2

from monolith_ref.cli.app import run
from monolith_ref.model_dump import parse_dump
from monolith_ref.model_dump.page import page_data, render_page
from tests.monolith_ref.model_dump.support import DUMPS, GOLDEN, golden

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize("name", DUMPS)
def test_show_json_and_build_give_the_same_bytes(name: str, tmp_path: Path, capsys: Captured) -> None:
    assert run(["dump", "show", str(GOLDEN / name), "--json"]) == 0
    document = tmp_path / "document.json"
    document.write_text(capsys.readouterr().out)
    assert run(["dump", "build", str(document), "--output", str(tmp_path / "built")]) == 0
    assert (tmp_path / "built").read_bytes() == golden(name)
    assert run(["dump", "build", str(document), "--output", str(tmp_path / "built"), "--canonical"]) == 0
    assert parse_dump((tmp_path / "built").read_bytes()) == parse_dump(golden(name))


def test_show_in_words_and_as_text(capsys: Captured) -> None:
    assert run(["dump", "show", str(GOLDEN / "two_heads.pb")]) == 0
    text = capsys.readouterr().out
    for word in ("head cvr: cvr/pred:0", "slice vec: dim 8", "clip_norm=250.5", "AdamOptimizer", "3 configured"):
        assert word in text
    assert run(["dump", "show", str(GOLDEN / "foreign_fields.pb"), "--pbtxt"]) == 0
    assert 'feature_name: "f_x"' in capsys.readouterr().out
    assert run(["dump", "show", str(GOLDEN / "two_heads.pb"), "--pbtxt", "--json"]) == 2


def test_verify_tells_errors_by_its_exit_code(tmp_path: Path, capsys: Captured) -> None:
    assert run(["dump", "verify", str(GOLDEN / "odd_encoding.pb")]) == 0
    assert "warning: duplicate_key: model_dump{train}.model_fn.non_ragged_features: T" in capsys.readouterr().out
    cut = tmp_path / "cut"
    cut.write_bytes(golden("two_heads.pb")[:20000])
    assert run(["dump", "verify", str(cut), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["ok"]
    assert found["findings"][0]["code"] == "malformed"
    assert run(["dump", "verify", str(tmp_path / "none")]) == 1
    assert run(["dump", "show", str(cut)]) == 2
    assert "byte" in capsys.readouterr().err


def test_diff_goes_field_by_field(tmp_path: Path, capsys: Captured) -> None:
    message = parse_dump(golden("two_heads.pb"))
    train = message.model_dump["train"]
    train.features[1].expire_time = 91
    del message.table_configs[0]
    graph = graph_pb2.GraphDef.FromString(train.graph_def)
    graph.node[3].device = "/cpu:0"
    train.graph_def = graph.SerializeToString()
    other = tmp_path / "other"
    other.write_bytes(message.SerializeToString())
    left = str(GOLDEN / "two_heads.pb")
    assert run(["dump", "diff", left, left]) == 0
    assert capsys.readouterr().out == "the same bytes\n"
    assert run(["dump", "diff", left, str(other)]) == 1
    lines = capsys.readouterr().out.splitlines()
    name = train.features[1].feature_name
    assert f"~ model_dump.train.features[{name}].expire_time: 90 -> 91" in lines
    assert any(line.startswith("- table_configs[") for line in lines)
    assert f'+ model_dump.train.graph_def.message.node[{graph.node[3].name}].device: "/cpu:0"' in lines
    assert len(lines) == 3
    (tmp_path / "canonical").write_bytes(parse_dump(golden("odd_encoding.pb")).SerializeToString())
    assert run(["dump", "diff", str(GOLDEN / "odd_encoding.pb"), str(tmp_path / "canonical"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"same_bytes": False, "differences": []}


def test_slice_writes_a_graph(tmp_path: Path, capsys: Captured) -> None:
    output = tmp_path / "slice.pb"
    file = str(GOLDEN / "ctr_one_head.pb")
    assert run(["dump", "slice", file, "--output", str(output), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    graph = graph_pb2.GraphDef.FromString(output.read_bytes())
    assert [node.name for node in graph.node] == shown["nodes"]
    assert {item["ref"] for item in shown["external_inputs"]} == {f"prefetch_queue_Dequeue:{port}" for port in range(5)}
    line = ["dump", "slice", file, "-d", "concat:0", "--map", "prefetch_queue_Dequeue=mine", "--output", str(output)]
    assert run(line) == 0
    graph = graph_pb2.GraphDef.FromString(output.read_bytes())
    assert {name.partition(":")[0] for node in graph.node for name in node.input} >= {"mine"}
    assert run([*line, "--map", "nope=x"]) == 2
    assert run(["dump", "slice", file, "--original", "fork", "--output", str(output)]) == 0
    assert run(["dump", "slice", file, "--original", "fork", "-d", "nope", "--output", str(output)]) == 2
    assert run(["dump", "slice", file, "--model", "nope", "--output", str(output)]) == 2
    assert "there are: model_dump{infer}" in capsys.readouterr().err


def test_graph_writes_a_page_that_loads_nothing(tmp_path: Path) -> None:
    output = tmp_path / "page.html"
    assert run(["dump", "graph", str(GOLDEN / "two_heads.pb"), "--output", str(output)]) == 0
    page = output.read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert not re.search(r"(?:src|href)\s*=|@import|url\(", page)
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
    assert "@@" not in page


def test_no_name_in_a_file_can_leave_the_page_s_data() -> None:
    message = parse_dump(golden("two_heads.pb"))
    message.model_dump["train"].features[0].feature_name = "</script><script>alert(1)</script>&<!--"
    page = render_page(message, "<b>title</b>")
    assert "alert(1)</script>" not in page
    assert "<b>title</b>" not in page
    data = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    assert json.loads(data.group(1))["modes"]["train"]["features"][0]["name"].startswith("</script>")


def test_the_page_joins_heads_to_the_slices_that_the_graph_tells() -> None:
    data = page_data(parse_dump(golden("two_heads.pb")), "x")
    train = data["modes"]["train"]
    assert train["joined"]
    assert [head["name"] for head in train["heads"]] == ["ctr", "cvr"]
    assert all(head["slices"] for head in train["heads"])
    assert [item["name"] for item in train["features"]] == ["f_uid", "f_item-f_cate", "f_hist"]
    assert [item["slices"] for item in train["features"]] == [[0], [0], [1]]
    assert list(data["modes"]) == ["train", "infer"]
