"""Whatever a program under test does wrong is named, in bounded time, with what it wrote to standard error."""

from __future__ import annotations

import select
import sys
import time

import pytest
from monolith_conformance.backend import BackendFault
from monolith_conformance.testee.process import Program
from monolith_protos import testee_pb2

PRELUDE = """
import json, os, signal, sys, time
def lines():
    for line in sys.stdin:
        yield json.loads(line)
def say(**reply):
    sys.stdout.write(json.dumps(reply) + "\\n"); sys.stdout.flush()
print("about to misbehave", file=sys.stderr, flush=True)
"""


def _run(program: str, limit: float = 30.0) -> BackendFault:
    """Send requests to a program until it fails; returns the failure."""
    with Program([sys.executable, "-c", PRELUDE + program], "json", time_limit=limit) as process:
        request = testee_pb2.Request()
        request.op.op = "size"
        with pytest.raises(BackendFault) as caught:
            _ask_three_times(process, request)
        return caught.value


def _ask_three_times(process: Program, request: testee_pb2.Request) -> None:
    for _ in range(3):
        process.exchange(request)
        # What was not asked for may arrive a moment after the answer.
        select.select([process._out], [], [], 0.5)


@pytest.mark.parametrize(
    ("kind", "program"),
    [
        ("died", "next(lines()); sys.exit(3)"),
        ("died", "next(lines()); os.kill(os.getpid(), signal.SIGSEGV)"),
        ("garbage", "next(lines()); print('hello there', flush=True); time.sleep(9)"),
        ("garbage", "next(lines()); print('[1, 2]', flush=True); time.sleep(9)"),
        ("garbage", "r = next(lines()); say(seq=r['seq'], result={'floats': '3f8'}); time.sleep(9)"),
        ("wrong_seq", "r = next(lines()); say(seq=r['seq'] + 1, result={}); time.sleep(9)"),
        ("unasked", "r = next(lines()); say(seq=r['seq'], result={}); say(seq=r['seq'], result={}); time.sleep(9)"),
        ("unasked", "r = next(lines()); say(seq=r['seq'], result={}); sys.stdout.write('x' * 300000); time.sleep(9)"),
    ],
)
def test_misbehaviour_is_named(kind: str, program: str) -> None:
    failure = _run(program)
    assert failure.kind == kind
    assert "about to misbehave" in failure.stderr


def test_silence_ends_at_the_limit() -> None:
    begin = time.monotonic()
    assert _run("next(lines()); time.sleep(60)", limit=0.5).kind == "silent"
    assert time.monotonic() - begin < 5


def test_a_program_that_never_reads_ends_at_the_limit() -> None:
    with Program([sys.executable, "-c", "import time; time.sleep(60)"], "json", time_limit=0.5) as process:
        request = testee_pb2.Request()
        request.op.floats = bytes(4_000_000)
        with pytest.raises(BackendFault, match="silent"):
            process.exchange(request)


def test_a_flood_of_errors_does_not_block() -> None:
    program = "r = next(lines()); sys.stderr.write('e' * 3000000); sys.stderr.flush(); next(lines()); sys.exit(0)"
    assert (
        _run("for r in lines(): sys.stderr.write('e' * 3000000); say(seq=r['seq'] * 0, result={})").kind == "wrong_seq"
    )
    assert _run(program, limit=1.0).kind == "silent"


def test_a_frame_beyond_the_limit_is_garbage() -> None:
    program = PRELUDE + "sys.stdin.buffer.read(4); os.write(1, b'\\xff' * 8); time.sleep(9)"
    with (
        Program([sys.executable, "-c", program], "protobuf", time_limit=5.0) as process,
        pytest.raises(BackendFault, match="garbage"),
    ):
        process.hello("2026.11", "ieee", [])


def test_a_command_that_does_not_exist() -> None:
    with pytest.raises(BackendFault, match="start"):
        Program(["/no/such/program"])


def test_another_protocol_is_refused() -> None:
    program = PRELUDE + "r = next(lines()); say(seq=r['seq'], hello={'protocol': 2}); time.sleep(9)"
    with (
        Program([sys.executable, "-c", program], "json") as process,
        pytest.raises(BackendFault, match="no_hello"),
    ):
        process.hello("2026.11", "ieee", [])


def test_nothing_is_left_running_after_close() -> None:
    program = (
        "import subprocess, sys, time; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); time.sleep(60)"
    )
    process = Program([sys.executable, "-c", program], "json", time_limit=1.0)
    with pytest.raises(BackendFault):
        process.exchange(testee_pb2.Request())
    process.close()
    assert process._process.returncode is not None
