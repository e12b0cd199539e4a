"""The learning rate that a slice gets, and dims of messages: entry.md 5.1, 6."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from monolith_protos.hash_table_pb2 import EmbeddingHashTableConfig

from monolith_ref.entry import (
    AdagradOptimizer,
    AdamOptimizer,
    FtrlOptimizer,
    MovingAverageOptimizer,
    SgdOptimizer,
    StochasticRoundingFloat16OptimizerWrapper,
)
from monolith_ref.errors import ConfigError
from monolith_ref.learning_rate import PolynomialDecay
from monolith_ref.table.config import infer_dim_size
from monolith_ref.table.naming import default_learning_rate, merge_tables

from .support import message, part


@pytest.mark.parametrize(
    ("optimizer", "rate"),
    [
        (AdagradOptimizer(), 0.0010000000474974513),
        (AdagradOptimizer(0.05), 0.05000000074505806),
        (SgdOptimizer(), 0.009999999776482582),
        (MovingAverageOptimizer(), 0.0),
        (StochasticRoundingFloat16OptimizerWrapper(AdamOptimizer(0.5)), 0.5),
        (FtrlOptimizer(0.0), 0.0),
    ],
)
def test_rates_come_from_the_message(optimizer: Any, rate: float) -> None:
    got = default_learning_rate(part(1, optimizer))
    assert isinstance(got, float)
    assert got == rate


def test_given_rates_and_warm_up() -> None:
    segment = part(1, AdagradOptimizer(0.05, warmup_steps=100))
    warm = default_learning_rate(segment)
    assert isinstance(warm, PolynomialDecay)
    assert (warm(0), warm(100)) == (0, np.float32(0.05))
    assert str(warm) == str(PolynomialDecay(0.0, decay_steps=100, end_learning_rate=0.05000000074505806))
    assert default_learning_rate(segment, 0.1) == 0.1
    assert default_learning_rate(segment, 0.0) == 0.0
    assert isinstance(default_learning_rate(segment, 0.0, quirks="original"), PolynomialDecay)
    assert default_learning_rate(segment, 0.1, quirks="original") == 0.1

    def own() -> float:
        return 0.3

    assert default_learning_rate(segment, own) is own


def test_rules_without_a_rate() -> None:
    segment = part(1)
    segment.opt_config.dc.lambda_ = 0.1
    with pytest.raises(ConfigError, match="dc has no learning rate"):
        default_learning_rate(segment)
    segment.ClearField("opt_config")
    with pytest.raises(ConfigError):
        default_learning_rate(segment)
    with pytest.raises(ConfigError):
        merge_tables({})


def test_dims_of_messages() -> None:
    assert infer_dim_size(message(part(3), part(4))) == 7
    assert infer_dim_size(EmbeddingHashTableConfig()) == 0
