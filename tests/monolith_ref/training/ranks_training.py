"""Run by each rank of test_distributed: own data, uneven ends or none, one clip norm under ``exact``, other models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from monolith_ref.errors import ConfigError, SyncError
from monolith_ref.sync.launch import make_communicator
from monolith_ref.training.config import DistributedCpuTrainingConfig
from monolith_ref.training.dealing import row_range
from monolith_ref.training.distributed import distributed_sync_train
from monolith_ref.training.engine import Engine
from tests.monolith_ref.training.tasks import Task, batch, same


def own_data(communicator: Any) -> None:
    """Rank 0 has three batches, rank 1 two: two steps are made, and dense variables stay equal."""
    engine = Engine(Task(), communicator=communicator)
    made = engine.train(
        batch(10 * communicator.rank + step, 4 + communicator.rank) for step in range(3 - communicator.rank)
    )
    assert made == 2, made
    for value in engine.variables.values():
        both = communicator.allgather(value, "check")
        same(both[0], both[1])


def padded(communicator: Any) -> None:
    """Rank 1 has no data at all and rank 0 three batches: the end is that of one rank with them, and of the mean."""
    apart = Engine(Task(), communicator=communicator, reduction="exact", uneven="pad")
    assert apart.train(batch(step, 4) for step in range(3 if communicator.rank == 0 else 0)) == 3
    together = Engine(Task(), reduction="exact")
    together.train(batch(step, 4) for step in range(3))
    assert_equal_state(communicator, together, apart)
    assert Engine(Task(), communicator=communicator).train([batch(0, 4)] if communicator.rank else []) == 0


def assert_equal_state(communicator: Any, together: Engine, apart: Engine) -> None:
    """A serial engine's rows and variables are those of an engine of several ranks."""
    for name, value in together.variables.items():
        same(value, apart.variables[name])
    for table in together.tables:
        whole = together.embeddings.tables[table.name].export()
        mine = apart.embeddings.tables[table.name].export()
        sizes = communicator.sum_int64(np.array([len(mine)], np.int64), "check")
        assert int(sizes[0]) == len(whole) > 0
        place = {fid: i for i, fid in enumerate(whole.ids.tolist())}
        same(mine.weights, whole.weights[[place[fid] for fid in mine.ids.tolist()]])


def not_finite(communicator: Any) -> None:
    """A NaN in rank 1's labels in step 1: all ranks raise alike before any row changes, skip the step, or let it be."""
    for policy in ("raise", "skip", "propagate"):
        engine = Engine(Task(), communicator=communicator, non_finite=policy)
        engine.step(batch(0, 6))
        before = {name: table.export() for name, table in engine.embeddings.tables.items()}
        bad = batch(1, 6)
        if communicator.rank == 1:
            bad.label[2] = np.nan
        if policy == "raise":
            with pytest.raises(SyncError, match=r"^step 1, rank 1: gradient of fid \d+ .feature \w+., element 0: nan"):
                engine.step(bad)
        else:
            engine.step(bad)
        nans = 0
        for name, table in engine.embeddings.tables.items():
            after = table.export()
            nans += int(np.isnan(after.weights).sum())
            if policy != "propagate":
                same(after.weights, before[name].weights)
        assert (communicator.sum_int64(np.array([nans], np.int64), "check")[0] > 0) == (policy == "propagate")


def one_norm(communicator: Any) -> None:
    """Under ``exact`` with clipping, two ranks move dense variables as one rank does with all rows."""
    together = Engine(Task(), reduction="exact", clip_norm=0.05)
    apart = Engine(Task(), communicator=communicator, reduction="exact", clip_norm=0.05)
    for step in range(3):
        whole = batch(step, 9)
        one = together.step(whole)
        other = apart.step(whole.slice_rows(*row_range(communicator.rank, communicator.size, 9)))
        same(one.loss, other.loss)
        for name, gradient in one.dense_gradients.items():
            same(gradient, other.dense_gradients[name])
        assert np.any(one.dense_gradients["dense_0/kernel"]) == (step > 0)
    for name, value in together.variables.items():
        same(value, apart.variables[name])


def disagreement(communicator: Any) -> None:
    """Ranks whose models differ are told so before any step."""

    class Other(Task):
        rate = 0.01 * (1 + communicator.rank)

    with pytest.raises(ConfigError, match=r"ranks disagree on table first: .*0\.01.* rank 0, .*0\.02.* rank 1"):
        distributed_sync_train(DistributedCpuTrainingConfig(), Other(), communicator=communicator, environment={})


def main() -> None:
    communicator = make_communicator("mpi", timeout=60)
    own_data(communicator)
    padded(communicator)
    not_finite(communicator)
    one_norm(communicator)
    disagreement(communicator)
    print(f"rank {communicator.rank} ok", flush=True)
    communicator.close()


if __name__ == "__main__":
    main()
