"""Generated cases: they find what is wrong, and leave the smallest example that shows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from monolith_conformance.backend import BackendFault
from monolith_conformance.backends.oracle import OracleBackend
from monolith_conformance.cases import all_cases
from monolith_conformance.generating import as_floats, float_lists, words
from monolith_conformance.replaying import replay_transcript
from monolith_conformance.runner import run_cases
from monolith_protos import testee_pb2

from monolith_ref.quirks import Quirks

QUIRKS = Quirks.parse("default")


class Wrong(OracleBackend):
    """An oracle that answers one kind of request wrongly."""

    name = "wrong"

    def __init__(self, op: str, when: int = 0) -> None:
        self._op, self._left = op, when
        self.started = 0

    def start(self, profile: str, quirks: Quirks) -> None:
        super().start(profile, quirks)
        self.started += 1

    def op(self, message: testee_pb2.Op) -> testee_pb2.Result:
        result = super().op(message)
        if message.op == self._op == "lookup" and len(set(message.ids)) < len(message.ids):
            floats = np.frombuffer(result.floats, "<f4").copy()
            floats[-1] += 1
            result.floats = floats.tobytes()
        if message.op == self._op == "assign":
            self._left -= 1
            if self._left == 0:
                result.ints.append(1)
        if message.op == self._op == "save":
            raise BackendFault("raised", "saving breaks it")
        return result


def _judge(backend: OracleBackend, case_id: str):
    case = all_cases()[case_id]
    return run_cases(backend, [case], quirks=QUIRKS).outcomes[case.id]


def test_a_fault_is_found_and_shrunk() -> None:
    outcome = _judge(Wrong("lookup"), "table/operations/generated")
    assert outcome.status == "failed"
    assert outcome.transcript is not None
    requests = [step.request for step in outcome.transcript]
    assert [request.WhichOneof("kind") for request in requests] == ["create", "op"]
    assert len(requests[-1].op.ids) == 2


def test_the_smallest_example_can_be_replayed(tmp_path: Path) -> None:
    outcome = _judge(Wrong("lookup"), "table/operations/generated")
    assert outcome.transcript is not None
    assert replay_transcript(OracleBackend(), outcome.transcript, "ieee", QUIRKS) == ""
    assert "floats" in replay_transcript(Wrong("lookup"), outcome.transcript, "ieee", QUIRKS)


def test_examples_are_the_same_every_time() -> None:
    first, second = (_judge(Wrong("lookup"), "table/operations/generated") for _ in range(2))
    assert first.fingerprint == second.fingerprint
    assert first.transcript is not None
    assert second.transcript is not None
    assert [str(step.request.op) for step in first.transcript] == [str(step.request.op) for step in second.transcript]


def test_answers_that_change_are_told_as_such() -> None:
    outcome = _judge(Wrong("assign", when=9), "table/operations/generated")
    assert outcome.status == "failed"
    assert "the same whenever the same is asked" in str(outcome.mismatch)


def test_a_backend_that_breaks_is_started_again_and_reported() -> None:
    backend = Wrong("save")
    outcome = _judge(backend, "table/operations/generated")
    assert outcome.status == "fault"
    assert "saving breaks it" in outcome.message
    assert backend.started > 2


def test_nothing_is_left_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert _judge(OracleBackend(), "core/combiner.reduce_sum/generated").status == "passed"
    assert list(tmp_path.iterdir()) == []


def test_examples_hold_special_numbers() -> None:
    from hypothesis import find

    bits = find(words(), lambda word: word == 0x7F800000)
    assert np.isposinf(as_floats([bits])).all()
    assert len(find(float_lists(3), lambda values: bool(np.isnan(values).any()))) == 3
