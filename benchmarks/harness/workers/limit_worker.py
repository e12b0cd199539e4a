"""What the machine's memory allows: the accesses that a job cannot do without, and nothing else."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from common import Forms, gradients, numbers, serve
from monolith_kernels.jit import kernel
from monolith_kernels.memory import RowStorage
from monolith_kernels.prim import at, prefetch, put

AHEAD = 32


@kernel
def touch_rows(flat: Any, numbers: Any, width: int, grads: Any, dim: int) -> None:
    """Read gradients, read and write the rows they belong to, asked for early: w += g, n += g."""
    for k in range(len(numbers)):
        if k + AHEAD < len(numbers):
            ahead = np.int64(numbers[k + AHEAD]) * width
            for line in range(0, width, 16):
                prefetch(flat, ahead + line)
        row = np.int64(numbers[k]) * width
        for c in range(dim):
            g = at(grads, k * dim + c)
            put(flat, row + c, at(flat, row + c) + g)
            put(flat, row + dim + c, at(flat, row + dim + c) + g)


@kernel
def read_lines(flat: Any, numbers: Any, width: int) -> Any:
    """Read one cache line of each of these rows, asked for early."""
    total = np.float32(0.0)
    for k in range(len(numbers)):
        if k + AHEAD < len(numbers):
            prefetch(flat, np.int64(numbers[k + AHEAD]) * width)
        total = max(total, at(flat, np.int64(numbers[k]) * width))
    return total


@kernel
def stream(flat: Any) -> Any:
    """Read everything in order."""
    total = np.float32(0.0)
    for k in range(len(flat)):
        total += at(flat, k)
    return total


@kernel
def stream_copy(source: Any, out: Any) -> None:
    """Copy everything in order."""
    for k in range(len(source)):
        put(out, k, at(source, k))


@lru_cache(1)
def rows_of(rows: int, width: int) -> np.ndarray:
    """Touched memory of rows, in huge pages where they are to be had."""
    made = RowStorage(width, np.float32, rows).rows[:rows]
    made[:] = 0.5
    return made


def row_update(job: dict[str, Any]) -> Forms:
    width, dim = 2 * job["dim"], job["dim"]
    flat = rows_of(job["rows"], width).reshape(-1)
    drawn = np.random.default_rng(3).choice(job["rows"], job["batch"], replace=False).astype(np.int32)
    grads = gradients(job).reshape(-1)
    return Forms({"reading and writing the rows": lambda: touch_rows(flat, drawn, width, grads, dim)})


def line(job: dict[str, Any]) -> Forms:
    width = 2 * job["dim"]
    flat, drawn = rows_of(job["rows"], width).reshape(-1), numbers(job).astype(np.int32)
    return Forms({"a random cache line an id": lambda: read_lines(flat, drawn, width)})


def streamed(job: dict[str, Any]) -> Forms:
    flat = rows_of(job["rows"], 2 * job["dim"]).reshape(-1)[: 1 << 26]
    out = np.zeros_like(flat[: 1 << 25])
    run = {"read": lambda: stream(flat), "copy": lambda: stream_copy(flat[: len(out)], out)}
    facts = {"bytes read": flat.nbytes, "bytes copied": 2 * out.nbytes}
    return Forms(run, facts=facts)


if __name__ == "__main__":
    serve({"version": "kernels without a table"}, {"row_update": row_update, "line": line, "stream": streamed})
