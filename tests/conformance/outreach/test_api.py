"""``run_conformance`` judges objects and names alike, and takes saved transcripts as cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from monolith_conformance import run_conformance
from monolith_conformance.backends.oracle import OracleBackend
from monolith_conformance.cases import all_cases
from monolith_conformance.cases.saved import saved_cases
from monolith_conformance.runner import judge_case
from monolith_conformance.session import Session
from monolith_conformance.transcript import Transcript
from monolith_protos import testee_pb2

from monolith_ref.errors import ConfigError, FormatError
from monolith_ref.quirks import Quirks

SGD = "core/optimizer.sgd/"


class Wrong(OracleBackend):
    """Rounds every read to a multiple of two to the power of -10."""

    name = "wrong"

    def op(self, message: testee_pb2.Op) -> testee_pb2.Result:
        result = super().op(message)
        if message.op == "lookup":
            rows = np.frombuffer(result.floats, "<f4")
            with np.errstate(all="ignore"):
                result.floats = (np.round(rows * np.float32(1024)) / np.float32(1024)).astype("<f4").tobytes()
        return result


def test_an_object_is_judged() -> None:
    told = []
    summary = run_conformance(Wrong(), select=[SGD], progress=lambda total, outcome: told.append(outcome))
    assert summary.failed
    assert summary.backend == "wrong"
    assert summary.count("failed") > 10
    assert told[0] is None
    assert [outcome.case.id for outcome in told[1:]] == list(summary.outcomes)
    assert not run_conformance("oracle", select=[SGD]).failed


def test_an_empty_selection_is_refused() -> None:
    with pytest.raises(ConfigError, match="no case begins with nothing/"):
        run_conformance("oracle", select=["nothing/"])


def test_known_failures_settle_the_run(tmp_path: Path) -> None:
    fixed = [f"{SGD}sgd-"]
    summary = run_conformance(Wrong(), select=fixed)
    lines = [f"{key}  # rounds" for key, o in summary.outcomes.items() if o.status == "failed"]
    known = tmp_path / "known.txt"
    known.write_text("\n".join(lines))
    again = run_conformance(Wrong(), select=fixed, known=known)
    assert not again.failed
    assert again.count("known") == len(lines)


def _recorded(folder: Path, case_id: str) -> Path:
    session = Session(OracleBackend(), "ieee", Quirks.parse("default"))
    session.open()
    assert judge_case(session, all_cases()[case_id]).status == "passed"
    path = folder / "kept.jsonl"
    session.transcript.save(path, id=case_id, needs=sorted(all_cases()[case_id].needs), profile="ieee")
    return path


def test_a_saved_transcript_is_a_case(tmp_path: Path) -> None:
    case_id = next(key for key in all_cases() if key.startswith(SGD + "sgd-p0-d3"))
    _recorded(tmp_path, case_id)
    chosen = [SGD + "kept"]
    right = run_conformance("oracle", cases=tmp_path, select=chosen)
    assert [o.status for o in right.outcomes.values()] == ["passed"]
    wrong = run_conformance(Wrong(), cases=tmp_path, select=chosen)
    assert [o.status for o in wrong.outcomes.values()] == ["failed"]
    assert len(wrong.outcomes[SGD + "kept"].transcript or ()) > 1
    lacking = run_conformance("null", cases=tmp_path, select=chosen)
    assert [o.status for o in lacking.outcomes.values()] == ["unsupported"]


def test_a_saved_case_cannot_take_a_name_that_is_taken(tmp_path: Path) -> None:
    case_id = next(key for key in all_cases() if key.startswith(SGD))
    path = _recorded(tmp_path, case_id)
    path.rename(tmp_path / (case_id.rsplit("/", 1)[1] + ".jsonl"))
    with pytest.raises(FormatError, match="used twice"):
        saved_cases(tmp_path)
    (tmp_path / "broken.jsonl").write_text("[]\n")
    with pytest.raises(FormatError, match="header"):
        saved_cases(tmp_path)


def test_an_empty_transcript_is_a_case_that_asks_nothing(tmp_path: Path) -> None:
    Transcript().save(tmp_path / "empty.jsonl", id="table/trace/x")
    assert list(saved_cases(tmp_path)) == ["table/trace/empty"]
