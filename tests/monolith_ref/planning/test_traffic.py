"""Predicted bytes against those that ranks count, and those against the least that the format allows."""

from __future__ import annotations

import json

import pytest

from monolith_ref.planning.traffic import predict_traffic
from monolith_ref.planning.workload import plain_workload
from tests.support.mpi import run_ranks

pytestmark = pytest.mark.mpi

PROGRAM = ["-m", "tests.monolith_ref.planning.ranks_traffic"]
CLOSE = 0.05
SETS = [
    "--reduction sequential --layout multi",
    "--reduction mean --layout merged --wire f16 --fusion one",
    "--reduction exact --layout merged --fusion one",
    "--reduction exact --layout multi",
]


def check(ranks: int, sets: list[str]) -> None:
    """Every exchange that carries a thousandth of the bytes or more, and the whole."""
    result = run_ranks(ranks, [*PROGRAM, *" / ".join(sets).split()], timeout=280)
    assert result.code == 0, result.stderr
    found = [json.loads(line[len("result ") :]) for line in result.stdout.splitlines() if line.startswith("result ")]
    assert len(found) == len(sets)
    for one in found:
        options, sent = one["options"], one["sent"]
        workload = plain_workload(
            layout=options["layout"],
            reduction=options["reduction"],
            fusion=options["fusion"],
            grad_wire=options["wire"],
            dense_wire=options["wire"],
        )
        predicted = predict_traffic(workload, ranks)
        total = sum(sent.values())
        if ranks == 1:
            assert total == predicted.total == 0
            continue
        assert predicted.total == pytest.approx(total, rel=CLOSE), (options, sent, predicted)
        for name in {*sent, *predicted.sent}:
            if sent.get(name, 0) > total / 1000 or predicted.sent.get(name, 0) > total / 1000:
                assert predicted.sent.get(name) == pytest.approx(sent.get(name), rel=CLOSE), (name, options)
        assert one["least"] <= total <= one["least"] * 1.05, options


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_bytes_are_as_predicted_and_near_the_least(ranks: int) -> None:
    check(ranks, SETS)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [8, 16])
def test_bytes_of_many_ranks(ranks: int) -> None:
    check(ranks, SETS)
