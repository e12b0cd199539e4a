"""Reports: JSON that reads back, JUnit that parses, one page that holds hostile text."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from importlib.resources import files
from pathlib import Path

import pytest
from monolith_conformance import run_conformance
from monolith_conformance.outcome import RunSummary
from monolith_conformance.report.suite_diff import diff_reports
from monolith_conformance.report.suite_files import as_json, load_report, write_json, write_junit
from monolith_conformance.report.suite_html import render_suite
from monolith_conformance.report.suite_terminal import print_summary
from monolith_conformance.runner import run_cases
from monolith_protos import testee_pb2
from rich.console import Console

from monolith_ref.cli.app import run
from monolith_ref.errors import FormatError
from monolith_ref.quirks import Quirks
from tests.conformance.suite.scripted import Scripted, size_case
from tests.support.json_schema import problems


@pytest.fixture
def summary() -> RunSummary:
    cases = [
        size_case(id="table/size/good"),
        size_case(4, id="table/size/bad", rule="</script><b>not markup</b>"),
        size_case(id="table/size/other", needs=frozenset({"table.evict"})),
    ]
    return run_cases(Scripted(lambda m: testee_pb2.Result(ints=[3])), cases, quirks=Quirks.parse("default"))


def test_json_reads_back(summary: RunSummary, tmp_path: Path) -> None:
    write_json(summary, tmp_path / "report.json")
    assert load_report(tmp_path / "report.json") == json.loads(json.dumps(as_json(summary)))


def test_another_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(FormatError):
        load_report(tmp_path / "x.json")


def test_junit_counts(summary: RunSummary, tmp_path: Path) -> None:
    write_junit(summary, tmp_path / "junit.xml")
    root = ET.parse(tmp_path / "junit.xml").getroot()
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("3", "1", "1")
    failure = root.find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "request 0, ints[0]: 3, expected 4"


def test_the_page_cannot_be_broken_by_text(summary: RunSummary) -> None:
    page = render_suite([as_json(summary)])
    assert page.count("</script>") == 2
    assert "http://" not in page
    assert "https://" not in page


def test_the_terminal_ends_with_the_line(summary: RunSummary) -> None:
    console = Console(record=True, width=100, file=open("/dev/null", "w"))  # noqa: SIM115
    print_summary(summary, console)
    text = console.export_text()
    assert text.rstrip().endswith(summary.line)
    assert "table/size/bad" in text
    console.file.close()


def _report(tmp_path: Path, name: str, answers: int) -> Path:
    cases = [size_case(id="table/size/good"), size_case(4, id="table/size/bad")]
    if name == "b":
        cases.append(size_case(id="table/size/more"))
    scripted = Scripted(lambda m: testee_pb2.Result(ints=[answers]))
    path = tmp_path / f"{name}.json"
    write_json(run_cases(scripted, cases, quirks=Quirks.parse("default")), path)
    return path


def test_a_report_has_the_form_of_its_schema(summary: RunSummary) -> None:
    schema = json.loads((files("monolith_conformance") / "report" / "report.schema.json").read_text())
    plain = json.loads(json.dumps(as_json(summary)))
    assert problems(plain, schema) == []
    assert {case["status"] for case in plain["cases"]} == {"passed", "failed", "unsupported"}
    assert problems({**plain, "profile": "sse"}, schema)
    plain["cases"][0]["status"] = "perhaps"
    assert problems(plain, schema)


def test_a_whole_run_with_explanations_has_the_form_of_its_schema() -> None:
    schema = json.loads((files("monolith_conformance") / "report" / "report.schema.json").read_text())
    select = ["core/optimizer.adagrad/"]
    wrong = run_conformance("mutant:adagrad-accumulates-raw-gradient", select=select, explain=True)
    plain = json.loads(json.dumps(as_json(wrong)))
    assert problems(plain, schema) == []
    assert len(plain["backend"]["capabilities"]) > 40


def test_what_was_lost_comes_first(tmp_path: Path) -> None:
    a, b = (load_report(_report(tmp_path, name, answers)) for name, answers in (("a", 3), ("b", 4)))
    changes = diff_reports(a, b)
    assert [(c.kind, c.id, c.before, c.after) for c in changes] == [
        ("lost", "table/size/good", "passed", "failed"),
        ("gained", "table/size/bad", "failed", "passed"),
        ("new", "table/size/more", "", "failed"),
    ]
    assert diff_reports(a, a) == []
    assert [c.kind for c in diff_reports(b, a)] == ["lost", "gained", "gone"]


def test_the_same_case_failing_in_another_way_is_a_change(tmp_path: Path) -> None:
    a, b = (load_report(_report(tmp_path, name, answers)) for name, answers in (("a", 5), ("b", 6)))
    assert [c.kind for c in diff_reports(a, b)] == ["other", "other", "new"]


def test_the_report_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = _report(tmp_path, "a", 3), _report(tmp_path, "b", 4)
    assert run(["conform", "report", str(a), str(b), "--diff", "-o", str(tmp_path / "out")], False) == 1
    said = capsys.readouterr().out
    assert "1 lost, 1 gained, 1 new" in said
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("</script>") == 2
    assert run(["conform", "report", str(a), str(a), "--diff", "--json"], False) == 0
    assert json.loads(capsys.readouterr().out)[0]["changes"] == []
    assert run(["conform", "report", str(a)], False) == 2
