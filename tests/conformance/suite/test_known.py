"""Known failures: honest as long as they are true, failing the run when they are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from monolith_conformance.known import apply_known, known_path, measured_on, read_known, write_known
from monolith_conformance.outcome import RunSummary
from monolith_conformance.runner import run_cases
from monolith_protos import testee_pb2

from monolith_ref.errors import ArgumentError, ConfigError, FormatError
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


def test_generated_cases_are_known_without_a_fingerprint(tmp_path: Path) -> None:
    summary = _apply(_summary(generated=True), tmp_path, "table/size/a  # reason")
    assert summary.outcomes[IDS[0]].status == "known"
    summary = _summary(generated=True)
    mark = summary.outcomes[IDS[0]].fingerprint
    assert _apply(summary, tmp_path, f"table/size/a  @{mark}  # reason").outcomes[IDS[0]].status == "stale_known"


def test_a_generated_case_that_passes_is_stale(tmp_path: Path) -> None:
    summary = _summary(generated=True)
    summary.outcomes[IDS[0]].status = "passed"
    summary = _apply(summary, tmp_path, "table/size/a  # reason")
    assert summary.failed
    assert "passes" in summary.outcomes[IDS[0]].message


GROUP = "# measured on: scripted 1\n\ntable/  # off by one\n    size/a\n"


def test_one_reason_for_a_group(tmp_path: Path) -> None:
    summary = _apply(_summary(), tmp_path, GROUP)
    assert summary.outcomes[IDS[0]].message == "off by one"
    assert not summary.failed
    stale = _apply(_summary(), tmp_path, GROUP + "    size/b\n")
    assert stale.outcomes[IDS[1]].status == "stale_known"
    assert measured_on(tmp_path / "known.txt") == "scripted 1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("table/  # off by one\n", "line 1: a group without cases"),
        ("table/  # off by one\ntable/size/a  # reason\n", "line 1: a group without cases"),
        ("table/  # off by one\n  size/a # reason\n", "line 2: one case of the group"),
        ("table/size/b  # reason\n  size/a\n", "line 2: 'id"),
    ],
)
def test_groups_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "known.txt").write_text(text)
    with pytest.raises(FormatError, match=message):
        read_known(tmp_path / "known.txt")


def test_update_keeps_groups(tmp_path: Path) -> None:
    path = tmp_path / "known.txt"
    path.write_text(GROUP)
    summary = _summary()
    assert write_known(path, summary, read_known(path)) == 1
    assert path.read_text().endswith("\ntable/  # off by one\n    size/a\n")
    assert measured_on(path) == f"{summary.backend} {summary.version}, profile {summary.profile}"
    assert not _apply(_summary(), tmp_path, path.read_text()).failed


def test_files_are_shipped_for_frameworks(tmp_path: Path) -> None:
    assert known_path(tmp_path, "torch") == tmp_path
    assert {line.group for line in read_known(known_path("shipped", "torch"))} > {"core/optimizer.adagrad/"}
    with pytest.raises(ConfigError, match="tensorflow, torch"):
        known_path("shipped", "engine-cpu")


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
