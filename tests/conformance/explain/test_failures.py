"""Failures are explained: what they equal, how small they can be made, and how they are repeated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from monolith_conformance.backends import make_backend
from monolith_conformance.backends.mutant import MutantBackend
from monolith_conformance.cases import all_cases
from monolith_conformance.cli import conform_app
from monolith_conformance.explain import explain_failures
from monolith_conformance.explain.failures import repeat_command
from monolith_conformance.explain.trial import Trials
from monolith_conformance.explain.words import request_words
from monolith_conformance.mutants import Mutant
from monolith_conformance.mutants.mutant import edit
from monolith_conformance.outcome import Outcome
from monolith_conformance.ranks import deal, gather
from monolith_conformance.replaying import replay_transcript
from monolith_conformance.runner import run_cases, select
from monolith_conformance.transcript import Transcript
from monolith_conformance.whole_run import RunRequest, run_suite
from monolith_protos import testee_pb2
from typer.testing import CliRunner

from monolith_ref.quirks import Quirks
from monolith_ref.sync.communicator import SerialCommunicator

QUIRKS = Quirks.parse("default")
CASES = all_cases()


def _explained(name: str, case_id: str, seconds: float = 60.0) -> Outcome:
    backend = make_backend(name)
    summary = run_cases(backend, [CASES[case_id]], quirks=QUIRKS)
    outcome = summary.outcomes[case_id]
    assert outcome.status == "failed"
    explain_failures(backend, [outcome], "ieee", QUIRKS, seconds=seconds)
    return outcome


@pytest.mark.parametrize(
    ("name", "case_id"),
    [
        ("adagrad-multiplies-first", "core/optimizer.adagrad/adagrad-p0-d33-6"),
        ("adagrad-accumulates-raw-gradient", "core/optimizer.adagrad/decays-weights"),
        ("adam-decay-decoupled", "core/optimizer.adam/adam-p1-d13-11"),
        ("adam-epsilon-inside", "core/optimizer.adam/epsilon-outside-corrections"),
        ("adam-powers-too-early", "core/optimizer.adam/defaults"),
        ("sgd-fused", "core/optimizer.sgd/sgd-p0-d3-1"),
        ("fp16-truncates", "table/trace/edge_fp16"),
        ("sum-is-mean", "core/combiner.reduce_sum/basic"),
        ("assign-first-wins", "table/duplicates/last-assignment-wins"),
        ("optimize-never-sums", "table/duplicates/summed-before-the-step"),
        ("owner-by-absolute-value", "sync/owner/floor-mod"),
        ("count-wraps", "filter/hash/saturates-at-fifteen"),
    ],
)
def test_a_failure_is_named_by_the_variant_that_it_equals(name: str, case_id: str) -> None:
    outcome = _explained(f"mutant:{name}", case_id)
    sentence = MutantBackend(name).mutant.sentence
    assert f"equals the rule with {sentence}" in outcome.cause


def test_another_profile_and_another_switch_are_variants_too() -> None:
    case = CASES["core/optimizer.ftrl/l1-sign-bit"]
    wrong = Mutant("w", "w", (edit("oracle.rules.ftrl:update", ('"ftrl_l1_sign" in quirks', "False")),), ())
    summary = run_cases(MutantBackend(wrong), [case], quirks=QUIRKS)
    outcome = summary.outcomes[case.id]
    explain_failures(MutantBackend(wrong), [outcome], "ieee", QUIRKS)
    assert "the switch ftrl_l1_sign off" in outcome.cause


def test_a_transcript_becomes_three_requests_and_one_float() -> None:
    outcome = _explained("mutant:adagrad-multiplies-first", "core/optimizer.adagrad/adagrad-p0-d33-6")
    assert outcome.transcript is not None
    assert outcome.smallest is not None
    kinds = [step.request.WhichOneof("kind") for step in outcome.smallest.steps]
    assert kinds == ["create", "op", "op"]
    optimize, lookup = (step.request.op for step in outcome.smallest.steps[1:])
    assert (optimize.op, len(optimize.ids), len(optimize.floats)) == ("optimize", 1, 4)
    assert (lookup.op, len(lookup.ids)) == ("lookup", 1)
    assert outcome.smallest.mismatch.ulps == 1
    # It is as the requests of the case were, but for what was left out.
    assert len(outcome.transcript) > 3


def test_rows_and_steps_of_a_long_trace_are_left_out() -> None:
    outcome = _explained("mutant:restore-without-state", "table/trace/comparison_adagrad15_1")
    assert outcome.smallest is not None
    assert len(outcome.smallest.steps) <= 4
    restore = next(s.request.op for s in outcome.smallest.steps if s.request.op.op == "restore")
    assert len(restore.entries) == 1


def test_the_smallest_requests_can_be_saved_and_replayed(tmp_path: Path) -> None:
    outcome = _explained("mutant:expiry-beyond-the-limit", "table/expiry/to-the-second")
    assert outcome.smallest is not None
    outcome.smallest.transcript.save(tmp_path / "t.jsonl", id="x")
    loaded, _ = Transcript.load(tmp_path / "t.jsonl")
    wrong = replay_transcript(make_backend("mutant:expiry-beyond-the-limit"), loaded, "ieee", QUIRKS)
    assert wrong == str(outcome.smallest.mismatch)
    assert replay_transcript(make_backend("oracle"), loaded, "ieee", QUIRKS) == ""


def test_a_request_that_must_be_refused_shrinks_and_replays_too(tmp_path: Path) -> None:
    outcome = _explained("mutant:dump-kind-seven-read", "dump/reject/kind-seven-at-the-end")
    assert outcome.smallest is not None
    assert outcome.smallest.steps[-1].refused
    outcome.smallest.transcript.save(tmp_path / "t.jsonl", id="x")
    loaded, _ = Transcript.load(tmp_path / "t.jsonl")
    note = replay_transcript(make_backend("mutant:dump-kind-seven-read"), loaded, "ieee", QUIRKS)
    assert "expected an error" in note
    assert replay_transcript(make_backend("engine-cpu"), loaded, "ieee", QUIRKS) == ""


def test_an_expectation_that_the_oracle_misses_is_the_fault_of_its_case() -> None:
    case_id = "core/optimizer.sgd/sgd-p0-d1-0"
    summary = run_cases(make_backend("mutant:sgd-adds"), [CASES[case_id]], quirks=QUIRKS)
    outcome = summary.outcomes[case_id]
    assert outcome.transcript is not None
    # Answers of the oracle itself, held against something else.
    backend = make_backend("oracle")
    backend.open("ieee", QUIRKS)
    for step in outcome.transcript:
        step.reply = backend.answer(step.request)
    explain_failures(make_backend("oracle"), [outcome], "ieee", QUIRKS)
    assert outcome.cause == "equals the rule: what the case expects is at fault"
    assert outcome.smallest is None


def test_nothing_is_explained_when_the_time_is_over() -> None:
    backend = make_backend("mutant:sgd-adds")
    summary = run_cases(backend, select(CASES.values(), ["core/optimizer.sgd/sgd"]), quirks=QUIRKS)
    failed = [o for o in summary.outcomes.values() if o.status == "failed"]
    assert explain_failures(backend, failed, "ieee", QUIRKS, seconds=0.0) == len(failed)
    assert {o.cause for o in failed} == {""}


def test_a_list_that_the_oracle_refuses_shows_nothing() -> None:
    outcome = _explained("mutant:sgd-adds", "core/optimizer.sgd/sgd-p0-d1-0")
    assert outcome.transcript is not None
    trials = Trials(make_backend("mutant:sgd-adds"), "ieee", QUIRKS, _accuracy(), fresh=False)
    assert trials.show(outcome.transcript.steps) is not None
    assert trials.show(outcome.transcript.steps[1:]) is None


def _accuracy():  # type: ignore[no-untyped-def]
    from monolith_conformance.accuracy import EXACT

    return EXACT


def test_the_cause_of_most_failures_of_an_area_is_said_once() -> None:
    summary = run_suite(RunRequest("mutant:adagrad-multiplies-first", selection=("core/optimizer.adagrad/", "core/lo")))
    (note,) = summary.notes
    failed = summary.count("failed")
    assert note == (
        f"{failed} of {failed} failures of core/optimizer.adagrad: equals the rule with the rate multiplied by the "
        "gradient before it is divided by the root"
    )


def test_the_command_repeats_everything_that_was_asked() -> None:
    command = repeat_command("testee:./my port", "core/x", "avx", "clean", "json")
    assert command == (
        "monolith-ref conform run --backend 'testee:./my port' --select core/x --profile avx --quirks clean "
        "--encoding json"
    )


def test_requests_in_words() -> None:
    request = testee_pb2.Request()
    request.op.table, request.op.op, request.op.time = "t", "optimize", 5
    request.op.ids.append(-1)
    request.op.floats = np.array([1.0], "<f4").tobytes()
    assert request_words(request) == "optimize t ids -1 floats 3f800000 time 5"
    filtered = testee_pb2.Request()
    filtered.filter.kind = "hash"
    filtered.filter.ops.add(op="add", id=7, count=2)
    assert "add(7, 2, 0)" in request_words(filtered)


def test_terminal_and_files_show_it(tmp_path: Path) -> None:
    arguments = ["run", "--backend", "mutant:adagrad-multiplies-first", "--select", "core/optimizer.adagrad/quotient"]
    shown = CliRunner().invoke(conform_app, [*arguments, "--report", str(tmp_path)], standalone_mode=False)
    assert shown.return_value == 1
    for words in ("equals the rule with the rate multiplied", "smallest  create", "again     monolith-ref conform run"):
        assert words in shown.output
    (case,) = json.loads((tmp_path / "report.json").read_text())["cases"]
    assert case["smallest"]["requests"][1].startswith("optimize ")
    assert case["command"].endswith("core/optimizer.adagrad/quotient-first")
    assert "equals the rule with" in case["cause"]
    page = (tmp_path / "report.html").read_text()
    assert "the rate multiplied by the gradient" in page
    assert "c.smallest.requests" in page
    (smallest,) = (tmp_path / "failures").glob("*.smallest.jsonl")
    again = CliRunner().invoke(
        conform_app, ["replay", str(smallest), "--backend", "mutant:adagrad-multiplies-first"], standalone_mode=False
    )
    assert again.return_value == 1
    assert CliRunner().invoke(
        conform_app, ["replay", str(smallest), "--backend", "oracle"], standalone_mode=False
    ).return_value == 0  # fmt: skip


def test_outcomes_survive_the_way_between_ranks() -> None:
    outcome = _explained("mutant:adagrad-multiplies-first", "core/optimizer.adagrad/quotient-first")
    summary = run_cases(make_backend("null"), [], quirks=QUIRKS)
    summary.outcomes[outcome.case.id] = outcome
    back = gather(SerialCommunicator(), summary, [outcome.case]).outcomes[outcome.case.id]
    assert (back.status, back.mismatch, back.cause, back.fingerprint) == (
        "failed", outcome.mismatch, outcome.cause, outcome.fingerprint,
    )  # fmt: skip
    assert back.smallest is not None
    assert outcome.smallest is not None
    assert back.smallest.transcript.lines() == outcome.smallest.transcript.lines()


def test_every_case_is_dealt_once() -> None:
    cases = list(CASES.values())
    hands = [deal(cases, rank, 3) for rank in range(3)]
    assert sorted(c.id for hand in hands for c in hand) == sorted(CASES)
    assert max(map(len, hands)) - min(map(len, hands)) <= 1
