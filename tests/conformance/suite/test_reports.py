"""Reports: JSON that reads back, JUnit that parses, one page that holds hostile text."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from monolith_conformance.outcome import RunSummary
from monolith_conformance.report.suite_files import as_json, load_report, write_json, write_junit
from monolith_conformance.report.suite_html import render_suite
from monolith_conformance.report.suite_terminal import print_summary
from monolith_conformance.runner import run_cases
from monolith_protos import testee_pb2
from rich.console import Console

from monolith_ref.errors import FormatError
from monolith_ref.quirks import Quirks
from tests.conformance.suite.scripted import Scripted, size_case


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
