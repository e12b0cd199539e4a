"""The runner: every way a case can end, and the run's one line."""

from __future__ import annotations

import pytest
from monolith_conformance.backend import BackendFault, Missing
from monolith_conformance.backends.null import NullBackend
from monolith_conformance.cases.case import Case
from monolith_conformance.outcome import Outcome, RunSummary
from monolith_conformance.runner import run_cases, select
from monolith_protos import testee_pb2

from monolith_ref.errors import StateError
from monolith_ref.quirks import Quirks
from tests.conformance.suite.scripted import Answer, Scripted, size_case

QUIRKS = Quirks.parse("default")


def _run(answer: Answer, case: Case | None = None, backend: Scripted | None = None) -> tuple[Outcome, RunSummary]:
    case = case or size_case()
    summary = run_cases(backend or Scripted(answer), [case], quirks=QUIRKS)
    return summary.outcomes[case.id], summary


def three(message: testee_pb2.Op) -> testee_pb2.Result:
    return testee_pb2.Result(ints=[3])


def four(message: testee_pb2.Op) -> testee_pb2.Result:
    return testee_pb2.Result(ints=[4])


def test_a_right_answer_passes() -> None:
    outcome, summary = _run(three)
    assert outcome.status == "passed"
    assert not summary.failed
    assert (
        summary.line
        == "conforms: table (profile ieee, exact) — 1 passed, 0 known, 0 failed, 0 unsupported — suite "
        + (summary.suite)
    )


def test_a_wrong_answer_names_the_first_difference() -> None:
    outcome, summary = _run(four)
    assert outcome.status == "failed"
    assert str(outcome.mismatch) == "request 0, ints[0]: 4, expected 3"
    assert summary.failed
    assert summary.conforms == []


def test_a_claim_that_is_refused_fails() -> None:
    def refuse(message: testee_pb2.Op) -> testee_pb2.Result:
        raise Missing("table.size")

    outcome, _ = _run(refuse)
    assert outcome.status == "failed"
    assert "claims table.size" in outcome.message


def test_an_error_reply_fails_the_case_and_nothing_else() -> None:
    def complain(message: testee_pb2.Op) -> testee_pb2.Result:
        raise StateError("not now")

    outcome, _ = _run(complain)
    assert outcome.status == "failed"
    assert outcome.mismatch is not None
    assert "not now" in outcome.mismatch.actual


def test_a_fault_is_replayed_once_on_a_fresh_start() -> None:
    calls: list[int] = []

    def die_once(message: testee_pb2.Op) -> testee_pb2.Result:
        calls.append(1)
        if len(calls) == 1:
            raise BackendFault("died", "it ended with signal SIGSEGV", "last words")
        return testee_pb2.Result(ints=[3])

    backend = Scripted(die_once)
    outcome, summary = _run(die_once, backend=backend)
    assert outcome.status == "failed"
    assert "passes on a fresh start" in outcome.message
    assert outcome.stderr == "last words"
    assert backend.opened == 2
    assert summary.failed


def test_a_lasting_fault_is_a_result_and_the_run_goes_on() -> None:
    def die(message: testee_pb2.Op) -> testee_pb2.Result:
        raise ZeroDivisionError("oops")

    backend = Scripted(die)
    cases = [size_case(id=f"table/size/{name}") for name in "ab"]
    summary = run_cases(backend, cases, quirks=QUIRKS)
    assert [o.status for o in summary.outcomes.values()] == ["fault", "fault"]
    assert "ZeroDivisionError: oops" in summary.outcomes["table/size/a"].message


def test_missing_capabilities_are_unsupported_and_do_not_conform() -> None:
    summary = run_cases(NullBackend(), [size_case()], quirks=QUIRKS)
    assert summary.outcomes["table/size/x"].status == "unsupported"
    assert summary.conforms == []
    assert not summary.failed


@pytest.mark.parametrize(
    "settings",
    [{"profiles": ("avx",)}, {"quirks": frozenset({"wrap_timestamps"})}, {"without": frozenset({"ftrl_l1_sign"})}],
)
def test_a_case_of_another_profile_or_switch_is_not_asked(settings: dict[str, object]) -> None:
    outcome, _ = _run(four, size_case(**settings))
    assert outcome.status == "not_asked"


def test_a_level_conforms_only_when_every_required_case_passes() -> None:
    cases = [size_case(id="table/size/a"), size_case(5, id="table/size/b", required=False)]
    summary = run_cases(Scripted(three), cases, quirks=QUIRKS)
    assert summary.conforms == ["table"]
    cases[1] = size_case(5, id="table/size/b")
    assert run_cases(Scripted(three), cases, quirks=QUIRKS).conforms == []


def test_a_part_of_the_suite_never_conforms() -> None:
    summary = run_cases(Scripted(three), [size_case()], quirks=QUIRKS, selection="table/size")
    assert summary.conforms == []
    assert "a part of the suite" in summary.line


def test_a_backend_that_does_not_start_is_a_problem_of_the_run() -> None:
    class Broken(Scripted):
        def start(self, profile: str, quirks: Quirks) -> None:
            raise BackendFault("start", "no such program")

    summary = run_cases(Broken(three), [size_case()], quirks=QUIRKS)
    assert summary.failed
    assert "no such program" in summary.problems[0]


def test_fresh_cases_open_the_backend_anew() -> None:
    backend = Scripted(three)
    run_cases(backend, [size_case(id="table/size/a"), size_case(id="table/size/b", fresh=True)], quirks=QUIRKS)
    assert backend.opened == 2


def test_any_prefix_selects() -> None:
    cases = [size_case(id=name) for name in ("core/a/b", "core/a/c", "table/a/b")]
    assert [c.id for c in select(cases, ["core/"])] == ["core/a/b", "core/a/c"]
    assert [c.id for c in select(cases, ["core/a/c", "table"])] == ["core/a/c", "table/a/b"]
    assert select(cases, []) == cases
