"""The benchmark's own logic: judging, exit codes, the order of turns, workers that are missing or fail."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness import page, plan, plots, report, sweep
from benchmarks.harness.bends import Point
from benchmarks.harness.contenders import CONTENDERS, WORKERS, Contender, Ended, Process, environments
from benchmarks.harness.crew import Crew
from benchmarks.harness.floors import FLOORS, Floor, Outcome, best_form, exit_status, judge, last_line
from benchmarks.harness.machine import read_machine
from benchmarks.harness.turns import Limits, order_of_round, take_turns

LOOKUP = Floor("lookup", "lookup over torch", "torch", 2.0)
THREADS = Floor("two_threads", "two over one", "form:one thread", 1.7, "two threads")


def outcome(**forms: list[float]) -> Outcome:
    """Seconds by form."""
    return Outcome(dict(forms))


def states(results: dict[str, dict[str, Outcome]], *floors: Floor) -> list[str]:
    """How these floors are judged."""
    return [verdict.state for verdict in judge(results, floors)]


def test_the_median_of_the_rounds_ratios_is_judged() -> None:
    # Round by round torch takes 2, 2 and 100 times as long; the quotient of the medians would be 50.
    results = {"lookup": {"engine": outcome(a=[1.0, 10.0, 0.1]), "torch": outcome(b=[2.0, 20.0, 10.0])}}
    (verdict,) = judge(results, [LOOKUP])
    assert verdict.ratio == 2.0
    assert verdict.state == "kept"
    assert "a / torch: b" in verdict.note
    results["lookup"]["torch"].seconds["b"] = [1.9, 19.0, 10.0]
    assert states(results, LOOKUP) == ["missed"]


def test_the_best_form_of_each_counts() -> None:
    ours = outcome(slow=[5.0, 5.0, 5.0], fast=[1.0, 1.0, 9.0])
    assert best_form(ours) == "fast"
    assert best_form(None) is None
    assert best_form(Outcome(reason="no")) is None
    results = {"lookup": {"engine": ours, "torch": outcome(quick=[1.5, 1.5, 1.5], lame=[9.0, 9.0, 9.0])}}
    assert states(results, LOOKUP) == ["missed"]


def test_a_floor_without_its_peer_is_unjudged() -> None:
    engine = outcome(a=[1.0])
    for theirs in ({}, {"torch": Outcome(reason="cannot be installed")}):
        (verdict,) = judge({"lookup": {"engine": engine, **theirs}}, [LOOKUP])
        assert verdict.state == "unjudged"
        assert verdict.ratio is None
    assert "cannot be installed" in verdict.note
    assert states({}, LOOKUP) == ["unjudged"]


@pytest.mark.parametrize(("two", "same", "state"), [(0.5, True, "kept"), (0.9, True, "missed"), (0.5, False, "missed")])
def test_two_threads_must_be_faster_and_give_the_same_bits(two: float, same: bool, state: str) -> None:
    engine = Outcome({"one thread": [1.0], "two threads": [two]}, {"same bits": same})
    assert states({"two_threads": {"engine": engine}}, THREADS) == [state]


@pytest.mark.parametrize(("found", "state"), [(140.0, "kept"), (174.9, "kept"), (175.1, "missed"), (None, "unjudged")])
def test_memory_is_judged_by_resident_bytes(found: float | None, state: str) -> None:
    facts = {} if found is None else {"resident bytes a row": found}
    floor = next(floor for floor in FLOORS if floor.key == "memory")
    assert states({"memory": {"engine": Outcome(facts=facts)}}, floor) == [state]


def test_exit_status_and_last_line() -> None:
    engine, torch = outcome(a=[1.0]), outcome(b=[1.0])
    missed = judge({"lookup": {"engine": engine, "torch": torch}}, [LOOKUP, THREADS])
    assert last_line(missed) == "floors: 1 judged, 1 missed, 1 unjudged"
    assert exit_status(missed, []) == 1
    assert exit_status(missed, ["tfra"]) == 1
    assert exit_status(missed, ["torch"]) == exit_status([], ["fbgemm", "tfra"]) == 3
    kept = judge({"lookup": {"engine": engine, "torch": outcome(b=[3.0])}}, [LOOKUP])
    assert exit_status(kept, ["tfra"]) == 0
    assert exit_status([], ["engine"]) == 1
    assert last_line(kept) == "floors: 1 judged, 0 missed, 0 unjudged"


def test_every_floor_has_a_job_with_its_contenders() -> None:
    jobs = {job.floor: job for job in plan.floor_jobs("batches.npz")}
    for floor in FLOORS:
        assert "engine" in jobs[floor.key].contenders
        if floor.peer and not floor.peer.startswith("form:"):
            assert floor.peer in jobs[floor.key].contenders
    step = jobs["step"]
    assert step.threads == 2
    assert all(job.threads == 1 for job in jobs.values() if job is not step)
    spec = jobs["lookup"].spec
    assert (spec["rows"], spec["batch"], spec["dim"]) == (10_000_000, 1_000_000, 16)


def test_the_full_run_covers_sizes_widths_laws_misses_and_threads() -> None:
    jobs = [job for unit in sweep.full_units("folder") for job in unit.jobs]
    swept = [job.spec for job in jobs if job.spec["job"] == "lookup" and "torch" in job.contenders]
    assert {spec["rows"] for spec in swept} == set(sweep.FULL_ROWS) == {10**4, 10**5, 10**6, 10**7}
    assert {spec["dim"] for spec in swept} == set(sweep.FULL_DIMS) == {8, 16, 32, 64, 128}
    assert {spec["ids"] for spec in swept} == {"uniform", "zipf"}
    assert any(job.spec.get("misses") for job in jobs)
    assert {job.threads for job in jobs} == {1, 2}
    assert {"save", "restore", "overhead", "insert", "update", "pooled"} <= {job.spec["job"] for job in jobs}
    alone = [job for job in jobs if job.alone]
    assert {job.spec["rows"] for job in alone} == {10**4, 10**5, 10**6, 10**7, 10**8}
    assert all(name in CONTENDERS for job in jobs for name in job.contenders)
    kinds = {unit.kind for unit in sweep.full_units("folder")}
    assert kinds == {"", "ranks 1", "ranks 2", "ranks 3", "ranks 4", "cold", "cuda"}
    titles = [job.title for job in jobs]
    assert len(titles) == len(set(titles))


def test_a_short_run_drops_points_of_every_curve_and_no_curve() -> None:
    units = sweep.full_units("folder")
    whole = sum(unit.seconds for unit in units)
    kept, dropped = sweep.fit(units, whole)
    assert (kept, dropped) == (units, [])
    kept, dropped = sweep.fit(units, whole * 0.6)
    assert sum(unit.seconds for unit in kept) <= whole * 0.6
    assert dropped
    assert [unit for unit in units if unit in kept] == kept
    assert sorted(unit.name for unit in units) == sorted(unit.name for unit in [*kept, *dropped])
    curves = {curve for unit in units for job in unit.jobs for curve in job.curves if job.threads == 1}
    for curve in curves:
        points = [job for unit in kept for job in unit.jobs if curve in job.curves]
        assert len(points) >= 2, curve
    assert sweep.fit(units, 0)[0] == []


def test_rounds_begin_with_another_form_each_time() -> None:
    entries = [("engine", "a"), ("engine", "b"), ("torch", "c")]
    rounds = [order_of_round(entries, number) for number in range(6)]
    assert all(sorted(entries) == sorted(order) for order in rounds)
    assert len({order[0] for order in rounds}) == 3
    assert rounds[0][0] == entries[0]
    followers = {(order[k], order[k + 1]) for order in rounds for k in range(2)}
    assert (entries[0], entries[1]) in followers
    assert (entries[1], entries[0]) in followers
    assert order_of_round([], 3) == []


class Actor:
    """A worker that answers from a script and writes down what it was asked."""

    def __init__(self, name: str, forms: list[str], journal: list[tuple[str, Any]], fail_at: int = -1) -> None:
        self.about: dict[str, Any] = {}
        self._name, self._forms, self._journal, self._fail_at, self._runs = name, forms, journal, fail_at, 0

    def ask(self, command: dict[str, Any], limit: float) -> dict[str, Any]:
        """Answer."""
        assert limit == (7.0 if "open" in command else 2.0)
        self._journal.append((self._name, next(iter(command))))
        if "open" in command:
            return {"forms": self._forms, "facts": {"job": command["open"]["job"]}} if self._forms else {"skip": "no"}
        if "run" in command:
            self._runs += 1
            if self._runs == self._fail_at:
                raise Ended("its process ended (-9): out of memory")
            return {"seconds": float(self._runs)}
        return {}

    def stop(self) -> None:
        """Nothing to end."""


def test_contenders_take_turns_and_a_failure_takes_only_its_own_seconds() -> None:
    journal: list[tuple[str, Any]] = []
    workers = {
        "engine": Actor("engine", ["a", "b"], journal),
        "torch": Actor("torch", ["c"], journal, fail_at=2),
        "tfra": Actor("tfra", [], journal),
    }
    outcomes = take_turns(workers, {"job": "lookup"}, rounds=3, limits=Limits(7.0, 2.0))
    assert [len(seconds) for seconds in outcomes["engine"].seconds.values()] == [3, 3]
    assert outcomes["engine"].facts == {"job": "lookup"}
    assert outcomes["torch"].seconds == {}
    assert "out of memory" in outcomes["torch"].reason
    assert outcomes["tfra"].reason == "no"
    assert [name for name, what in journal if what == "open"] == ["engine", "torch", "tfra"]
    first = [name for name, what in journal if what == "run"][:3]
    assert sorted(first) == ["engine", "engine", "torch"]
    assert [what for _name, what in journal][-3:] == ["close"] * 3


def test_a_real_worker_speaks_the_protocol(tmp_path: Path) -> None:
    worker = Process(CONTENDERS["numpy"], Path(sys.executable), 1, tmp_path / "log")
    job = {"job": "lookup", "rows": 100, "dim": 4, "batch": 50}
    outcomes = take_turns({"numpy": worker}, job, rounds=2)
    assert [len(seconds) for seconds in outcomes["numpy"].seconds.values()] == [2]
    assert all(second > 0 for seconds in outcomes["numpy"].seconds.values() for second in seconds)
    assert take_turns({"numpy": worker}, {"job": "insert"}, 1)["numpy"].reason == "has no such operation"
    assert "error" in worker.ask({"open": {"job": "lookup", "rows": -1, "dim": 4, "batch": 5}}, 60)
    worker.stop()
    with pytest.raises(Ended):
        worker.ask({"close": True}, 60)


SCRIPTED = """
import sys, time
from common import Forms, serve

