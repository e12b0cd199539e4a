"""Programs that misbehave during a run: each is reported for what it is, restarted, and the run goes on."""

from __future__ import annotations

import sys
import time

import pytest
from monolith_conformance.backends import testee as program
from monolith_conformance.outcome import Outcome, RunSummary
from monolith_conformance.runner import run_cases

from monolith_ref.quirks import Quirks
from tests.conformance.suite.scripted import size_case

PROGRAM = """
import json, os, signal, sys, time
mode, claims, asked = sys.argv[1], ["table.size"], 0
def say(**reply):
    sys.stdout.write(json.dumps(reply) + "\\n"); sys.stdout.flush()
for line in sys.stdin:
    request = json.loads(line)
    seq = request["seq"]
    if "stop" in request:
        sys.exit(0)
    if "hello" in request:
        say(seq=seq, hello={"protocol": 1, "name": mode, "version": "1", "language": "test", "capabilities": claims})
        continue
    asked += 1
    print("asked", asked, file=sys.stderr, flush=True)
    right = {"ints": ["3"]}
    if mode == "hang": time.sleep(60)
    elif mode == "die": os._exit(7)
    elif mode == "crash": os.kill(os.getpid(), signal.SIGSEGV)
    elif mode == "twice": say(seq=seq, result=right); say(seq=seq, result=right)
    elif mode == "order": say(seq=seq + 1, result=right)
    elif mode == "late": say(seq=seq - 1, result=right)
    elif mode == "flood":
        while True: sys.stdout.write("x" * 65536)
    elif mode == "talk":
        say(seq=seq, result=right)
        while True: sys.stdout.write("y" * 65536 + "\\n")
    elif mode == "garbage": print("all is well", flush=True)
    elif mode == "lie": say(seq=seq, unsupported={"capability": "table.size"})
    elif mode == "wrong": say(seq=seq, result={"ints": ["4"]})
    elif mode == "empty": say(seq=seq)
    elif mode == "close": os.close(1); time.sleep(60)
    elif mode == "once" and not os.path.exists(sys.argv[2]): open(sys.argv[2], "w").close(); os._exit(7)
    else: say(seq=seq, result=right)
"""
LIMIT = 20.0
CASES = [size_case(id=f"table/size/{name}") for name in "abc"]


def _run(mode: str, *more: str) -> RunSummary:
    backend = program.TesteeBackend([sys.executable, "-c", PROGRAM, mode, *more], "json", LIMIT)
    return run_cases(backend, CASES, quirks=Quirks.parse("default"))


def _first(summary: RunSummary) -> Outcome:
    return summary.outcomes["table/size/a"]


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("die", "died: it ended with exit code 7"),
        ("crash", "died: it ended with signal SIGSEGV"),
        ("close", "died: it closed its standard output"),
        ("order", "wrong_seq: seq 3 answers seq 2"),
        ("late", "unasked: seq 1 is answered a second time, seq 2 was asked"),
        ("garbage", "garbage: not a line of JSON"),
    ],
)
def test_it_is_a_fault_of_the_case_and_the_run_goes_on(mode: str, words: str) -> None:
    summary = _run(mode)
    assert [o.status for o in summary.outcomes.values()] == ["fault"] * 3
    for outcome in summary.outcomes.values():
        assert words in outcome.message
        assert "asked 1" in outcome.stderr
    assert summary.failed
    assert summary.conforms == []
    assert "3 failed" in summary.line


@pytest.mark.parametrize(("mode", "words"), [("hang", "silent: no reply within 3 s"), ("flood", "flood: ")])
def test_nothing_is_waited_for_beyond_the_limit(mode: str, words: str) -> None:
    backend = program.TesteeBackend([sys.executable, "-c", PROGRAM, mode], "json", 3.0)
    began = time.monotonic()
    summary = run_cases(backend, CASES[:1], quirks=Quirks.parse("default"))
    assert _first(summary).status == "fault"
    assert _first(summary).message.startswith(words)
    # Asked once, and replayed once.
    assert 6.0 <= time.monotonic() - began < 20


@pytest.mark.parametrize(("mode", "kinds"), [("twice", ("unasked:",)), ("talk", ("unasked:", "garbage:"))])
def test_answers_that_nobody_asked_for_are_seen_at_the_next_request(mode: str, kinds: tuple[str, ...]) -> None:
    summary = _run(mode)
    assert _first(summary).status == "passed"
    later = [o for o in summary.outcomes.values() if o.status != "passed"]
    assert later
    # Where it came late, it is found in the place of the next reply.
    assert all(o.message.startswith(kinds) for o in later)


def test_a_claim_that_is_not_kept_is_a_failure_by_name() -> None:
    summary = _run("lie")
    assert [o.status for o in summary.outcomes.values()] == ["failed"] * 3
    assert _first(summary).message == "claims table.size, but answered unsupported: table.size"


def test_a_wrong_answer_is_no_fault() -> None:
    outcome = _first(_run("wrong"))
    assert outcome.status == "failed"
    assert str(outcome.mismatch) == "request 0, ints[0]: 4, expected 3"


def test_a_reply_without_content_is_a_failure() -> None:
    outcome = _first(_run("empty"))
    assert outcome.status == "failed"
    assert "expected a result" in str(outcome.mismatch)


def test_a_program_that_dies_once_passes_its_replay_and_is_told_so(tmp_path: object) -> None:
    summary = _run("once", f"{tmp_path}/died")
    assert [o.status for o in summary.outcomes.values()] == ["failed", "passed", "passed"]
    assert "the case passes on a fresh start" in _first(summary).message


def test_a_good_program_passes() -> None:
    assert [o.status for o in _run("good").outcomes.values()] == ["passed"] * 3
