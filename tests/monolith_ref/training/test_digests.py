"""The state digest is that of the specification: for its model it begins as independent programs found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from monolith_conformance.compare.digests import HeadArrays
from monolith_conformance.compare.digests import state_digest as plain_digest
from monolith_conformance.compare.task import EmbeddingUpdateTask

from monolith_ref.training.digests import LossDigest, state_digest
from monolith_ref.training.engine import Engine
from tests.monolith_ref.training.tasks import Task, batch
from tests.monolith_ref.training.threads import ThreadRanks


class Layer:
    def __init__(self, engine: Engine, number: int) -> None:
        name = f"dense_{number}"
        self.kernel, self.bias = engine.variables[f"{name}/kernel"], engine.variables[f"{name}/bias"]
        self.kernel_accumulator = engine.slots[f"{name}/kernel"]["accumulator"]
        self.bias_accumulator = engine.slots[f"{name}/bias"]["accumulator"]


def test_five_steps_of_the_corrected_test() -> None:
    task = EmbeddingUpdateTask()
    engine = Engine(task, reduction="exact")
    engine.train(task.input_fn("train"), 5)
    assert state_digest(engine).startswith("2a22f04b5d46212c")


@pytest.mark.parametrize("layout", ["multi", "merged"])
def test_ranks_and_layouts_do_not_show(layout: Any) -> None:
    def work(communicator: Any) -> tuple[str, Engine]:
        engine = Engine(Task(), communicator=communicator, reduction="exact", layout=layout)
        for step in range(3):
            whole = batch(step, 7)
            cut = 7 * communicator.rank // communicator.size, 7 * (communicator.rank + 1) // communicator.size
            engine.step(whole.slice_rows(*cut))
        return state_digest(engine), engine

    (alone, engine), *_ = ThreadRanks(1).run(work)
    assert [digest for digest, _ in ThreadRanks(3).run(work)] == [alone] * 3
    dumps = [engine.embeddings.tables[spec.name].export() for spec in engine.tables]
    ids = np.concatenate([dump.ids for dump in dumps])
    order = np.argsort(ids)
    weights = np.concatenate([dump.weights for dump in dumps])[order]
    accumulators = np.concatenate([dump.state[0]["norm"] for dump in dumps])[order]
    head: list[HeadArrays] = [Layer(engine, number) for number in range(2)]
    assert alone == plain_digest(ids[order], weights, accumulators, head)


def test_every_array_shows() -> None:
    engine = Engine(Task())
    engine.step(batch(0, 6))
    seen = {state_digest(engine)}
    for name in engine.variables:
        values, slots = engine.variables, engine.slots
        values[name].reshape(-1)[-1] += 1
        engine.load_dense(values, slots, engine.global_step)
        seen.add(state_digest(engine))
        slots[name]["accumulator"][0] += 1
        engine.load_dense(values, slots, engine.global_step)
        seen.add(state_digest(engine))
    for spec in engine.tables:
        store = engine.embeddings.tables[spec.name]
        dump = store.export()
        dump.weights[-1, -1] += 1
        store.import_(dump)
        seen.add(state_digest(engine))
        dump.state[0]["norm"][0, 0] += 1
        store.import_(dump)
        seen.add(state_digest(engine))
    assert len(seen) == 1 + 2 * len(engine.variables) + 2 * len(engine.tables)


def test_loss_digests_continue() -> None:
    whole, first = LossDigest(), LossDigest()
    for loss in (0.5, 0.25, 0.125):
        whole.add(loss)
    first.add(0.5)
    second = LossDigest(first.hexdigest())
    second.add(np.float32(0.25))
    second.add(0.125)
    assert second.hexdigest() == whole.hexdigest() != first.hexdigest()
