"""A full run: bounded in time, written as it goes, its curves explained by the machine's caches."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.harness import apart, sweep
from benchmarks.harness.bends import Point, explain, marks, touched
from benchmarks.harness.conduct import Conductor
from benchmarks.harness.crew import Crew
from benchmarks.harness.machine import Machine, bytes_text, free_bytes, read_machine
from benchmarks.harness.page import html_page
from benchmarks.harness.plan import Job
from benchmarks.harness.report import curves
from benchmarks.harness.sweep import Unit

ROOT = Path(__file__).parents[2]
MACHINE = Machine("m", 2, {"L1": 32 << 10, "L2": 2 << 20, "L3": 32 << 20}, 1000, "madvise", 1 << 34)


def job(title: str, rows: int = 100, **more: object) -> Job:
    """A lookup by NumPy."""
    spec = {"job": "lookup", "rows": rows, "dim": 16, "batch": 100, "ids": "uniform"}
    return Job(title, spec, ("numpy",), unit=100, curves=(("rows", "lookup by rows"),), group="lookup", **more)


def units(count: int, seconds: float) -> list[Unit]:
    """Units of one job each; later ones count more."""
    return [Unit(f"unit {k}", k, seconds, (job(f"job {k}", 100 * (k + 1)),)) for k in range(count)]


class Clock:
    """Goes on by so many seconds at every job that is asked about."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def conductor(tmp_path: Path) -> Iterator[Conductor]:
    """With 100 seconds."""
    crew = Crew({"own": Path(sys.executable)}, tmp_path)
    yield Conductor(crew, 2, tmp_path / "full", 100, Clock())
    crew.stop()


def test_what_does_not_fit_is_dropped_and_named(conductor: Conductor, tmp_path: Path) -> None:
    conductor.do_units(units(4, 40))
    data = json.loads((tmp_path / "full.json").read_text())
    assert [one["title"] for one in data["jobs"]] == ["job 2", "job 3"]
    assert set(data["dropped"]) == {"unit 0", "unit 1"}
    page = (tmp_path / "full.html").read_text()
    assert "unit 0: – some 40 s more than the time allows" in page
    assert not list(tmp_path.glob("*.part"))


def test_estimates_follow_the_pace_of_the_run(conductor: Conductor, monkeypatch: pytest.MonkeyPatch) -> None:
    one = conductor._one

    def slow(chosen: Job) -> object:
        conductor._clock.now += 40  # type: ignore[attr-defined]
        return one(chosen)

    monkeypatch.setattr(conductor, "_one", slow)
    conductor.do_units(units(5, 20))
    # Estimated to take the whole time, they take twice as long.
    assert conductor.run.measured[0].job.title == "job 0"
    assert len(conductor.run.measured) < 4
    assert len(conductor.run.measured) + len(conductor.run.dropped) == 5
    assert conductor.spent <= 140


