"""The kernel cache: lazy, keyed by the sources, and right when many processes start cold together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

# Each process wants the signatures in another order: without the lock the index mixes up their machine code.
PROGRAM = """
import json, sys
import numpy as np
from monolith_kernels import jit
from tests.kernels import cache_kernels
kinds = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "f4", "f8"]
turn = int(sys.argv[1]) % len(kinds)
sums = {kind: float(cache_kernels.total(np.arange(9, dtype=kind))) for kind in kinds[turn:] + kinds[:turn]}
hits, misses = map(sum, zip(*jit.compiled_signatures().values()))
print(json.dumps({"sums": sums, "hits": hits, "misses": misses}))
"""


def _start(cache: Path, turn: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(turn)],
        env={**os.environ, "MONOLITH_REF_CACHE_DIR": str(cache), "PYTHONPATH": os.getcwd()},
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )


def _finish(process: subprocess.Popen[str]) -> dict[str, object]:
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    answer: dict[str, object] = json.loads(out)
    return answer


def test_four_cold_processes_are_right_and_the_next_one_compiles_nothing(tmp_path: Path) -> None:
    together = [_start(tmp_path, turn) for turn in range(4)]
    answers = [_finish(process) for process in together]
    for answer in answers:
        assert set(answer["sums"].values()) == {36.0 + 9.0}  # type: ignore[attr-defined]
    # Every signature was compiled by exactly one of the four (`total` and the helper that it calls).
    assert sum(int(answer["misses"]) for answer in answers) == 18  # type: ignore[call-overload]
    later = _finish(_start(tmp_path, 0))
    assert later["misses"] == 0
    assert set(later["sums"].values()) == {45.0}  # type: ignore[attr-defined]


def test_an_unwritable_cache_directory_is_replaced_by_a_temporary_one(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    answer = _finish(_start(blocked, 0))
    assert set(answer["sums"].values()) == {45.0}  # type: ignore[attr-defined]
