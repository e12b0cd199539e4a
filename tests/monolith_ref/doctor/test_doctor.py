"""``monolith-ref doctor``: healthy here, and each broken thing named with what to do about it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from monolith_ref import doctor
from monolith_ref.cli.app import run
from monolith_ref.doctor import Finding, Status, examination, ground, libraries, ranks

HEALTHY = Finding("Python", Status.OK, "here")


def run_doctor(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "monolith_ref", "doctor", *words]
    return subprocess.run(line, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


@pytest.mark.mpi
def test_a_healthy_environment_passes_every_check_that_is_needed() -> None:
    answer = run_doctor("--json")
    report = json.loads(answer.stdout)
    assert answer.returncode == 0, answer.stdout
    assert report["healthy"]
    assert [finding["name"] for finding in report["findings"]] == list(doctor.CHECKS)
    assert all(finding["remedy"] for finding in report["findings"] if finding["status"] != "ok")


@pytest.mark.mpi
def test_a_broken_environment_is_told_line_by_line_with_exit_code_3(tmp_path: Path) -> None:
    hidden = tmp_path / "mpi4py"
    hidden.mkdir()
    (hidden / "__init__.py").write_text("raise ImportError('no MPI on this machine')\n")
    (tmp_path / "file").write_text("")
    answer = run_doctor(PYTHONPATH=str(tmp_path), MONOLITH_REF_CACHE_DIR=str(tmp_path / "file"))
    assert answer.returncode == 3
    assert "problem  kernel cache" in answer.stdout
    assert "set MONOLITH_REF_CACHE_DIR" in answer.stdout
    assert "mpi4py is not usable: ImportError: no MPI on this machine" in answer.stdout
    assert "pip install 'monolith-ref[mpi]'" in answer.stdout
    assert "problems: see the arrows above." in answer.stdout


def test_json_and_exit_code_agree(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(examination, "CHECKS", {"Python": lambda: HEALTHY})
    assert run(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"healthy": True, "findings": [HEALTHY.to_json()]}
    sick = Finding("Python", Status.PROBLEM, "too old", "get a newer one")
    monkeypatch.setattr(examination, "CHECKS", {"Python": lambda: sick})
    assert run(["doctor", "--json"]) == 3
    assert not json.loads(capsys.readouterr().out)["healthy"]


def test_a_check_that_breaks_down_is_a_problem_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Finding:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(examination, "CHECKS", {"odd": broken, "Python": lambda: HEALTHY})
    first, second = doctor.examine()
    assert (first.name, first.status, second) == ("odd", Status.PROBLEM, HEALTHY)
    assert "ZeroDivisionError: oh" in first.found


def test_an_old_python_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ground, "OLDEST_PYTHON", (99, 0))
    assert ground.check_python().status is Status.PROBLEM
    assert "99.0" in ground.check_python().remedy


def test_an_old_library_is_named_with_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "requires", lambda name: ["numpy>=99.1", "pytest>=8; extra == 'dev'"])
    finding = libraries.check_libraries()
    assert finding.status is Status.PROBLEM
    assert "is older than 99.1" in finding.found
    assert "pytest" not in finding.found


def test_an_absent_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "requires", lambda name: ["no-such-package-at-all>=1.0"])
    assert libraries.check_libraries().found == "no-such-package-at-all is not installed"


def test_wrong_bits_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "EXPECTED_BITS", [[1, 1], [2, 2]])
    assert libraries.check_kernels().status is Status.PROBLEM


def test_little_disk_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(ground.shutil, "disk_usage", lambda path: usage(10, 9, 1))
    assert ground.check_disk().status is Status.NOTE


def test_no_launcher_is_a_problem_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "_mpiexec", lambda: None)
    for finding in (ranks.check_launcher(), ranks.check_two_ranks()):
        assert finding.status is Status.PROBLEM
        assert "monolith-ref[mpi]" in finding.remedy


@pytest.mark.parametrize(
    ("output", "words"),
    [("[1:1][1:1]", "each a world of its own"), ("", "exit code 0")],
    ids=["two worlds", "silence"],
)
def test_a_launcher_of_another_mpi_is_told(monkeypatch: pytest.MonkeyPatch, output: str, words: str) -> None:
    answer = subprocess.CompletedProcess([], 0, stdout=output, stderr="")
    monkeypatch.setattr(ranks, "_mpiexec", lambda: "/usr/bin/mpiexec")
    monkeypatch.setattr(ranks, "_python", lambda code, *before: answer)
    finding = ranks.check_two_ranks()
    assert finding.status is Status.PROBLEM
    assert words in finding.found


def test_ranks_that_never_meet_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(code: str, *before: str) -> subprocess.CompletedProcess[str]:
        raise subprocess.TimeoutExpired(code, 60.0)

    monkeypatch.setattr(ranks, "_mpiexec", lambda: "/usr/bin/mpiexec")
    monkeypatch.setattr(ranks, "_python", hang)
    assert "did not meet" in ranks.check_two_ranks().found
