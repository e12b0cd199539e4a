"""What a run may be called: accuracy profiles, the environment that it needs, and the line at its end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from monolith_conformance import environment, whole_run
from monolith_conformance.accuracy import EXACT, Accuracy
from monolith_conformance.cli import conform_app
from monolith_conformance.entries import entry_of, first_entry_difference
from monolith_conformance.oracle.table import Row
from monolith_conformance.outcome import Outcome, RunSummary
from monolith_conformance.runner import SUITE_VERSION, run_cases
from monolith_conformance.session import Session
from monolith_conformance.whole_run import RunRequest, run_suite
from monolith_protos import testee_pb2
from typer.testing import CliRunner

from monolith_ref.errors import ConfigError, EnvironmentMissing
from monolith_ref.quirks import Quirks
from tests.conformance.suite.scripted import Scripted, size_case

F = np.float32
QUIRKS = Quirks.parse("default")


def _floats(*words: int) -> np.ndarray:
    return np.array(words, np.uint32).view(F)


@pytest.mark.parametrize(
    ("profile", "actual", "expected", "near"),
    [
        ("exact", 0x3F800000, 0x3F800001, False),
        ("ulp(1)", 0x3F800000, 0x3F800001, True),
        ("ulp(1)", 0x3F800000, 0x3F800002, False),
        ("ulp(4)", 0x3F800000, 0x3F800004, True),
        ("abs(1e-3)", 0x3F800000, 0x3F801000, True),
        ("abs(1e-5)", 0x3F800000, 0x3F801000, False),
        ("ulp(9)", 0x00000000, 0x80000000, False),
        ("abs(1)", 0x00000000, 0x80000000, False),
        ("abs(1)", 0x33000000, 0x80000000, True),
        ("ulp(9)", 0x7F7FFFFF, 0x7F800000, False),
        ("abs(1e30)", 0x7F800000, 0xFF800000, False),
        ("ulp(9)", 0x7FC00000, 0x3F800000, False),
        ("exact", 0x7FC00000, 0xFFC00001, True),
    ],
)
def test_how_near_is_near(profile: str, actual: int, expected: int, near: bool) -> None:
    found = Accuracy.parse(profile).first_difference(_floats(0, actual), _floats(0, expected))
    assert (found is None) == near
    assert near or (found is not None and found.index == 1)


@pytest.mark.parametrize(
    "text", ["", "ulp", "ulp(0)", "ulp(1.5)", "abs(-1)", "abs(inf)", "abs(x)", "rtol(1)", "ulp(1)x"]
)
def test_what_is_no_profile_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="accuracy"):
        Accuracy.parse(text)


def test_profiles_are_written_as_they_are_read() -> None:
    assert [str(Accuracy.parse(t)) for t in ("exact", "ulp(4)", "abs(1e-06)")] == ["exact", "ulp(4)", "abs(1e-06)"]


def test_floats_of_rows_are_as_near_as_others() -> None:
    state = [{"norm": _floats(0x3F800000)}]
    rows = [entry_of(Row(1, _floats(word), state, 5), ["adagrad"]) for word in (0x40000000, 0x40000001)]
    assert first_entry_difference(*rows) is not None
    assert first_entry_difference(*rows, Accuracy.parse("ulp(1)")) is None
    later = entry_of(Row(1, _floats(0x40000000), state, 6), ["adagrad"])
    assert first_entry_difference(rows[0], later, Accuracy.parse("abs(9)")) is not None


def _float_case(word: int, **settings: object) -> object:
    def judge(session: Session) -> None:
        request = testee_pb2.Request()
        request.op.op = "lookup"
        session.ask(request)
        session.expect(floats=_floats(word))

    return size_case(judge=judge, **settings)


@pytest.mark.parametrize(("accuracy", "kind", "status"), [
    ("exact", "rounded", "failed"), ("ulp(1)", "rounded", "passed"), ("ulp(1)", "exact", "failed"),
])  # fmt: skip
def test_a_profile_is_for_a_whole_run_and_not_for_values_that_only_travel(
    accuracy: str, kind: str, status: str
) -> None:
    backend = Scripted(lambda message: testee_pb2.Result(floats=_floats(0x3F800001).tobytes()))
    case = _float_case(0x3F800000, accuracy=kind)
    summary = run_cases(backend, [case], quirks=QUIRKS, accuracy=Accuracy.parse(accuracy))  # type: ignore[list-item]
    assert summary.outcomes["table/size/x"].status == status
    assert f"(profile ieee, {accuracy})" in summary.line


def test_the_line_is_that_of_a_badge() -> None:
    summary = RunSummary("b", "1", "C", SUITE_VERSION, "ieee", (), str(EXACT))
    counts = {"passed": 412, "known": 3, "unsupported": 21}
    for status, count in counts.items():
        for number in range(count):
            level = ("core", "table")[number % 2] if status == "passed" else "filter"
            case = size_case(id=f"{level}/{status}/n{number}")
            summary.outcomes[case.id] = Outcome(case, status)
    assert summary.line == (
        "conforms: core, table (profile ieee, exact) — 412 passed, 3 known, 0 failed, 21 unsupported — suite 2026.11"
    )
    assert not summary.failed


def test_the_accuracy_is_told_everywhere(tmp_path: Path) -> None:
    arguments = ["run", "--backend", "mutant:adagrad-multiplies-first", "--select", "core/optimizer.adagrad/quotient"]
    loose = CliRunner().invoke(
        conform_app, [*arguments, "--accuracy", "ulp(1)", "--report", str(tmp_path)], standalone_mode=False
    )
    assert loose.return_value == 0
    assert "(profile ieee, ulp(1))" in loose.output
    assert json.loads((tmp_path / "report.json").read_text())["accuracy"] == "ulp(1)"
    assert CliRunner().invoke(conform_app, arguments, standalone_mode=False).return_value == 1


def test_this_environment_is_sound_and_said() -> None:
    assert environment.environment_problems() == []
    assert {"Python", "NumPy", "protobuf", "machine", "C library"} <= set(environment.environment_versions())


@pytest.mark.parametrize(
    ("attribute", "replacement", "words"),
    [
        ("_smallest_halved", lambda: [0.0], "flushed to zero"),
        ("_sums", lambda: [F(1) + F(2.0**-23)], "nearest even"),
        ("_products", lambda: np.array([F(2.0**-24)], F), "one rounding"),
        ("_byte_order", lambda: "big", "little-endian"),
    ],
)
def test_an_unfit_environment_is_found(
    monkeypatch: pytest.MonkeyPatch, attribute: str, replacement: object, words: str
) -> None:
    monkeypatch.setattr(environment, attribute, replacement)
    (problem,) = environment.environment_problems()
    assert words in problem


def test_a_run_on_unfit_ground_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_run, "environment_problems", lambda: ["subnormal numbers are flushed to zero"])
    with pytest.raises(EnvironmentMissing, match="void: subnormal numbers"):
        run_suite(RunRequest("oracle", selection=("core/lookup",)))


def test_ground_that_shifts_during_a_run_fails_it(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [[], ["subnormal numbers are flushed to zero"]]
    monkeypatch.setattr(whole_run, "environment_problems", lambda: answers.pop(0))
    summary = run_suite(RunRequest("oracle", selection=("core/lookup",)))
    assert summary.failed
    assert summary.problems == ["after the run: subnormal numbers are flushed to zero"]
