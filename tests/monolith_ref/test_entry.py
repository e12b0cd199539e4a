"""Configuration classes: golden bytes, and every line of entry.md 7 that they can raise."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from monolith_protos.hash_table_pb2 import EmbeddingHashTableConfig
from monolith_protos.initializer_pb2 import InitializerConfig

from monolith_ref import entry
from monolith_ref.errors import ConfigError
from monolith_ref.learning_rate import PolynomialDecay

GOLDEN = [
    (entry.SgdOptimizer(), "1200"),
    (entry.SgdOptimizer(0.01), "1205150ad7233c"),
    (entry.AdagradOptimizer(), "0a0920012d000000003000"),
    (entry.AdagradOptimizer(0.05, 0.1, 10, 1000, 0.001), "0a1415cdcc4c3d1dcdcccc3d200a2d6f12833a30e807"),
    (entry.AdamOptimizer(), "3a1a1d6666663f25a4707d3f280035000000003800450ad7233c4800"),
    (entry.MomentumOptimizer(), "4a0e1d0000000020002d6666663f3000"),
    (entry.MovingAverageOptimizer(), "5205156666663f"),
    (entry.BatchSoftmaxOptimizer(), "7a00"),
    (entry.FtrlOptimizer(initial_accumulator_value=1e-6, beta=1.0), "1a0c1d0000803f25bd3786353800"),
    (entry.AdaGradWithGroupLassoOptimizer(), "82010735000000003800"),
    (entry.DynamicWdAdagradOptimizer(), "2a1420012d000000003000380140014d0000803f5001"),
    (
        entry.StochasticRoundingFloat16OptimizerWrapper(entry.AdagradOptimizer(0.1)),
        "0a0e15cdcccc3d20012d0000000030002001",
    ),
    (entry.RandomUniformInitializer(-0.05, 0.05), "120a15cdcc4cbd1dcdcc4c3d"),
    (entry.OneBitCompressor(), "220810c8012dcdcc4c3d"),
    (entry.FixedR8Compressor(), "1a05150000803f"),
]


@pytest.mark.parametrize(("part", "expected"), GOLDEN, ids=lambda value: str(value)[:40])
def test_golden_bytes(part: Any, expected: str) -> None:
    assert part.as_proto().SerializeToString().hex() == expected


def test_wrapping_twice_changes_nothing() -> None:
    wrapper = entry.StochasticRoundingFloat16OptimizerWrapper
    once = wrapper(entry.AdamOptimizer())
    assert wrapper(once).as_proto() == once.as_proto()
    assert once.as_proto().SerializeToString().hex().startswith("20013a")


def segment(dim: Any = 4, initializer: Any = None, optimizer: Any = None, compressor: Any = None) -> Any:
    return entry.CombineAsSegment(
        dim,
        entry.ZerosInitializer() if initializer is None else initializer,
        entry.SgdOptimizer() if optimizer is None else optimizer,
        entry.Fp32Compressor() if compressor is None else compressor,
    )


def table(capacity: int = 1, hours: int = 0) -> EmbeddingHashTableConfig:
    message = EmbeddingHashTableConfig()
    message.entry_config.segments.append(segment())
    entry.CuckooHashTableConfig(capacity, hours).mutate_table(message)
    return message


def test_tables() -> None:
    assert table().SerializeToString().hex() == "0a100a0e0a020a00120212001a020a00380410012a00"
    assert table(1024, 24).SerializeToString().hex() == "0a100a0e0a020a00120212001a020a0038041080082a0038014018"
    assert not table(1, -3).HasField("enable_feature_eviction")
    ready = InitializerConfig()
    ready.ones.SetInParent()
    assert segment(initializer=ready).init_config.WhichOneof("type") == "ones"


def test_identity_and_rates() -> None:
    instance = entry.HashTableConfigInstance(table(), [PolynomialDecay(0.0, 10, 0.1)], ["old"])
    assert str(instance).endswith("initial_learning_rate=0.0,name=None,power=1.0)]")
    assert instance.call_learning_rate_fns(5).tolist() == [np.float32(0.05)]
    assert instance.call_learning_rate_fns_fewer_ops(10) == [np.float32(0.1)]
    assert instance.extra_restore_names == ["old"]
    one, real = (entry.HashTableConfigInstance(table(), [rate]) for rate in (1, 1.0))
    assert str(one) != str(real)


BAD: list[tuple[str, Any]] = [
    ("str for a number", lambda: entry.SgdOptimizer("0.1")),  # type: ignore[arg-type]
    ("float for an int", lambda: entry.AdagradOptimizer(warmup_steps=2.0)),  # type: ignore[arg-type]
    ("float for a bool", lambda: entry.AdamOptimizer(use_nesterov=1.0)),  # type: ignore[arg-type]
    ("None for dim_size", lambda: segment(dim=None)),
    ("None for step_size", lambda: entry.OneBitCompressor(step_size=None)),  # type: ignore[arg-type]
    ("part None", lambda: entry.CombineAsSegment(4, None, entry.SgdOptimizer(), entry.Fp32Compressor())),  # type: ignore[arg-type]
    ("parts swapped", lambda: segment(initializer=entry.SgdOptimizer(), optimizer=entry.ZerosInitializer())),
    ("part of a wrong type", lambda: segment(compressor="fp32")),
    ("int64 overflow", lambda: entry.AdagradOptimizer(warmup_steps=1 << 63)),
    ("int32 overflow", lambda: entry.AdagradOptimizer(hessian_compression_times=1 << 31)),
    ("dim int32 overflow", lambda: segment(dim=1 << 31)),
    ("negative unsigned", lambda: entry.CuckooHashTableConfig(-1)),
    ("nan", lambda: entry.SgdOptimizer(float("nan"))),
    ("inf", lambda: entry.SgdOptimizer(float("inf"))),
    ("beyond float32", lambda: entry.SgdOptimizer(1e39)),
    ("int beyond float32", lambda: entry.SgdOptimizer(10**400)),
    ("bool for a float", lambda: entry.SgdOptimizer(True)),
    ("bool for an int", lambda: entry.AdagradOptimizer(warmup_steps=True)),
    ("2 for a bool", lambda: entry.AdamOptimizer(use_nesterov=2)),  # type: ignore[arg-type]
    ("negative epsilon", lambda: entry.AdamOptimizer(epsilon=-1e-9)),
    ("negative warmup_steps", lambda: entry.FtrlOptimizer(warmup_steps=-1)),
    ("capacity 0", lambda: entry.CuckooHashTableConfig(0)),
    ("minval > maxval", lambda: entry.RandomUniformInitializer(0.1, -0.1)),
    ("minval > default maxval", lambda: entry.RandomUniformInitializer(0.1)),
    ("fixed_range 0", lambda: entry.FixedR8Compressor(0.0)),
    ("step_size 0", lambda: entry.OneBitCompressor(0)),
    ("dim_size 0", lambda: segment(dim=0)),
    ("dim_size negative", lambda: segment(dim=-1)),
    ("dim_size bool", lambda: segment(dim=True)),
    ("interval below 1", lambda: entry.BatchSoftmaxInitializer(0.5)),
    ("interval nan", lambda: entry.BatchSoftmaxInitializer(float("nan"))),
    ("interval None", lambda: entry.BatchSoftmaxInitializer(None)),  # type: ignore[arg-type]
    ("wrapper of no optimizer", lambda: entry.StochasticRoundingFloat16OptimizerWrapper(3)),  # type: ignore[arg-type]
    ("no rates", lambda: entry.HashTableConfigInstance(table(), [])),
    ("number of rates", lambda: entry.HashTableConfigInstance(table(), [0.1, 0.2])),
    ("rate of a wrong type", lambda: entry.HashTableConfigInstance(table(), ["0.1"])),
    ("rates no list", lambda: entry.HashTableConfigInstance(table(), 0.1)),  # type: ignore[arg-type]
    ("config no message", lambda: entry.HashTableConfigInstance(b"", [0.1])),  # type: ignore[arg-type]
    ("names no list", lambda: entry.HashTableConfigInstance(table(), [0.1], "old")),
]


@pytest.mark.parametrize(("line", "build"), BAD, ids=[line for line, _ in BAD])
def test_bad_values_are_config_errors_when_built(line: str, build: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        build()
    assert isinstance(caught.value, ValueError)
    assert "must be" in str(caught.value)
    assert "got" in str(caught.value)


def test_accepted_values() -> None:
    assert entry.SgdOptimizer(-0.1).learning_rate == -0.1
    assert entry.AdamOptimizer(use_nesterov=1).use_nesterov is True  # type: ignore[arg-type]
    assert entry.AdagradOptimizer(np.float32(0.5), warmup_steps=np.int64(3)).as_proto().adagrad.warmup_steps == 3  # type: ignore[arg-type]
    assert entry.SgdOptimizer(1).as_proto().sgd.learning_rate == 1.0
    assert segment(dim=np.int32(3)).dim_size == 3
    assert entry.ConstantsInitializer(None).as_proto().SerializeToString().hex() == "7a00"


def test_wrong_signatures_and_bases_are_type_errors() -> None:
    for call in (
        lambda: entry.SgdOptimizer(rate=1.0),  # type: ignore[call-arg]
        lambda: entry.SgdOptimizer(1.0, 2.0),  # type: ignore[call-arg]
        lambda: entry.ConstantsInitializer(),  # type: ignore[call-arg]
        lambda: entry.Optimizer(),  # type: ignore[abstract]
        lambda: entry.Initializer(),  # type: ignore[abstract]
        lambda: entry.Compressor(),  # type: ignore[abstract]
        lambda: entry.HashTableConfig(),  # type: ignore[abstract]
    ):
        with pytest.raises(TypeError):
            call()


def test_objects_are_frozen() -> None:
    optimizer = entry.SgdOptimizer()
    for name in ("learning_rate", "no_such_field"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(optimizer, name, 1.0)
    assert issubclass(dataclasses.FrozenInstanceError, AttributeError)
