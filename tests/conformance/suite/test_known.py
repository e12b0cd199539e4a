"""Known failures: honest as long as they are true, failing the run when they are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from monolith_conformance.known import apply_known, read_known, write_known
from monolith_conformance.outcome import RunSummary
from monolith_conformance.runner import run_cases
from monolith_protos import testee_pb2

from monolith_ref.errors import ArgumentError, FormatError
from monolith_ref.quirks import Quirks
from tests.conformance.suite.scripted import Scripted, size_case

IDS = ["table/size/a", "table/size/b"]


def _summary(answer: int = 4, **settings: object) -> RunSummary:
    cases = [size_case(id=IDS[0], **settings), size_case(answer, id=IDS[1])]
    return run_cases(Scripted(lambda message: testee_pb2.Result(ints=[answer])), cases, quirks=Quirks.parse("default"))


def _apply(summary: RunSummary, tmp_path: Path, text: str) -> RunSummary:
    path = tmp_path / "known.txt"
    path.write_text(text)
    apply_known(summary, read_known(path), IDS)
    return summary


def test_a_listed_failure_is_known(tmp_path: Path) -> None:
    summary = _apply(_summary(), tmp_path, "# a remark\n\ntable/size/a  # off by one, issue 7\n")
    assert summary.outcomes[IDS[0]].status == "known"
    assert summary.outcomes[IDS[0]].message == "off by one, issue 7"
    assert not summary.failed


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("table/size/b  # reason", "passes"),
        ("table/size/a  @00000000  # reason", "another way"),
    ],
)
def test_a_stale_line_fails_the_run(tmp_path: Path, text: str, why: str) -> None:
    summary = _apply(_summary(), tmp_path, text)
    assert summary.failed
    assert any(why in outcome.message for outcome in summary.outcomes.values() if outcome.status == "stale_known")


def test_a_line_about_no_case_fails_the_run(tmp_path: Path) -> None:
    assert "no such case" in _apply(_summary(), tmp_path, "table/size/zz  # reason").problems[0]


def test_a_star_covers_a_few_cases_only(tmp_path: Path) -> None:
    summary = _summary()
    path = tmp_path / "known.txt"
    path.write_text("table/*  # everything\n")
    apply_known(summary, read_known(path), [f"table/size/{number}" for number in range(21)])
    assert "at most 20" in summary.problems[0]


def test_generated_cases_cannot_be_known(tmp_path: Path) -> None:
    summary = _apply(_summary(generated=True), tmp_path, "table/size/a  # reason")
    assert summary.outcomes[IDS[0]].status == "stale_known"


def test_update_keeps_reasons_and_makes_the_next_run_pass(tmp_path: Path) -> None:
    path = tmp_path / "known.txt"
    path.write_text("table/size/a  @00000000  # off by one, issue 7\n")
    assert write_known(path, _summary(), read_known(path)) == 1
    assert "# off by one, issue 7" in path.read_text()
    again = _summary()
    apply_known(again, read_known(path), IDS)
    assert not again.failed


def test_update_refuses_a_part_of_the_suite(tmp_path: Path) -> None:
    summary = _summary()
    summary.selection = "table/size"
    with pytest.raises(ArgumentError, match="whole suite"):
        write_known(tmp_path / "known.txt", summary, [])


def test_a_line_without_a_reason_is_refused(tmp_path: Path) -> None:
    (tmp_path / "known.txt").write_text("table/size/a\n")
    with pytest.raises(FormatError, match="line 1"):
        read_known(tmp_path / "known.txt")
