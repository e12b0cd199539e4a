"""``monolith-ref warmup``: what it compiles, a later job loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from monolith_ref import entry, warmup
from monolith_ref.cli.app import BUILT_IN, run


def _report(cache: Path) -> Any:
    """The last stage in a process of its own: kernels compiled and loaded."""
    code = (
        "from monolith_ref import warmup\n"
        "(done,) = warmup.warm_up(warmup.stages('ieee', [])[-1:])\n"
        "print(done.compiled, done.loaded)"
    )
    environment = {**os.environ, "MONOLITH_REF_CACHE_DIR": str(cache)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return [int(count) for count in done.stdout.split()]


def test_the_second_process_compiles_nothing(tmp_path: Path) -> None:
    compiled, loaded = _report(tmp_path)
    assert compiled > 5
    assert loaded == 0
    compiled, loaded = _report(tmp_path)
    assert compiled == 0
    assert loaded > 5


def test_every_rule_that_tables_are_built_with_is_warmed_up() -> None:
    names = {stage.name for stage in warmup.stages("avx")}
    rules = {name for name in vars(entry) if name.endswith("Optimizer") and name != "Optimizer"}
    assert {f"table, {rule}" for rule in rules} <= names | {"table, " + alias for alias in _aliases(rules)}
    assert {f"training, {reduction}" for reduction in ("sequential", "sum", "mean", "exact")} <= names


def test_every_table_that_is_warmed_up_can_be_built(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    table = warmup._table
    monkeypatch.setattr(warmup, "_use_table", lambda profile, rule: built.append(table(profile, rule).size()))
    for stage in warmup.stages("ieee"):
        if stage.name.startswith("table, "):
            stage.work()
    assert len(built) > 10


def _aliases(names: set[str]) -> set[str]:
    """Names of a class other than its own."""
    return {name for name in names if getattr(entry, name).__name__ != name}


def test_training_in_both_layouts_and_all_reductions_runs() -> None:
    done = list(warmup.warm_up(warmup.stages("ieee", [])))
    assert [part.name for part in done][:4] == [f"training, {name}" for name in ("sequential", "sum", "mean", "exact")]


def test_the_command_prints_one_object(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stages = warmup.stages
    monkeypatch.setattr(warmup, "stages", lambda profile: stages(profile, [])[-1:])
    assert "warmup" in BUILT_IN
    assert run(["warmup", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["profile"] == "ieee"
    assert [stage["name"] for stage in report["stages"]] == ["reading a table back"]
    assert run(["warmup"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("[ 1/1] reading a table back")
    assert report["cache"] in lines[-1]