def wrong():
    raise ValueError("not this one")

calls = []
def twice_only():
    calls.append(0)
    assert len(calls) < 3, "a third time"

def job(spec):
    return Forms({"good": lambda: None, "wrong": wrong, "short": twice_only})

serve({"version": "1"}, {"job": job, "hang": lambda spec: Forms({"hang": lambda: time.sleep(600)}),
                         "die": lambda spec: sys.exit(7)})
"""


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of workers with one that misbehaves on demand."""
    (tmp_path / "scripted.py").write_text(SCRIPTED)
    (tmp_path / "common.py").write_text((WORKERS / "common.py").read_text())
    monkeypatch.setattr("benchmarks.harness.contenders.WORKERS", tmp_path)
    monkeypatch.setitem(CONTENDERS, "scripted", Contender("scripted", "scripted.py"))
    return tmp_path


def test_a_form_that_fails_leaves_the_others_their_seconds(scripted: Path) -> None:
    worker = Process(CONTENDERS["scripted"], Path(sys.executable), 1, scripted / "log")
    found = take_turns({"scripted": worker}, {"job": "job"}, rounds=3)["scripted"]
    assert list(found.seconds) == ["good"]
    assert len(found.seconds["good"]) == 3
    assert "not this one" in found.facts["failed, wrong"]
    assert "a third time" in found.facts["failed, short"]
    assert found.reason == ""
    worker.stop()


