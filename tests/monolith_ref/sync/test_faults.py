"""A rank that raises, is killed, stops or waits elsewhere ends the job in seconds, with its number."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests.support.mpi import Result, run_ranks, start_ranks

PROGRAM = ["-m", "tests.monolith_ref.sync.ranks_faults"]
ENDLESS = "1000000000"
SECONDS = 30.0
"""Much more than a job needs to end, much less than waiting for ever."""


def errors_of(result: Result) -> list[str]:
    """Lines of ours on standard error (launchers add their own)."""
    return [line for line in result.stderr.splitlines() if line.startswith("monolith-ref: ")]


def runs(pid: int) -> bool:
    """The process exists and is more than an entry that nobody has collected yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def assert_gone(pids: dict[int, int]) -> None:
    """No rank is left (a moment is allowed for the last one to go)."""
    until = monotonic() + 5
    while any(runs(pid) for pid in pids.values()):
        assert monotonic() < until, f"processes left: {pids}"
        sleep(0.05)


@pytest.mark.mpi
def test_a_rank_that_raises_prints_its_traceback_once_with_its_number() -> None:
    result = run_ranks(3, [*PROGRAM, "raise", ENDLESS], SECONDS)
    assert result.code == 4
    assert result.stderr.count("Traceback (most recent call last)") == 1
    assert "monolith-ref: rank 1: Traceback" in result.stderr
    assert "ValueError: a defect on this rank" in result.stderr


@pytest.mark.mpi
def test_a_program_without_guard_ends_all_ranks_too() -> None:
    result = run_ranks(2, [*PROGRAM, "unguarded", ENDLESS], SECONDS)
    assert result.code == 4
    assert result.stderr.count("Traceback (most recent call last)") == 1
    assert "monolith-ref: rank 1: Traceback" in result.stderr


@pytest.mark.mpi
def test_a_rank_that_raises_before_there_is_a_communicator() -> None:
    result = run_ranks(2, [*PROGRAM, "early-crash", ENDLESS], SECONDS)
    assert result.code == 4
    assert "monolith-ref: rank 1: Traceback" in result.stderr


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("mode", "text"),
    [
        ("early", "monolith-ref: error: unknown option '--steps-per'"),
        ("all", "monolith-ref: error: the checkpoint is of another configuration"),
        ("disagree", "monolith-ref: error: ranks disagree on training.seed: '0' on ranks 0, 1, '1' on rank 2"),
    ],
)
def test_errors_of_all_ranks_are_one_line(mode: str, text: str) -> None:
    result = run_ranks(3, [*PROGRAM, mode], SECONDS)
    assert result.code == 2
    assert errors_of(result) == [text]
    assert "Traceback" not in result.stderr


@pytest.mark.mpi
def test_an_error_of_one_rank_is_one_line_with_its_number() -> None:
    result = run_ranks(3, [*PROGRAM, "input", ENDLESS], SECONDS)
    assert result.code == 2
    assert errors_of(result) == ["monolith-ref: rank 1: error: part-1.csv: no such file"]


@pytest.mark.mpi
def test_differences_are_the_exit_code_of_all() -> None:
    result = run_ranks(2, [*PROGRAM, "differences"], SECONDS)
    assert result.code == 1
    assert errors_of(result) == []


@pytest.mark.mpi
def test_a_killed_rank_is_named() -> None:
    job = start_ranks(3, [*PROGRAM, "loop", ENDLESS])
    pids = job.pids(3)
    job.wait_for("halfway", 3)
    since = monotonic()
    os.kill(pids[1], signal.SIGKILL)
    result = job.end(SECONDS)
    assert monotonic() - since < 10
    assert result.code != 0
    assert errors_of(result) == [f"monolith-ref: error: rank 1 (process {pids[1]}) was killed"]
    assert_gone(pids)


@pytest.mark.mpi
def test_a_stopped_rank_is_named_after_the_timeout() -> None:
    job = start_ranks(3, [*PROGRAM, "loop", ENDLESS], {"TEST_TIMEOUT": "1"})
    pids = job.pids(3)
    job.wait_for("halfway", 3)
    since = monotonic()
    os.kill(pids[1], signal.SIGSTOP)
    result = job.end(SECONDS)
    assert monotonic() - since < 15
    assert result.code == 4
    assert len(errors_of(result)) == 1
    assert "in exchange 'rows': no sign of life from rank 1" in errors_of(result)[0]
    assert_gone(pids)


