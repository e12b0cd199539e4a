"""Exchanges and reductions over 1 to 5 ranks against a naive truth of all ranks, bit for bit."""

from __future__ import annotations

import pytest

from tests.support.mpi import run_ranks

PROGRAM = ["-m", "tests.monolith_ref.sync.ranks_embeddings"]
pytestmark = pytest.mark.mpi


@pytest.mark.parametrize(
    ("ranks", "sets"),
    [
        (
            2,
            [
                "--reduction sequential --layout multi",
                "--reduction mean --layout merged",
                "--wire f16",
                "--reduction mean --wire f16 --layout merged",
                "--staleness 2 --reduction sum",
            ],
        ),
        (
            3,
            [
                "--reduction sequential --layout merged",
                "--reduction sum --layout multi",
                "--reduction exact --layout merged",
                "--staleness 1",
            ],
        ),
        (5, ["--empty-rank0", "--reduction mean --layout merged"]),
    ],
)
def test_every_bit_of_every_rank(ranks: int, sets: list[str]) -> None:
    result = run_ranks(ranks, [*PROGRAM, *" / ".join(sets).split()])
    assert result.code == 0, result.stderr
    assert result.stdout.count("fine") == ranks * len(sets)


def test_exact_sums_that_float64_does_not_hold_travel_as_accumulators() -> None:
    result = run_ranks(3, [*PROGRAM, "--reduction", "exact", "--wild"])
    assert result.code == 0, result.stderr
    sent = [int(line.split()[-1]) for line in result.stdout.splitlines() if line.startswith("fine")]
    assert len(sent) == 3
    assert all(sent), "the slow path did not run"


@pytest.mark.parametrize("ranks", [2, 3])
def test_calls_dense_reductions_worked_numbers_and_agreements(ranks: int) -> None:
    result = run_ranks(ranks, ["-m", "tests.monolith_ref.sync.ranks_reductions"])
    assert result.code == 0, result.stderr
    assert result.stdout.count("fine") == ranks
