"""Run by ``test_ranks`` under mpiexec: a run of the suite on several ranks, with something wrong about one of them.

``ranks_conform.py FAULT ARGUMENTS…``; faults are ``none``, ``order`` (every rank sends the next rank's part),
``raise`` (rank 1 fails in a step), ``die`` (rank 1 ends at its first case) and ``cases`` (rank 1 answers size wrongly).
"""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import Any

from monolith_ref.cli.app import run


def _order() -> None:
    from monolith_conformance.backends import engine_ranks

    play = engine_ranks.play_part

    def changed(table: Any, target: Any, step: Any, communicator: Any) -> Any:
        parts = [*step.parts[1:], step.parts[0]]
        return play(table, target, dataclasses.replace(step, parts=parts), communicator)

    engine_ranks.play_part = changed


def _raise() -> None:
    from monolith_conformance.backends import engine_ranks

    def changed(*arguments: Any) -> Any:
        raise ZeroDivisionError("rank 1 is no use")

    engine_ranks.play_part = changed


def _die() -> None:
    from monolith_conformance.session import Session

    def changed(self: Any) -> None:
        os._exit(9)

    Session.begin = changed  # type: ignore[method-assign]


def _cases() -> None:
    from monolith_conformance.oracle.table import OracleTable

    OracleTable.size = lambda self: len(self.rows) + 1  # type: ignore[method-assign]


if __name__ == "__main__":
    fault, everywhere = sys.argv[1], sys.argv[1] == "order"
    if fault != "none" and (everywhere or os.environ.get("PMI_RANK") == "1"):
        {"order": _order, "raise": _raise, "die": _die, "cases": _cases}[fault]()
    sys.exit(run(["conform", "run", *sys.argv[2:]]))