@pytest.mark.mpi
def test_an_exchange_that_mpi_gives_up_is_one_line_and_no_traceback() -> None:
    result = run_ranks(3, [*PROGRAM, "broken", ENDLESS], SECONDS)
    assert result.code == 4
    (line,) = errors_of(result)
    assert "rank 1: exchange 'rows' failed, a rank may be gone" in line
    assert "Traceback" not in result.stderr


@pytest.mark.mpi
def test_ranks_in_different_exchanges_are_told_apart() -> None:
    result = run_ranks(3, [*PROGRAM, "elsewhere", ENDLESS], SECONDS, {"TEST_TIMEOUT": "1"})
    assert result.code == 4
    (line,) = errors_of(result)
    # Whoever runs out of patience first speaks.
    assert (
        "in exchange 'rows': rank 1 waits in 'rank 1's own exchange' instead" in line
        or "in exchange 'rank 1's own exchange': rank 0 waits in 'rows' instead; rank 2 waits in 'rows' instead" in line
    )


@pytest.mark.mpi
def test_interrupting_leaves_no_process() -> None:
    job = start_ranks(2, [*PROGRAM, "loop", ENDLESS])
    pids = job.pids(2)
    job.wait_for("halfway", 2)
    job.process.send_signal(signal.SIGINT)
    result = job.end(SECONDS)
    assert result.code != 0
    assert "Traceback" not in result.stderr
    assert errors_of(result) == ["monolith-ref: error: interrupted"]
    assert_gone(pids)


def run_python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    """This interpreter, without any launcher's variables but those given."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PMI", "OMPI", "HYDRA"))}
    return subprocess.run(
        [sys.executable, "-c", code], env={**clean, **env}, capture_output=True, text=True, timeout=60, check=False
    )


GUARDED = """
import sys
{before}
from monolith_ref.sync.guard import run_guarded
from monolith_ref.sync.launch import make_communicator
def main():
    communicator = make_communicator("{kind}")
    print(communicator.name, communicator.size, "mpi4py" in sys.modules)
    return 0
sys.exit(run_guarded(main))
"""


def test_one_process_is_serial_and_never_loads_mpi() -> None:
    done = run_python(GUARDED.format(before="", kind="auto"))
    assert (done.returncode, done.stdout) == (0, "serial 1 False\n")


def test_without_mpi4py_one_rank_works_and_several_are_refused() -> None:
    absent = "sys.modules['mpi4py'] = None"
    done = run_python(GUARDED.format(before=absent, kind="auto"))
    assert (done.returncode, done.stdout.split()[:2]) == (0, ["serial", "1"])
    for kind, env in (("mpi", {}), ("auto", {"PMI_RANK": "0", "PMI_SIZE": "2"})):
        done = run_python(GUARDED.format(before=absent, kind=kind), **env)
        assert done.returncode == 3
        assert done.stderr.startswith("monolith-ref: error: ")
        assert "mpi4py is not usable" in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_launcher_of_another_mpi_is_refused_by_one_rank_naming_both() -> None:
    pytest.importorskip("mpi4py")
    for rank in ("0", "1"):
        done = run_python(GUARDED.format(before="", kind="auto"), OMPI_COMM_WORLD_RANK=rank, OMPI_COMM_WORLD_SIZE="2")
        assert done.returncode == 3
        assert done.stdout == ""
        if rank == "0":
            assert "Open MPI started 2 processes (OMPI_COMM_WORLD_SIZE), but mpi4py uses MPICH" in done.stderr
            assert done.stderr.count("\n") == 1
        else:
            assert done.stderr == ""


def test_serial_by_setting_under_a_launcher_is_refused() -> None:
    done = run_python(GUARDED.format(before="", kind="serial"), PMI_RANK="0", PMI_SIZE="4")
    assert done.returncode == 3
    assert "4 processes (PMI_SIZE), but sync.communicator is serial" in done.stderr
