"""TensorFlow on the CPU: variables with gather and IndexedSlices, and its own hash tables."""

from __future__ import annotations

import itertools
import os
import tempfile
from functools import lru_cache
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np
import tensorflow as tf
from common import BAG, Forms, Skip, Turns, forget_pages, fresh_ids, gradients, ids_of, numbers, serve, step_batches

THREADS = int(os.environ["OMP_NUM_THREADS"])
tf.config.threading.set_intra_op_parallelism_threads(THREADS)
tf.config.threading.set_inter_op_parallelism_threads(1)
RATE, START = 0.05, 0.1


@lru_cache(1)
def table(rows: int, dim: int) -> tuple[tf.Variable, tf.Variable]:
    """Weights and accumulators."""
    return tf.Variable(tf.fill((rows, dim), 0.5)), tf.Variable(tf.fill((rows, dim), START))


def lookup(job: dict[str, Any]) -> Forms:
    weights, _ = table(job["rows"], job["dim"])
    ids = tf.constant(numbers({**job, "misses": False}))
    compiled = tf.function(lambda: tf.nn.embedding_lookup(weights, ids))
    return Forms({"gather": lambda: tf.gather(weights, ids), "nn.embedding_lookup in a function": lambda: compiled()})


def pooled(job: dict[str, Any]) -> Forms:
    weights, _ = table(job["rows"], job["dim"])
    drawn = numbers(job)
    ids, bags = tf.constant(drawn), tf.constant(np.arange(len(drawn)) // BAG)
    pairs = np.stack([np.arange(len(drawn)) // BAG, np.arange(len(drawn)) % BAG], 1)
    sparse = tf.SparseTensor(pairs, drawn, (len(drawn) // BAG, BAG))
    summed = tf.function(lambda: tf.math.segment_sum(tf.gather(weights, ids), bags))
    looked_up = tf.function(lambda: tf.nn.embedding_lookup_sparse(weights, sparse, None, combiner="sum"))
    return Forms({"gather, segment_sum": lambda: summed(), "nn.embedding_lookup_sparse": lambda: looked_up()})


def update(job: dict[str, Any]) -> Forms:
    weights, accumulators = table(job["rows"], job["dim"])
    ids, grads = tf.constant(numbers(job)), tf.constant(gradients(job))

    @tf.function
    def by_hand() -> None:
        unique, inverse = tf.unique(ids)
        sums = tf.math.unsorted_segment_sum(grads, inverse, tf.size(unique))
        tf.raw_ops.ResourceSparseApplyAdagrad(
            var=weights.handle, accum=accumulators.handle, lr=RATE, grad=sums, indices=unique
        )

    optimizer = tf.compat.v1.train.AdagradOptimizer(RATE, initial_accumulator_value=START)

    @tf.function
    def by_slices() -> None:
        optimizer.apply_gradients([(tf.IndexedSlices(grads, ids, weights.shape), weights)])

    return Forms(
        {
            "unique, segment sum, ResourceSparseApplyAdagrad": by_hand,
            "AdagradOptimizer.apply_gradients(IndexedSlices)": by_slices,
        }
    )


MUTABLE_ROWS = 1_000_000
"""Up to here MutableHashTable takes part: it is the slower one, and takes several times the memory."""


@lru_cache(1)
def hash_tables(rows: int, dim: int) -> dict[str, Any]:
    """TensorFlow's hash tables, filled with the rows."""
    made = {
        "DenseHashTable": tf.lookup.experimental.DenseHashTable(
            tf.int64, tf.float32, tf.zeros(dim), empty_key=-1, deleted_key=-2, initial_num_buckets=1 << 16
        )
    }
    if rows <= MUTABLE_ROWS:
        made["MutableHashTable"] = tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, tf.zeros(dim))
    part = 1 << 20
    for begin in range(0, rows, part):
        keys = ids_of(np.arange(begin, min(begin + part, rows), dtype=np.int64))
        values = tf.fill((len(keys), dim), 0.5)
        for one in made.values():
            one.insert(keys, values)
    return made


def left_out(job: dict[str, Any]) -> dict[str, Any]:
    """Says which table does not take part."""
    return {} if job["rows"] <= MUTABLE_ROWS else {"left out": f"MutableHashTable beyond {MUTABLE_ROWS:,} rows"}


def hash_lookup(job: dict[str, Any]) -> Forms:
    ids, made = tf.constant(ids_of(numbers(job))), hash_tables(job["rows"], job["dim"])
    return Forms({name: (lambda one=one: one.lookup(ids)) for name, one in made.items()}, facts=left_out(job))


def hash_insert(job: dict[str, Any]) -> Forms:
    ids, made = tf.constant(fresh_ids(job)), hash_tables(job["rows"], job["dim"])
    values = tf.fill((job["batch"], job["dim"]), 0.0)
    return Forms(
        {name: (lambda one=one: one.insert(ids, values)) for name, one in made.items()},
        {name: (lambda one=one: one.remove(ids)) for name, one in made.items()},
        facts=left_out(job),
    )


class Model:
    """The comparison's model, its features in one variable or in one each."""

    def __init__(self, job: dict[str, Any], merged: bool) -> None:
        self.features, self.space, self.dim, self.merged = job["features"], job["space"], job["dim"], merged
        sizes = [self.features * self.space] if merged else [self.space] * self.features
        self.tables = [tf.Variable(tf.zeros((size, self.dim))) for size in sizes]
        rng = np.random.default_rng(0)
        widths = (self.features * self.dim, 64, 32, 1)
        self.kernels = [
            tf.Variable(rng.uniform(-0.1, 0.1, pair).astype(np.float32)) for pair in itertools.pairwise(widths)
        ]
        self.biases = [tf.Variable(tf.zeros(width)) for width in widths[1:]]
        self.variables = [*self.tables, *self.kernels, *self.biases]
        self.optimizer = tf.compat.v1.train.AdagradOptimizer(RATE, initial_accumulator_value=START)
        vector = tf.TensorSpec((None,), tf.int64)
        count = 1 if merged else self.features
        self.step = tf.function(
            self._step, input_signature=[[vector] * count, [vector] * count, tf.TensorSpec((None,), tf.float32)]
        )

    def prepare(self, batch: dict[str, np.ndarray]) -> Any:
        """What an input pipeline would have made of a batch: values, the bag of each, labels."""
        splits, ids = batch["splits"], batch["ids"]
        bags = np.repeat(np.arange(len(splits) - 1), np.diff(splits))
        label = tf.constant(batch["label"])
        if self.merged:
            return [tf.constant(ids)], [tf.constant(bags)], label
        rows = (len(splits) - 1) // self.features
        values, own = [], []
        for feature in range(self.features):
            part = slice(splits[feature * rows], splits[(feature + 1) * rows])
            values.append(tf.constant(ids[part] - feature * self.space))
            own.append(tf.constant(bags[part] - feature * rows))
        return values, own, label

    def _step(self, values: Any, bags: Any, label: Any) -> None:
        with tf.GradientTape() as tape:
            sums = [
                tf.math.segment_sum(tf.gather(table, ids), bag)
                for table, ids, bag in zip(self.tables, values, bags, strict=True)
            ]
            if self.merged:
                cube = tf.reshape(sums[0], (self.features, -1, self.dim))
                x = tf.reshape(tf.transpose(cube, (1, 0, 2)), (-1, self.features * self.dim))
            else:
                x = tf.concat(sums, 1)
            for layer, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
                x = x @ kernel + bias
                x = tf.nn.relu(x) if layer < 2 else x
            loss = tf.reduce_mean(tf.square(x[:, 0] - label))
        self.optimizer.apply_gradients(zip(tape.gradient(loss, self.variables), self.variables, strict=True))


def step(job: dict[str, Any]) -> Forms:
    batches = step_batches(job)
    run: dict[str, Any] = {}
    for name, merged in (("a variable a feature, IndexedSlices", False), ("one variable, IndexedSlices", True)):
        model = Model(job, merged)
        prepared = [model.prepare(batch) for batch in batches]
        run[name] = Turns(lambda batch, model=model: model.step(*batch), prepared, job["warm"], job["each"])
    return Forms(run, items=dict.fromkeys(run, job["each"]))


def save(job: dict[str, Any]) -> Forms:
    weights, accumulators = table(job["rows"], job["dim"])
    both = tf.train.Checkpoint(weights=weights, accumulators=accumulators)
    folder = tempfile.mkdtemp(dir=job["folder"])

    def run() -> None:
        both.write(os.path.join(folder, "rows"))
        for name in os.listdir(folder):
            descriptor = os.open(os.path.join(folder, name), os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)

    return Forms({"train.Checkpoint.write": run})


def restore(job: dict[str, Any]) -> Forms:
    weights, accumulators = table(job["rows"], job["dim"])
    both = tf.train.Checkpoint(weights=weights, accumulators=accumulators)
    folder = tempfile.mkdtemp(dir=job["folder"])
    path = both.write(os.path.join(folder, "rows"))
    name = "train.Checkpoint.read"
    return Forms({name: lambda: both.read(path)}, {name: lambda: forget_pages(folder)})


def hash_only(job: dict[str, Any]) -> Forms:
    """Jobs that only the contender ``tensorflow-hash`` has."""
    makers = {"lookup": hash_lookup, "insert": hash_insert}
    if job["job"] not in makers:
        raise Skip("a hash table has no such operation")
    return makers[job["job"]](job)


if __name__ == "__main__":
    dense = {"lookup": lookup, "pooled": pooled, "update": update, "step": step, "save": save, "restore": restore}
    hashed = dict.fromkeys(("lookup", "insert"), hash_only)
    chosen = hashed if os.environ.get("BENCH_CONTENDER") == "tensorflow-hash" else dense
    serve({"version": tf.__version__}, chosen)
