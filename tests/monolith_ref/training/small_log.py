"""A small generated log and a configuration of it, for the tests of the trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from monolith_ref.training.recipe import TrainConfig, load_train_config

ROWS = 90

TEXT = """\
[training]
batch_size = 16
epochs = 2
report_every = 3

[sync]
reduction = "exact"

[filter]
capacity = 400

[input]
files = ["{log}"]
label = "click"
time_column = "when"

[evaluation]
split = "random"
ratio = 0.3
every_steps = 4
batch_size = 10

[model]
name = "small"
layers = [6]
bias = 0.1
optimizer = {{ kind = "adagrad", learning_rate = 0.05, initial_accumulator_value = 0.1 }}

[[model.slices]]
name = "vec"
dim = 4
initializer = "zeros"
optimizer = {{ kind = "adagrad", learning_rate = 0.1, initial_accumulator_value = 0.1 }}
compressor = "fp16"

[[model.slices]]
name = "bias"
to = "output"
features = ["user", "item"]
initializer = "zeros"
optimizer = {{ kind = "sgd", learning_rate = 0.1 }}
learning_rate = {{ kind = "polynomial_decay", initial_learning_rate = 0.1, decay_steps = 10 }}

[[features]]
name = "user"

[[features]]
name = "item"
slot = 7

[[features]]
name = "tags"
separator = " "
combiner = "reduce_mean"

[[features]]
name = "seen"
column = "tags"
separator = " "
shared = "item"
combiner = "first_n"
max_length = 2

[[features]]
name = "price"
kind = "number"
"""


def write_log(path: Path, rows: int = ROWS) -> Path:
    """Every other user likes nearly everything, the others nearly nothing."""
    rng = np.random.default_rng(5)
    lines = ["user\titem\ttags\tprice\twhen\tclick"]
    for row in range(rows):
        user, item = (int(v) for v in rng.integers(0, 12, 2))
        tags = " ".join(f"t{tag}" for tag in rng.integers(0, 6, int(rng.integers(0, 4))))
        click = user % 2 if rng.random() < 0.9 else 1 - user % 2
        lines.append(f"u{user}\ti{item}\t{tags}\t{rng.random():.3f}\t{1000 + 10 * row}\t{click}")
    path.write_text("\n".join(lines) + "\n")
    return path


def write_config(folder: Path, text: str = TEXT, rows: int = ROWS) -> Path:
    """``folder/train.toml`` and ``folder/log.tsv``; the path of the first."""
    log = write_log(folder / "log.tsv", rows)
    path = folder / "train.toml"
    path.write_text(text.format(log=log))
    return path


def small_config(folder: Path, **changes: Any) -> TrainConfig:
    """The configuration with changes: ``small_config(folder, **{"training.steps": 3})``."""
    overrides = {key: str(value) for key, value in changes.items()}
    return load_train_config(write_config(folder), overrides, environment={})