def test_a_job_that_needs_more_memory_than_there_is_says_so(
    conductor: Conductor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.harness.conduct.free_bytes", lambda: 1 << 30)
    conductor.perform([job("large", 10**8, alone=True), job("small", alone=True)])
    large, small = conductor.run.measured
    assert large.outcomes["numpy"].reason == "needs some 14 GiB of memory, 1 GiB are free"
    assert small.outcomes["numpy"].seconds


def test_an_interrupted_run_has_written_what_it_has(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.harness", "--scale", "100", "--only", "10,000 rows of dim 16, 1"]
    command += ["--peers", str(tmp_path), "--tfra", str(tmp_path), "--skip", "engine", "--out", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
    assert process.returncode == 130
    assert "(interrupted)" in rest
    data = json.loads((tmp_path / "full.json").read_text())
    assert 0 < len(data["jobs"]) < 8
    assert "interrupted" in data["about"]
    assert "make bench-peers" in data["absent"]["torch"]
    outcomes = data["jobs"][0]["outcomes"]
    assert outcomes["numpy"]["seconds"]
    assert outcomes["engine"]["reason"] == "left out"
    assert "make bench-peers" in (tmp_path / "full.html").read_text()


def test_programs_that_hang_are_ended_with_their_children() -> None:
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    began = time.monotonic()
    with pytest.raises(apart.Failed, match=r"within 0.5 s"):
        apart.finished([[sys.executable, "-c", child]], 0.5)
    with pytest.raises(apart.Failed, match="exit status 1: ValueError: no"):
        apart.finished([[sys.executable, "-c", "raise ValueError('no')"]], 60)
    assert time.monotonic() - began < 60
    assert apart.finished([[sys.executable, "-c", f"print({k})"] for k in range(2)], 60) == ["0\n", "1\n"]


def test_what_is_touched_is_counted_from_the_layout() -> None:
    spec = {"job": "lookup", "rows": 1000, "dim": 16, "batch": 10}
    row = touched("torch", spec)
    assert row.lines_a_row == 1
    assert row.lines == pytest.approx(10 * 64, rel=0.01)
    assert row.batch == 10 * (8 + 64)
    assert row.spans == 1000 * 128
    assert touched("engine", spec).lines_a_row == 2
    assert touched("engine", {**spec, "dim": 128}).lines_a_row == 9
    assert touched("engine", {**spec, "misses": True}).lines_a_row == 1
    assert touched("fbgemm", {**spec, "job": "update"}).lines_a_row == 2
    assert touched("engine", {**spec, "batch": 10**6}).distinct == pytest.approx(1e-3)


def points(*costs: float, job: str = "lookup") -> list[Point]:
    """Of 10^4 rows and ten times as many each."""
    return [
        Point(10.0**k, cost, 0.9 * cost, 1.1 * cost, {"job": job, "rows": 10**k, "dim": 16, "batch": min(10**k, 10**6)})
        for k, cost in enumerate(costs, 4)
    ]


def test_bends_are_explained_by_the_level_that_is_outgrown() -> None:
    (found,) = explain("rows", points(1, 1.1, 2), "torch", MACHINE, "time")
    assert found.startswith("rows 100,000 to 1,000,000, 1.82 times the time: ")
    assert "L3 holds 30% instead of 100% of what a run touches" in found
    assert list(explain("rows", points(1, 1.2, 1.1), "torch", MACHINE, "time")) == []
    (found,) = explain("rows", points(1, 2, job="save"), "torch", MACHINE, "time")
    assert "no size explains it; the rounds spread over 0.90 to 1.10" in found
    wide = [Point(d, d, d, d, {"job": "lookup", "rows": 100, "dim": d, "batch": 10}) for d in (16, 64)]
    (found,) = explain("dim", wide, "engine", MACHINE, "time")
    assert "2 to 5 cache lines an id" in found
    steps = [Point(ranks, 1 / ranks if ranks < 3 else 1, 1, 1, {}) for ranks in (1, 2, 3)]
    shared, crowded = explain("ranks", steps, "engine", MACHINE, "time")
    assert "2 times the cores" in shared
    assert "3 ranks of one thread take turns on 2 cores" in crowded


def test_levels_are_marked_between_the_points_where_they_are_outgrown() -> None:
    found = {name: x for x, name in marks("rows", points(1, 1, 1, 1), "torch", MACHINE)}
    assert 10**4 < found["L2"] < 10**5 < found["L3"] < 10**6
    assert found["TLB, 4 KiB pages"] < found["L3"]
    assert marks("dim", points(1, 1), "torch", MACHINE) == []


def test_the_machine_is_read_from_what_linux_tells(tmp_path: Path) -> None:
    cache = tmp_path / "sys/devices/system/cpu/cpu0/cache"
    for number, (level, kind, size) in enumerate([(1, "Data", "48K"), (1, "Instruction", "32K"), (3, "Unified", "2M")]):
        (cache / f"index{number}").mkdir(parents=True)
        for name, text in (("level", level), ("type", kind), ("size", size)):
            (cache / f"index{number}" / name).write_text(f"{text}\n")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("model name\t: A\nTLB size\t: 100 4K pages\nflags\t: fpu hypervisor sse\n")
    (tmp_path / "proc/meminfo").write_text("MemTotal: 2048 kB\nMemAvailable: 1024 kB\n")
    found = read_machine(tmp_path)
    assert found.caches == {"L1": 48 << 10, "L3": 2 << 20}
    assert (found.tlb_entries, found.memory, found.virtual, found.huge_pages) == (100, 2 << 20, True, "")
    assert list(found.levels(huge=False)) == ["L1", "TLB, 4 KiB pages", "L3"]
    assert free_bytes(tmp_path) == 1 << 20
    nothing = read_machine(tmp_path / "none")
    assert nothing.caches == {}
    assert nothing.facts()["TLB"] == "not told"
    assert nothing.cores == os.cpu_count()
    assert free_bytes(tmp_path / "none") is None
    assert [bytes_text(count) for count in (5, 2048, 3 << 30)] == ["5 bytes", "2 KiB", "3 GiB"]


def test_the_page_shows_ratios_curves_starts_and_kernels(conductor: Conductor) -> None:
    conductor.do_units(units(2, 1))
    conductor.run.cuda = {"device": "", "lines": ["kernel", "140 kernels <assembled>"]}
    page = html_page(conductor.run, MACHINE)
    assert "lookup by rows" in page
    assert "no CUDA device" in page
    assert "140 kernels &lt;assembled&gt;" in page
    assert page.count("<circle") == 2
    assert page.count("<svg") == page.count("</svg>") == 3
    assert list(curves(conductor.run)) == [("rows", "lookup by rows")]
    conductor.run.cuda = {"device": "A card", "reason": "it broke"}
    page = html_page(conductor.run, MACHINE)
    assert "Device: A card" in page
    assert "– it broke" in page


def test_units_have_different_names_and_importance_of_points() -> None:
    found = sweep.full_units("folder")
    assert len({unit.name for unit in found}) == len(found)
    assert all(unit.seconds > 0 for unit in found)
    assert all(bool(unit.jobs) != bool(unit.kind) for unit in found)


def test_a_level_holds_all_of_nothing() -> None:
    from benchmarks.harness.bends import _share_lost

    assert list(_share_lost("L2 holds", "its page tables", 100.0, 0.0, 50.0)) == []
    assert list(_share_lost("L2 holds", "its page tables", 100.0, 0.0, 1000.0)) != []
