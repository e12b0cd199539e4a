"""What the machine's memory allows: the accesses that a job cannot do without, and nothing else."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from accesses import LINE, read_pairs, read_rows, stream, stream_copy, touch_rows
from common import Forms, gradients, numbers, serve
from monolith_kernels.memory import RowStorage


@lru_cache(1)
def rows_of(rows: int, dim: int) -> np.ndarray:
    """Touched memory of rows of weights and accumulators, whole cache lines each, in huge pages if to be had."""
    made = RowStorage(-(-2 * dim // LINE) * LINE, np.float32, rows).rows[:rows]
    made[:] = 0.5
    return made


def row_update(job: dict[str, Any]) -> Forms:
    rows, dim = rows_of(job["rows"], job["dim"]), job["dim"]
    drawn = np.random.default_rng(3).choice(job["rows"], job["batch"], replace=False).astype(np.int32)
    return _touching(rows, drawn, gradients(job).reshape(-1), dim)


def update(job: dict[str, Any]) -> Forms:
    """Each row of the batch once, where it occurs first."""
    drawn = numbers(job).astype(np.int32)
    _distinct, first = np.unique(drawn, return_index=True)
    dim = job["dim"]
    return _touching(rows_of(job["rows"], dim), drawn[np.sort(first)], gradients(job).reshape(-1), dim)


def _touching(rows: np.ndarray, drawn: np.ndarray, grads: np.ndarray, dim: int) -> Forms:
    flat, width = rows.reshape(-1), rows.shape[1]
    return Forms({"reading and writing the rows": lambda: touch_rows(flat, drawn, width, grads, dim)})


def line(job: dict[str, Any]) -> Forms:
    rows = rows_of(job["rows"], job["dim"])
    drawn = numbers({**job, "misses": False}).astype(np.int32)
    flat, width = rows.reshape(-1), rows.shape[1]
    return Forms({"reading the cache lines of an id's row": lambda: read_rows(flat, drawn, width, job["dim"])})


def pooled(job: dict[str, Any]) -> Forms:
    """What a table behind an index cannot do without: a line of the index, and a row; both at places known before."""
    rows = rows_of(job["rows"], job["dim"])
    flat, width = rows.reshape(-1), rows.shape[1]
    lines = 1 << (-(-job["rows"] * 10 // 35) - 1).bit_length()  # five ids each, at most 0.7 of them used
    index = RowStorage(LINE, np.float32, lines).rows
    index[:] = 0.5
    drawn = numbers(job).astype(np.int32)
    places = np.random.default_rng(5).integers(0, lines, len(drawn)).astype(np.int32)
    words = index.reshape(-1)

    def run() -> None:
        read_pairs(words, places, LINE)
        read_pairs(flat, drawn, width)

    return Forms({"reading a line of an index and one of a row": run})


def streamed(job: dict[str, Any]) -> Forms:
    flat = rows_of(job["rows"], job["dim"]).reshape(-1)[: 1 << 26]
    out = np.zeros_like(flat[: len(flat) // 2])
    run = {"read": lambda: stream(flat), "copy": lambda: stream_copy(flat[: len(out)], out)}
    facts = {"bytes read": flat.nbytes, "bytes copied": 2 * out.nbytes}
    return Forms(run, facts=facts)


if __name__ == "__main__":
    jobs = {
        "row_update": row_update,
        "line": line,
        "lookup": line,
        "update": update,
        "pooled": pooled,
        "stream": streamed,
    }
    serve({"version": "kernels without a table"}, jobs)
