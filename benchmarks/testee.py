"""What the suite adds to a small request of a program under test: ``python benchmarks/testee.py [--requests N]``.

Compiles the C example and asks it for one row of four floats, over and over: written as JSON, sent, answered, read
back, as a case does it. The best possible is the same lines through the same pipes with nothing done to them. Prints
medians and the 95th of 100; the two are run in turn.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path

import numpy as np
from monolith_conformance.backends.testee import TesteeBackend
from monolith_conformance.session import Session
from monolith_protos.hash_table_pb2 import EmbeddingHashTableConfig

from monolith_ref.quirks import Quirks

LIMIT = 100.0
"""Microseconds."""


def build(folder: Path) -> list[str]:
    """The compiled C example."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise SystemExit("there is no cc on this machine")
    source = Path(str(files("monolith_conformance") / "testees" / "testee.c"))
    target = folder / "testee"
    options = ["-O2", "-std=c99", "-ffp-contract=off"]
    subprocess.run([compiler, *options, "-o", str(target), str(source), "-lm"], check=True)
    return [str(target)]


def suite_times(command: list[str], requests: int) -> list[float]:
    """Microseconds of each request through a session."""
    config = EmbeddingHashTableConfig()
    segment = config.entry_config.segments.add(dim_size=4)
    segment.init_config.zeros.SetInParent()
    segment.opt_config.adagrad.SetInParent()
    session = Session(TesteeBackend(command, "json"), "ieee", Quirks.parse("default"))
    session.open()
    try:
        table = session.table(config)
        gradient = np.arange(4, dtype=np.float32)
        rate = np.array([0.1], np.float32)
        times = []
        for number in range(requests):
            began = time.perf_counter()
            if number % 2:
                table.op("lookup", [7])
            else:
                table.op("optimize", [7], gradient, rate, time=number)
            times.append((time.perf_counter() - began) * 1e6)
            if number % 100 == 99:
                session.transcript.steps.clear()
        return times
    finally:
        session.backend.close()


def bare_times(command: list[str], requests: int) -> list[float]:
    """Microseconds of one write and one read of a line to the same program."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdin
        assert program.stdout
        to, back, times = program.stdin.fileno(), program.stdout.fileno(), []
        for number in range(requests):
            line = b'{"seq":%d,"drop":{"table":"none"}}\n' % number
            began = time.perf_counter()
            os.write(to, line)
            os.read(back, 65536)
            times.append((time.perf_counter() - began) * 1e6)
        program.stdin.close()
    return times


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    suite, bare = [], []
    with tempfile.TemporaryDirectory() as folder:
        command = build(Path(folder))
        for _ in range(options.rounds):
            suite += suite_times(command, options.requests)[100:]
            bare += bare_times(command, options.requests)[100:]
    for name, times in (("request of the suite", suite), ("bare pipe", bare)):
        print(f"{name:22}{statistics.median(times):8.1f} us median {np.percentile(times, 95):8.1f} us 95th")
    return int(statistics.median(suite) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
