"""A writer killed at any write, fsync, rename or removal leaves the former set or the new one, never a mixture."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_kills_at_every_boundary(tmp_path):
    command = [sys.executable, "-m", "tests.monolith_ref.checkpoint.crash_worker", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    report = json.loads(result.stdout.splitlines()[-1])
    assert set(report) == {"single", "multi", "job", "next-step", "increment", "first"}
    for name, tally in report.items():
        # The case is about both sides of the commit point: each must have been met.
        assert tally["kills"] == tally["former"] + tally["new"], name
        assert tally["former"] > 10, name
        assert tally["new"] >= 6, name
