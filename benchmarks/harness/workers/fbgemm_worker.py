"""fbgemm's table-batched embeddings on the CPU; its optimizer runs inside backward."""

from __future__ import annotations

import os
from typing import Any

import fbgemm_gpu
import torch
from common import BAG, Forms, gradients, numbers, serve
from fbgemm_gpu.split_table_batched_embeddings_ops_common import EmbeddingLocation, PoolingMode
from fbgemm_gpu.split_table_batched_embeddings_ops_training import (
    ComputeDevice,
    OptimType,
    SplitTableBatchedEmbeddingBagsCodegen,
)

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
_kept: dict[tuple[int, int, PoolingMode], Any] = {}


def table(job: dict[str, Any], pooling: PoolingMode) -> Any:
    """Embeddings with Adagrad's accumulators; one is kept."""
    key = (job["rows"], job["dim"], pooling)
    if key not in _kept:
        _kept.clear()
        _kept[key] = SplitTableBatchedEmbeddingBagsCodegen(
            [(job["rows"], job["dim"], EmbeddingLocation.HOST, ComputeDevice.CPU)],
            optimizer=OptimType.EXACT_ADAGRAD,
            learning_rate=0.05,
            eps=1e-10,
            pooling_mode=pooling,
        )
        for weights in _kept[key].split_embedding_weights():
            weights.fill_(0.5)
    return _kept[key]


def lookup(job: dict[str, Any]) -> Forms:
    bags = table(job, PoolingMode.NONE)
    ids = torch.from_numpy(numbers({**job, "misses": False}))
    offsets = torch.arange(0, len(ids) + 1)

    @torch.no_grad()
    def run() -> None:
        bags(ids, offsets)

    return Forms({"table-batched embedding, no pooling": run})


def pooled(job: dict[str, Any]) -> Forms:
    bags = table(job, PoolingMode.SUM)
    ids = torch.from_numpy(numbers(job))
    offsets = torch.arange(0, len(ids) + 1, BAG)

    @torch.no_grad()
    def run() -> None:
        bags(ids, offsets)

    return Forms({"table-batched embedding, sum": run})


def update(job: dict[str, Any]) -> Forms:
    bags = table(job, PoolingMode.SUM)
    ids, grads = torch.from_numpy(numbers(job)), torch.from_numpy(gradients(job))
    offsets = torch.arange(0, len(ids) + 1)
    made: list[torch.Tensor] = []

    def before() -> None:
        made[:] = [bags(ids, offsets)]

    name = "backward with exact Adagrad inside"
    return Forms({name: lambda: made.pop().backward(grads)}, {name: before})


if __name__ == "__main__":
    version = getattr(fbgemm_gpu, "__version__", "unknown")
    serve({"version": f"{version}, torch {torch.__version__}"}, {"lookup": lookup, "pooled": pooled, "update": update})
