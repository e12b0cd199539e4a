"""TensorFlow Recommenders-Addons: a dynamic embedding variable, and one more for its accumulators."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
import numpy as np
import tensorflow as tf
import tensorflow_recommenders_addons as tfra
from common import Forms, fresh_ids, gradients, ids_of, numbers, serve

tf.config.threading.set_intra_op_parallelism_threads(int(os.environ["OMP_NUM_THREADS"]))
tf.config.threading.set_inter_op_parallelism_threads(1)
RATE, START = 0.05, 0.1


@lru_cache(2)
def table(rows: int, dim: int, value: float) -> Any:
    """A dynamic variable with every row at ``value``."""
    made = tfra.dynamic_embedding.get_variable(
        f"rows_{rows}_{dim}_{value}",
        key_dtype=tf.int64,
        value_dtype=tf.float32,
        dim=dim,
        initializer=0.0,
        devices=["/CPU:0"],
        init_size=2 * rows,
    )
    part = 1 << 20
    for begin in range(0, rows, part):
        keys = ids_of(np.arange(begin, min(begin + part, rows), dtype=np.int64))
        made.upsert(tf.constant(keys), tf.fill((len(keys), dim), value))
    return made


def lookup(job: dict[str, Any]) -> Forms:
    rows = table(job["rows"], job["dim"], 0.5)
    ids = tf.constant(ids_of(numbers(job)))
    compiled = tf.function(lambda: rows.lookup(ids))
    return Forms({"Variable.lookup": lambda: rows.lookup(ids), "Variable.lookup in a function": lambda: compiled()})


def update(job: dict[str, Any]) -> Forms:
    weights, accumulators = table(job["rows"], job["dim"], 0.5), table(job["rows"], job["dim"], START)
    ids, grads = tf.constant(ids_of(numbers(job))), tf.constant(gradients(job))

    @tf.function
    def run() -> None:
        unique, inverse = tf.unique(ids)
        sums = tf.math.unsorted_segment_sum(grads, inverse, tf.size(unique))
        state = accumulators.lookup(unique) + sums * sums
        accumulators.upsert(unique, state)
        weights.upsert(unique, weights.lookup(unique) - RATE * sums / tf.sqrt(state))

    return Forms({"unique, segment sum, lookups, upserts": run})


def insert(job: dict[str, Any]) -> Forms:
    rows = table(job["rows"], job["dim"], 0.5)
    ids, values = tf.constant(fresh_ids(job)), tf.fill((job["batch"], job["dim"]), 0.0)
    return Forms({"Variable.upsert": lambda: rows.upsert(ids, values)}, {"Variable.upsert": lambda: rows.remove(ids)})


if __name__ == "__main__":
    serve(
        {"version": f"{tfra.__version__}, TensorFlow {tf.__version__}"},
        {"lookup": lookup, "update": update, "insert": insert},
    )
