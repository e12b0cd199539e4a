"""NumPy: dense rows, fancy indexing, np.unique."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from typing import Any

import numpy as np
from common import BAG, Forms, forget_pages, gradients, numbers, serve, write_and_sync


@cache
def table(rows: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights and accumulators."""
    return np.full((rows, dim), 0.5, np.float32), np.full((rows, dim), 0.1, np.float32)


def lookup(job: dict[str, Any]) -> Forms:
    weights, _ = table(job["rows"], job["dim"])
    ids = numbers({**job, "misses": False})
    out = np.empty((len(ids), job["dim"]), np.float32)
    return Forms({"np.take into a buffer": lambda: np.take(weights, ids, axis=0, out=out, mode="clip")})


def pooled(job: dict[str, Any]) -> Forms:
    weights, _ = table(job["rows"], job["dim"])
    ids = numbers(job)
    starts = np.arange(0, len(ids), BAG)
    return Forms({"np.add.reduceat of rows": lambda: np.add.reduceat(weights[ids], starts, axis=0)})


def update(job: dict[str, Any]) -> Forms:
    weights, accumulators = table(job["rows"], job["dim"])
    ids, grads = numbers(job), gradients(job)

    def run() -> None:
        unique, inverse = np.unique(ids, return_inverse=True)
        order = np.argsort(inverse, kind="stable")
        starts = np.searchsorted(inverse[order], np.arange(len(unique)))
        sums = np.add.reduceat(grads[order], starts, axis=0)
        state = accumulators[unique] + sums * sums
        accumulators[unique] = state
        weights[unique] -= np.float32(0.05) * sums / np.sqrt(state)

    return Forms({"np.unique, reduceat, fancy indexing": run})


def save(job: dict[str, Any]) -> Forms:
    both = table(job["rows"], job["dim"])
    folder = tempfile.mkdtemp(dir=job["folder"])
    path = os.path.join(folder, "rows.npz")
    return Forms({"np.savez": lambda: write_and_sync(path, lambda name: np.savez(name, *both))})


def restore(job: dict[str, Any]) -> Forms:
    both = table(job["rows"], job["dim"])
    folder = tempfile.mkdtemp(dir=job["folder"])
    path = os.path.join(folder, "rows.npz")
    np.savez(path, *both)

    def run() -> None:
        with np.load(path) as stored:
            for name in stored.files:
                stored[name]

    return Forms({"np.load": run}, {"np.load": lambda: forget_pages(folder)})


if __name__ == "__main__":
    serve(
        {"version": np.__version__},
        {"lookup": lookup, "pooled": pooled, "update": update, "save": save, "restore": restore},
    )
