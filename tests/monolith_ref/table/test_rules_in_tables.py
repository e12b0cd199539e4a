"""Every rule, initializer and compressor inside a table, in random operations, against the dictionary."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from monolith_conformance.oracle.table import Row
from monolith_conformance.vectors.table_legs import TableLeg, table_leg

from monolith_ref import entry
from monolith_ref.quirks import Quirks

from .machine import bits
from .support import DAY, message, part

RULES: dict[str, Any] = {
    "sgd": entry.SgdOptimizer(),
    "adagrad": entry.AdagradOptimizer(weight_decay_factor=0.01),
    "adadelta": entry.AdadeltaOptimizer(weight_decay_factor=0.01),
    "adam": entry.AdamOptimizer(use_nesterov=True, weight_decay_factor=0.01),
    "amsgrad": entry.AmsgradOptimizer(),
    "batch_softmax": entry.BatchSoftmaxOptimizer(),
    "momentum": entry.MomentumOptimizer(use_nesterov=True),
    "moving_average": entry.MovingAverageOptimizer(),
    "rmsprop": entry.RmspropOptimizer(weight_decay_factor=0.01),
    "rmspropv2": entry.RmspropV2Optimizer(),
    "ftrl": entry.FtrlOptimizer(beta=1.0, l1_regularization=0.1, l2_regularization=0.01),
    "group_adagrad": entry.AdaGradWithGroupLassoOptimizer(beta=1.0, l2_regularization=0.05),
    "group_ftrl": entry.FTRLWithGroupSparsityOptimizer(l1_regularization=0.05),
    "dynamic_wd_adagrad": entry.DynamicWdAdagradOptimizer(weight_decay_factor=0.01),
}
STARTS = [
    entry.ZerosInitializer(),
    entry.ConstantsInitializer(0.25),
    entry.RandomUniformInitializer(-1.0, 1.0),
]
PACKINGS = [
    entry.Fp32Compressor(),
    entry.Fp16Compressor(),
    entry.FixedR8Compressor(2.0),
    entry.OneBitCompressor(3),
]
POOL = [0, -1, 1 << 48, (1 << 48) | 5, 2 << 48, 77, 2**63 - 1, -(2**63)]


def run(leg: TableLeg, seed: int, rates: int) -> list[Any]:
    """Sixty random operations and everything that they return."""
    rng = np.random.default_rng(seed)
    heard: list[Any] = []
    for step in range(60):
        ids = [POOL[k] for k in rng.integers(0, len(POOL), rng.integers(0, 6))]
        values = (rng.standard_normal((len(ids), leg.dim)) * 2.0 ** rng.integers(-3, 3)).astype(np.float32)
        time = int(rng.integers(0, 5)) * DAY + step
        kind = rng.choice(["optimize"] * 5 + ["assign", "assign_add", "reinitialize", "evict", "restore", "lookup"])
        if kind == "optimize":
            leg.optimize(ids, values, np.full(rates, 0.1, np.float32), time, step)
        elif kind == "reinitialize":
            heard.append(leg.reinitialize(ids, time))
        elif kind == "evict":
            heard.append(leg.evict(time))
        elif kind == "restore":
            heard.append(leg.restore(leg.dump()))
        elif kind == "lookup":
            found, rows = leg.lookup(ids)
            heard.append((found, bits(rows)))
        else:
            getattr(leg, kind)(ids, values, time)
    heard.append([described(row) for row in leg.dump()])
    found, rows = leg.lookup(POOL)
    return [*heard, found, bits(rows)]


def described(row: Row) -> Any:
    state = [
        {name: int(value) if name == "global_step" else bits(value) for name, value in segment.items()}
        for segment in row.opt
    ]
    return row.id, bits(row.num), state, row.ts


@pytest.mark.parametrize("profile", ["ieee", "avx"])
@pytest.mark.parametrize("rule", RULES)
def test_engine_and_dictionary_agree(rule: str, profile: str) -> None:
    number = list(RULES).index(rule)
    dim = 1 if rule == "batch_softmax" else 11
    optimizer = RULES[rule]
    second = RULES["sgd"] if number % 2 else entry.StochasticRoundingFloat16OptimizerWrapper(RULES["adagrad"])
    config = message(
        part(dim, optimizer, STARTS[number % 3], PACKINGS[number % 4]),
        part(3, second, STARTS[(number + 1) % 3], PACKINGS[(number + 2) % 4]),
        days={1: 1, 2: 0},
        default_days=3,
    )
    quirks = Quirks().plus("unbuilt_rules") if number % 3 else Quirks.parse("clean +unbuilt_rules")
    engine, oracle = (run(table_leg(config, leg, profile, quirks), number, 2) for leg in ("cpu", "oracle"))
    assert engine == oracle
