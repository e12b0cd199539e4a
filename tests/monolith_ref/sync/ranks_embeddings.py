"""Run by mpiexec: a few steps of exchanges and updates on every rank, against the naive truth of all ranks.

Several sets of options, with ``/`` between them, are run one after the other.
"""

from __future__ import annotations

import argparse
import os
import sys

import numpy as np
from monolith_kernels.target import target

from monolith_ref.sync.communicator import Communicator
from monolith_ref.sync.embeddings import ShardedEmbeddings
from monolith_ref.sync.guard import run_guarded
from monolith_ref.sync.launch import make_communicator
from tests.monolith_ref.sync.naive import LR, MERGED, MULTI, Naive, make_batch, make_dx, make_store


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal bits."""
    return a.shape == b.shape and bool((np.ascontiguousarray(a).view("u4") == np.ascontiguousarray(b).view("u4")).all())


def refuse_pickling() -> None:
    """What travels is bytes of arrays, and nothing else."""
    from mpi4py import MPI

    def refuse(*arguments: object) -> bytes:
        raise AssertionError("something is pickled")

    MPI.pickle.__init__(refuse, refuse)  # type: ignore[misc]


def main() -> int:
    sets: list[list[str]] = [[]]
    for word in sys.argv[1:]:
        if word == "/":
            sets.append([])
        else:
            sets[-1].append(word)
    communicator = make_communicator(timeout=60)
    if communicator.name == "mpi":
        refuse_pickling()
    for words in sets:
        run(words, communicator)
    return 0


def run(words: list[str], communicator: Communicator) -> None:
    """One set of options."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--reduction", default="sequential")
    parser.add_argument("--layout", default="multi")
    parser.add_argument("--wire", default="f32")
    parser.add_argument("--target", default="cpu")
    parser.add_argument("--staleness", type=int, default=0)
    parser.add_argument("--empty-rank0", action="store_true")
    parser.add_argument("--wild", action="store_true")
    parser.add_argument("--steps", type=int, default=6)
    options = parser.parse_args(words)
    ranks, rank = communicator.size, communicator.rank
    plans = MULTI if options.layout == "multi" else MERGED
    place = target(options.target)
    tables = {plan.name: make_store(place, plan.dim) for plan in plans}
    # Columns apart from the order of features, with a gap, as a model may want them.
    columns = {"wide": (0, 16), "gamma10": (16, 3), "alpha": (20, 3), "beta": (23, 3), "first": (26, 4)}
    embeddings = ShardedEmbeddings(
        plans,
        tables,
        communicator,
        columns=columns,
        target=place,
        reduction=options.reduction,
        grad_wire=options.wire,
        staleness=options.staleness,
        empty_rank0=options.empty_rank0,
    )
    naive = Naive(plans, columns, options.reduction, half=options.wire == "f16")
    waiting = []
    rates = {plan.name: [LR] for plan in plans}
    moved = slow = 0
    for step in range(options.steps):
        batches = [make_batch(7, r, step) for r in range(ranks)]
        batch, rows = batches[rank]
        width = embeddings.width
        x = place.to_host(embeddings.forward(batch, rows))
        expected = naive.x(batch, rows, width)
        gaps = [19]
        kept = [c for c in range(width) if c not in gaps]
        assert same(x[:, kept], expected[:, kept]), f"x, rank {rank}, step {step}"
        dxs = [make_dx(7, r, step, batches[r][1], width, options.wild) for r in range(ranks)]
        embeddings.backward(place.asarray(dxs[rank]))
        if embeddings.step.wide is not None:
            slow += len(embeddings.step.wide.partial.elements)
        assert embeddings.find_non_finite() is None
        embeddings.apply(rates, step, 100 + step)
        waiting.append([naive.terms(batches[r][0], dxs[r]) for r in range(ranks)])
        if len(waiting) > options.staleness:
            terms = waiting.pop(0)
            naive.update(terms)
            every = {key for part in terms for key in part}
            updated = embeddings.updated()
            for plan in plans:
                ids = np.array(sorted(fid for name, fid in every if name == plan.name), np.int64)
                mine = ids[embeddings.owner(ids) == rank]
                assert sorted(updated[plan.name].tolist()) == mine.tolist(), "updated"
        moved += sum(bool((w != 0).any()) for w, _ in naive.rows.values())
    embeddings.flush()
    for terms in waiting:
        naive.update(terms)
    sizes = 0
    for plan in plans:
        dump = tables[plan.name].export()
        sizes += len(dump.ids)
        if options.empty_rank0 and ranks > 4 and rank == 0:
            assert len(dump.ids) == 0
        for i, fid in enumerate(dump.ids.tolist()):
            w, norm = naive.rows[(plan.name, fid)]
            assert same(dump.weights[i], w), (plan.name, fid, dump.weights[i], w)
            assert same(dump.state[0]["norm"][i], norm), (plan.name, fid)
    total = communicator.sum_int64(np.array([sizes], np.int64), "sizes")[0]
    assert total == len(naive.rows), "every row has one owner"
    assert moved
    communicator.barrier("end")
    os.write(1, f"fine {rank} rows {sizes} slow {slow}\n".encode())


if __name__ == "__main__":
    sys.exit(run_guarded(main))
