"""Every planted fault is caught at the first step where it can be seen, with a fid and its cause (job 4)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from monolith_conformance.compare.job import Request
from monolith_conformance.compare.plants import KINDS

from tests.conformance.compare.support import run_small
from tests.support.mpi import run_ranks

FIRST_STEP = {
    "wrong-lr": 0,
    "lost-duplicate": 0,
    "skipped-step": 0,
    "raw-grad-accumulator": 0,
    "one-ulp": 0,
    "stale-row": 1,
    "swapped-shards": 1,
    "fp16-rows": 1,
}

CAUSE = {
    "wrong-lr": "learning rate 0.0505 instead of 0.05",
    "lost-duplicate": "one occurrence was lost",
    "skipped-step": "the update was skipped",
    "raw-grad-accumulator": "sum of the occurrences' squares",
    "one-ulp": "one element alone is 1 ulp off",
    "stale-row": "a stale row",
    "swapped-shards": "the row of another id",
    "fp16-rows": "rounded to half precision",
}


def test_every_kind_is_tested() -> None:
    assert set(KINDS) == set(FIRST_STEP) == set(CAUSE)
    assert len(KINDS) == 8


@pytest.mark.parametrize("layout", ["multi", "merged"])
@pytest.mark.parametrize("kind", list(FIRST_STEP))
def test_one_rank(kind: str, layout: str, tmp_path: Path) -> None:
    result = run_small(tmp_path, layout, {"steps": "3"}, Request(plant=kind))
    assert result.verdict == "fail"
    check(kind, [finding.as_dict() for finding in result.findings], result.differences)


def check(kind: str, findings: list[dict[str, object]], differences: int) -> None:
    assert 1 <= len(findings) <= 10
    assert differences >= len(findings)
    first = findings[0]
    assert first["step"] == FIRST_STEP[kind]
    assert isinstance(first["fid"], int)
    assert first["slot"] == first["fid"] >> 48
    assert first["engine"] != first["oracle"]
    assert CAUSE[kind] in str(first["cause"]), first["cause"]
    if kind == "one-ulp":
        assert (first["ulps"], differences) == (1, 1)


@pytest.mark.mpi
def test_two_ranks() -> None:
    """All kinds, both layouts, both reductions that differ most, in one job."""
    job = run_ranks(2, ["-m", "tests.conformance.compare.ranks_plants"], timeout=240)
    assert job.code == 0, job.stderr
    found = [json.loads(line) for line in job.stdout.splitlines() if line.startswith("{")]
    assert len(found) == 2 * len(KINDS)
    for run in found:
        assert run["verdict"] == "fail", run["kind"]
        check(run["kind"], run["findings"], run["differences"])
        assert run["findings"][0]["owner"] == run["findings"][0]["fid"] % 2


def test_a_name_is_only_an_option(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Under another name a fault looks the same: neither comparer nor explainer sees what it is called."""
    named = run_small(tmp_path / "a", options={"steps": "1"}, request=Request(plant="lost-duplicate"))
    monkeypatch.setitem(KINDS, "nameless", KINDS["lost-duplicate"])
    renamed = run_small(tmp_path / "b", options={"steps": "1"}, request=Request(plant="nameless"))
    assert [f.as_dict() for f in named.findings] == [f.as_dict() for f in renamed.findings]
