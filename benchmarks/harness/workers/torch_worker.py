"""torch on the CPU: dense rows, embedding_bag, sparse gradients."""

from __future__ import annotations

import os
import tempfile
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from common import BAG, Forms, Turns, forget_pages, gradients, numbers, serve, step_batches, write_and_sync
from torch.nn import functional

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
RATE, START = 0.05, 0.1


@lru_cache(1)
def table(rows: int, dim: int) -> tuple[torch.nn.Parameter, torch.optim.Adagrad]:
    """Weights and an optimizer that has their accumulators."""
    weights = torch.nn.Parameter(torch.full((rows, dim), 0.5))
    return weights, torch.optim.Adagrad([weights], lr=RATE, initial_accumulator_value=START)


def lookup(job: dict[str, Any]) -> Forms:
    weights = table(job["rows"], job["dim"])[0].data
    ids = torch.from_numpy(numbers({**job, "misses": False}))
    out = torch.zeros((len(ids), job["dim"]))
    return Forms(
        {
            "index_select into a buffer": lambda: torch.index_select(weights, 0, ids, out=out),
            "functional.embedding": lambda: functional.embedding(ids, weights),
        }
    )


def pooled(job: dict[str, Any]) -> Forms:
    weights = table(job["rows"], job["dim"])[0].data
    ids = torch.from_numpy(numbers(job))
    offsets = torch.arange(0, len(ids) + 1, BAG)

    def run(ids: torch.Tensor, offsets: torch.Tensor) -> None:
        functional.embedding_bag(ids, weights, offsets, mode="sum", include_last_offset=True)

    short = ids.int(), offsets.int()
    return Forms(
        {
            "functional.embedding_bag": lambda: run(ids, offsets),
            "functional.embedding_bag, int32 ids": lambda: run(*short),
        }
    )


def update(job: dict[str, Any]) -> Forms:
    weights, optimizer = table(job["rows"], job["dim"])
    ids, grads = torch.from_numpy(numbers(job)), torch.from_numpy(gradients(job))
    accumulators = optimizer.state[weights]["sum"]

    def sparse() -> None:
        weights.grad = torch.sparse_coo_tensor(ids[None], grads, weights.shape, check_invariants=False)
        optimizer.step()

    @torch.no_grad()
    def by_hand() -> None:
        unique, inverse = torch.unique(ids, return_inverse=True)
        sums = torch.zeros((len(unique), job["dim"])).index_add_(0, inverse, grads)
        state = accumulators[unique].addcmul_(sums, sums)
        accumulators[unique] = state
        weights.data.index_add_(0, unique, sums.div_(state.sqrt_()), alpha=-RATE)

    return Forms({"optim.Adagrad on a sparse gradient": sparse, "unique, index_add_, indexing": by_hand})


class Model(torch.nn.Module):
    """The comparison's model, its features in one embedding bag or in one each."""

    def __init__(self, features: int, space: int, dim: int, merged: bool) -> None:
        super().__init__()
        self.features, self.space, self.dim, self.merged = features, space, dim, merged
        sizes = [features * space] if merged else [space] * features
        self.bags = torch.nn.ModuleList(
            torch.nn.EmbeddingBag(size, dim, mode="sum", sparse=True, include_last_offset=True) for size in sizes
        )
        layers = [torch.nn.Linear(features * dim, 64), torch.nn.ReLU(), torch.nn.Linear(64, 32), torch.nn.ReLU()]
        self.head = torch.nn.Sequential(*layers, torch.nn.Linear(32, 1))

    def prepare(self, batch: dict[str, np.ndarray]) -> Any:
        """What a data loader would have made of a batch."""
        splits, rows = batch["splits"], (len(batch["splits"]) - 1) // self.features
        ids, label = batch["ids"], torch.from_numpy(batch["label"])
        if self.merged:
            return [(torch.from_numpy(ids), torch.from_numpy(splits))], label
        parts = []
        for feature in range(self.features):
            own = splits[feature * rows : (feature + 1) * rows + 1]
            values = ids[own[0] : own[-1]] - feature * self.space
            parts.append((torch.from_numpy(values), torch.from_numpy(own - own[0])))
        return parts, label

    def forward(self, parts: Any) -> torch.Tensor:
        if self.merged:
            pooled = self.bags[0](*parts[0]).view(self.features, -1, self.dim)
            x = pooled.transpose(0, 1).reshape(-1, self.features * self.dim)
        else:
            x = torch.cat([bag(*part) for bag, part in zip(self.bags, parts, strict=True)], 1)
        return self.head(x)[:, 0]


def step(job: dict[str, Any]) -> Forms:
    batches = step_batches(job)
    run: dict[str, Any] = {}
    for name, merged in (("EmbeddingBag(sparse=True) a feature", False), ("one EmbeddingBag(sparse=True)", True)):
        model = Model(job["features"], job["space"], job["dim"], merged)
        optimizer = torch.optim.Adagrad(model.parameters(), lr=RATE, initial_accumulator_value=START)

        def once(batch: Any, model: Model = model, optimizer: Any = optimizer) -> None:
            optimizer.zero_grad()
            functional.mse_loss(model(batch[0]), batch[1]).backward()
            optimizer.step()

        run[name] = Turns(once, [model.prepare(batch) for batch in batches], job["warm"], job["each"])
    return Forms(run, items=dict.fromkeys(run, job["each"]))


def save(job: dict[str, Any]) -> Forms:
    weights, optimizer = table(job["rows"], job["dim"])
    path = os.path.join(tempfile.mkdtemp(dir=job["folder"]), "rows.pt")
    both = {"weights": weights.data, "sum": optimizer.state[weights]["sum"]}
    return Forms({"torch.save": lambda: write_and_sync(path, lambda name: torch.save(both, name))})


def restore(job: dict[str, Any]) -> Forms:
    weights, optimizer = table(job["rows"], job["dim"])
    folder = tempfile.mkdtemp(dir=job["folder"])
    path = os.path.join(folder, "rows.pt")
    torch.save({"weights": weights.data, "sum": optimizer.state[weights]["sum"]}, path)
    return Forms({"torch.load": lambda: torch.load(path)}, {"torch.load": lambda: forget_pages(folder)})


if __name__ == "__main__":
    serve(
        {"version": torch.__version__},
        {"lookup": lookup, "pooled": pooled, "update": update, "step": step, "save": save, "restore": restore},
    )