def test_a_worker_that_hangs_or_dies_is_ended_and_started_again(scripted: Path) -> None:
    crew = Crew({"own": Path(sys.executable)}, scripted)
    job = plan.Job("t", {"job": "hang"}, ("scripted",))
    began = time.monotonic()
    found = take_turns(crew.workers(job), job.spec, 1, limits=Limits(0.3, 0.3))["scripted"]
    assert time.monotonic() - began < 30
    assert found.reason == "gave no answer within 0.3 s and was ended"
    assert found.seconds == {}
    found = take_turns(crew.workers(job), {"job": "die"}, 1)["scripted"]
    assert "its process ended (7)" in found.reason
    good = take_turns(crew.workers(job), {"job": "job"}, 1)["scripted"]
    assert good.seconds["good"]
    take_turns(crew.workers(job), {"job": "die"}, 1)
    assert crew.workers(job) == {}
    assert "3 times" in crew.absent["scripted"]
    crew.stop()


def test_a_worker_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.py").write_text("print('hello')\nimport nothing_of_this_name\n")
    monkeypatch.setattr("benchmarks.harness.contenders.WORKERS", tmp_path)
    with pytest.raises(Ended, match="nothing_of_this_name"):
        Process(Contender("broken", "broken.py"), Path(sys.executable), 1, tmp_path / "log")
    assert environments(tmp_path / "none", None)["peers"] is None


