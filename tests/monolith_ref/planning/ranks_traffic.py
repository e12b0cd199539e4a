"""Run by mpiexec: steps of the comparison's workload; rank 0 prints the mean bytes of a step by exchange.

Beside them the least that the format allows, from the batches themselves: every distinct id of a rank that another one
owns, its row and its gradient once; every element of a dense gradient to the rank that sums it, and the sums back.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

import numpy as np
from monolith_conformance.compare.generator import GeneratedSource
from monolith_conformance.compare.task import DIM, EmbeddingUpdateTask
from monolith_kernels.target import target

from monolith_ref.features.ragged import Batch
from monolith_ref.sync.communicator import Communicator
from monolith_ref.sync.guard import run_guarded
from monolith_ref.sync.launch import make_communicator
from monolith_ref.training.dealing import row_range
from monolith_ref.training.engine import Engine

ROWS = 455
WIRES = {"f32": 4, "f16": 2}


def least_bytes(batch: Batch, communicator: Communicator, elements: int, gradient: int, dense: int) -> int:
    """What this rank must send for its part of a step, and what owners must send back to it."""
    away = 0
    for ragged in batch.ragged.values():
        ids = np.unique(ragged.values)
        away += int((ids % communicator.size != communicator.rank).sum())
    share = elements * (communicator.size - 1) / communicator.size
    return int(away * (8 + 4 * DIM + gradient * DIM) + share * (dense + 4))


def run(words: list[str], communicator: Communicator) -> None:
    """One set of options."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--layout", choices=["multi", "merged"], default="multi")
    parser.add_argument("--reduction", default="sequential")
    parser.add_argument("--fusion", default="none")
    parser.add_argument("--wire", default="f32")
    options = parser.parse_args(words)
    engine = Engine(
        EmbeddingUpdateTask(),
        communicator=communicator,
        target=target("cpu"),
        layout=options.layout,
        reduction=options.reduction,
        fusion=options.fusion,
        grad_wire=options.wire,
        dense_wire=options.wire,
    )
    source = GeneratedSource(batch_size=ROWS)
    elements = sum(int(value.size) for value in engine.variables.values())
    sent: dict[str, int] = {}
    least = 0
    for step in range(options.steps):
        batch = source.rows(step, *row_range(communicator.rank, communicator.size, ROWS))
        for what, count in engine.step(batch).sent_bytes.items():
            sent[what] = sent.get(what, 0) + count
        # Unrounded partial sums of dense gradients are float64.
        dense = 8 if options.reduction == "exact" else WIRES[options.wire]
        least += least_bytes(batch, communicator, elements, WIRES[options.wire], dense)
    every = communicator.allgather_bytes(json.dumps([sent, least]).encode(), "test")
    if communicator.rank == 0:
        parts = [json.loads(data) for data in every]
        total = {what: sum(part[0].get(what, 0) for part in parts) / options.steps for what in sent}
        answer = {"options": vars(options), "sent": total, "least": sum(part[1] for part in parts) / options.steps}
        os.write(1, f"result {json.dumps(answer)}\n".encode())


def main() -> int:
    communicator = make_communicator(timeout=120)
    for words in " ".join(sys.argv[1:]).split("/"):
        run(words.split(), communicator)
    return 0


if __name__ == "__main__":
    sys.exit(run_guarded(main))
