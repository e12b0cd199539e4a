"""Path B gives the known digests before any engine is asked, and shares nothing with it."""

from __future__ import annotations

import ast
from itertools import pairwise
from pathlib import Path
from typing import Any

import monolith_conformance.oracle as oracle_package
import numpy as np
import pytest
from monolith_conformance.compare.digests import head_digest, state_digest
from monolith_conformance.compare.generator import GeneratedSource, kernel
from monolith_conformance.compare.golden import cases, known_state
from monolith_conformance.compare.universe import GeneratedUniverse
from monolith_conformance.oracle.sync import DenseRows, Layer, Oracle, RankBatch, Settings
from monolith_conformance.oracle.sync_simulation import StepOutcome, simulate_step

SIZES = (255, 64, 32, 1)


def fresh_oracle(settings: Settings) -> tuple[Oracle, GeneratedUniverse]:
    universe = GeneratedUniverse(17, 100_000)
    layers = [
        Layer.fresh(kernel(42, number, fan_in, fan_out), 0.1 if number < 2 else 0.0, 0.1)
        for number, (fan_in, fan_out) in enumerate(pairwise(SIZES))
    ]
    return Oracle(DenseRows(universe.count, 15, 0.1), layers, 17, settings), universe


def step_of(oracle: Oracle, universe: GeneratedUniverse, step: int, ranks: int, rows: int = 455) -> StepOutcome:
    source, batches = GeneratedSource(42, rows), []
    for rank in range(ranks):
        part = source.rows(step, rank * rows // ranks, (rank + 1) * rows // ranks)
        positions = [universe.positions(f, ragged.values) for f, ragged in enumerate(part.ragged.values())]
        batches.append(RankBatch.build(positions, [r.row_splits for r in part.ragged.values()], part.label))
    return simulate_step(oracle, batches)


def check_case(oracle: Oracle, universe: GeneratedUniverse, outcome: StepOutcome, case: dict[str, Any]) -> None:
    positions = np.flatnonzero(oracle.rows.touched)
    fids = universe.fids(positions)
    w, accumulator = oracle.rows.w[positions], oracle.rows.accumulator[positions]
    assert state_digest(fids, w, accumulator, []) == case["rows_digest"]
    assert head_digest(oracle.layers) == case["head_digest"]
    assert len(positions) == case["rows"]
    assert int((w.view(np.uint32) != 0).any(axis=1).sum()) == case["moved"]
    assert f"{int(np.abs(w).max().view(np.uint32)):08x}" == case["max_abs_weight"]
    assert f"{int(outcome.loss.view(np.uint32)):08x}" == case["loss"]
    if "state_digest" in case:
        assert state_digest(fids, w, accumulator, oracle.layers) == case["state_digest"]


COMBINATIONS = sorted({(case["reduction"], case["ranks"]) for case in cases()})


@pytest.mark.parametrize(("reduction", "ranks"), [c for c in COMBINATIONS if c[0] != "exact" or c[1] in (1, 4)])
def test_digests_of_the_first_five_steps(reduction: str, ranks: int) -> None:
    check_steps(reduction, ranks, 5)


@pytest.mark.slow
@pytest.mark.parametrize(("reduction", "ranks"), COMBINATIONS)
def test_digests_of_fifty_steps(reduction: str, ranks: int) -> None:
    check_steps(reduction, ranks, 50)


def check_steps(reduction: str, ranks: int, steps: int) -> None:
    wanted = {c["steps"]: c for c in cases() if (c["reduction"], c["ranks"]) == (reduction, ranks)}
    oracle, universe = fresh_oracle(Settings(reduction))
    checked = 0
    for step in range(steps):
        outcome = step_of(oracle, universe, step, ranks)
        if step + 1 in wanted:
            check_case(oracle, universe, outcome, wanted[step + 1])
            checked += 1
    assert checked == sum(k <= steps for k in wanted)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_one_rank_knows_no_difference_between_reductions(reduction: str) -> None:
    states = []
    for name in ("sequential", reduction):
        oracle, universe = fresh_oracle(Settings(name))
        for step in range(2):
            step_of(oracle, universe, step, 1, rows=32)
        states.append((oracle.rows.w.tobytes(), head_digest(oracle.layers)))
    assert states[0] == states[1]


def test_exact_knows_no_difference_between_splits() -> None:
    states = set()
    for ranks in (1, 3, 40):
        oracle, universe = fresh_oracle(Settings("exact"))
        for step in range(2):
            step_of(oracle, universe, step, ranks, rows=32)
        states.add((oracle.rows.w.tobytes(), head_digest(oracle.layers)))
    assert len(states) == 1


def test_one_id_on_two_ranks() -> None:
    """The worked example of sync_training 5."""
    wanted = {
        ("sequential", 0): ("bd8bb628", "3eb33334"),
        ("sequential", 1): ("bd844164", "3eb33334"),
        ("sum", 0): ("bd3aa389", "3f170a3f"),
        ("mean", 0): ("bd17f618", "3e63d70c"),
    }
    for (reduction, turned), expected in wanted.items():
        oracle = Oracle(DenseRows(1, 1, 0.1), [], 1, Settings(reduction))
        from monolith_conformance.oracle.sync import Share

        gradients = [np.array([[value]], np.float32) for value in (0.3, 0.4)]
        zero = np.zeros(1, np.int64)
        shares = [Share(zero, zero, gradient, [], np.zeros(1, np.float32), 1) for gradient in gradients]
        oracle.apply_rows(shares[::-1] if turned else shares)
        found = [f"{int(part.view(np.uint32)[0, 0]):08x}" for part in (oracle.rows.w, oracle.rows.accumulator)]
        assert tuple(found) == expected, (reduction, turned)


def test_the_oracle_imports_numpy_and_the_standard_library_only() -> None:
    allowed = {"__future__", "collections", "dataclasses", "itertools", "math", "fractions", "numpy", "typing"}
    folder = Path(oracle_package.__file__ or "").parent
    files = sorted(folder.glob("sync*.py"))
    assert len(files) >= 4
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                own = name.startswith("monolith_conformance.oracle.sync")
                assert own or name.split(".")[0] in allowed, f"{file.name} imports {name}"


def test_the_record_reader_knows_nothing_of_the_engine() -> None:
    text = (Path(oracle_package.__file__ or "").parent / "records.py").read_text(encoding="utf-8")
    assert "monolith_ref" not in text
    assert "monolith_kernels" not in text
    assert "monolith_protos" not in text


def test_the_table_of_states_agrees_with_the_golden_file() -> None:
    for case in cases():
        if "state_digest" in case:
            assert case["state_digest"].startswith(known_state(case["reduction"], case["ranks"], case["steps"]) or "?")