def test_all_contenders_draw_the_same_rows() -> None:
    program = """
import json
from common import numbers, ids_of
job = {"rows": 1000, "batch": 400, "ids": "zipf"}
drawn = numbers(job)
missing = numbers({**job, "ids": "uniform", "misses": True})
facts = [bool((drawn == numbers(job)).all()), int(drawn.max()) < 1000, int(missing.min()) >= 1000,
         len(set(drawn.tolist())) < 300, len(set(ids_of(missing).tolist())) == len(set(missing.tolist()))]
print(json.dumps(facts))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=WORKERS, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [True] * 5


def test_reports_show_everything_and_omit_nobody() -> None:
    job = plan.Job(
        "lookup of hits",
        {"job": "lookup", "rows": 10},
        ("engine", "torch"),
        unit=10,
        floor="lookup",
        curves=(("rows", "c"),),
    )
    outcomes = {"engine": outcome(a=[1e-6, 2e-6, 3e-6]), "torch": Outcome(reason="has <no> wheel")}
    run = report.Run(
        {"machine": "m"}, [report.Measured(job, outcomes)], judge({"lookup": outcomes}, [LOOKUP]), {"fbgemm": "-"}
    )
    text = "\n".join([*report.job_lines(run.measured[0]), *report.verdict_lines(run.verdicts)])
    assert "200 ns" in text
    assert "torch            -  has <no> wheel" in text
    text_of_page = page.html_page(run, read_machine())
    assert "<svg" in text_of_page
    assert "polyline" in text_of_page
    assert "has &lt;no&gt; wheel" in text_of_page
    assert "src=" not in text_of_page
    assert "href=" not in text_of_page
    data = json.loads(json.dumps(report.json_report(run)))
    assert data["floors"][0]["state"] == "unjudged"
    assert data["jobs"][0]["outcomes"]["engine"]["seconds"] == {"a": [1e-6, 2e-6, 3e-6]}


def test_plots_place_larger_values_further() -> None:
    svg = plots.bars([("engine", 1.0, 0.9, 1.1), ("torch", 2.0, 1.9, 2.1)])
    widths = [float(part.split('"')[1]) for part in svg.split("<rect")[1:] for part in [part[part.index("width=") :]]]
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.01)
    assert plots.lines({}, "rows") == ""
    assert plots.lines({"engine": [Point(10.0, 2e-9, 1e-9, 3e-9, {})]}, "rows").count("<circle") == 1
