"""``mpiexec -n N monolith-ref conform run``: real exchanges, cases dealt, one report, no rank left behind."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support.mpi import Result, run_ranks

PROGRAM = str(Path(__file__).with_name("ranks_conform.py"))
TESTEE = "testee:" + sys.executable + " " + str(
    Path(__file__).resolve().parents[3] / "conformance/monolith_conformance/testees/testee.py"
)  # fmt: skip
pytestmark = pytest.mark.mpi


def _conform(ranks: int, fault: str, *arguments: str) -> Result:
    return run_ranks(ranks, [PROGRAM, fault, *arguments], timeout=200)


@pytest.mark.parametrize("ranks", [2, 4])
def test_the_engine_reduces_over_real_ranks(ranks: int) -> None:
    selected = [f"--select=sync/{kind}/" for kind in ("sequential", "sum", "mean", "exact", "duplicates", "uneven")]
    result = _conform(ranks, "none", "--backend", "engine-cpu", "--json", *selected)
    assert result.code == 0, result.stderr
    report = json.loads(result.stdout)
    assert {case["status"] for case in report["cases"]} == {"passed"}
    (note,) = report["notes"]
    assert note.startswith(f"{ranks} ranks: ")
    steps = int(note.split(" together, ")[1].split()[0])
    assert steps > 10


def test_a_wrong_exchange_between_ranks_is_found() -> None:
    result = _conform(2, "order", "--backend", "engine-cpu", "--json", "--select", "sync/sequential")
    assert result.code == 1
    statuses = {case["id"]: case["status"] for case in json.loads(result.stdout)["cases"]}
    assert statuses["sync/sequential/ranks-in-order"] == "failed"


def test_cases_are_dealt_and_there_is_one_report(tmp_path: Path) -> None:
    arguments = ["--backend", "oracle", "--select", "table/trace", "--report", str(tmp_path)]
    result = _conform(3, "none", *arguments)
    assert result.code == 0, result.stderr
    assert result.stdout.count("conforms:") == 1
    report = json.loads((tmp_path / "report.json").read_text())
    assert len(report["cases"]) == 21
    assert [case["id"] for case in report["cases"]] == sorted(case["id"] for case in report["cases"])
    assert "0 steps from rank to rank" in report["environment"]["ranks"]


def test_a_rank_that_finds_a_failure_says_so_in_the_one_report() -> None:
    result = _conform(2, "cases", "--backend", "oracle", "--json", "--select", "table/trace")
    assert result.code == 1
    failed = [case for case in json.loads(result.stdout)["cases"] if case["status"] == "failed"]
    assert failed
    assert all(case["message"] == "on rank 1" for case in failed)


def test_each_rank_has_a_testee_of_its_own() -> None:
    arguments = ["--backend", TESTEE, "--json", "--select", "core/optimizer.sgd/sgd-p0", "--select", "sync/sum"]
    result = _conform(2, "none", *arguments)
    assert result.code == 0, result.stderr
    statuses = [case["status"] for case in json.loads(result.stdout)["cases"]]
    assert statuses.count("passed") >= 8
    assert "unsupported" in statuses


@pytest.mark.parametrize(("fault", "words"), [("raise", "rank 1 is no use"), ("die", "")])
def test_a_rank_that_dies_takes_the_job_down(fault: str, words: str) -> None:
    result = _conform(2, fault, "--backend", "engine-cpu", "--select", "sync/sequential", "--select", "core/lookup")
    assert result.code != 0
    assert words in result.stderr + result.stdout
    assert "conforms:" not in result.stdout
    assert result.seconds < 100
