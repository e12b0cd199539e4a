"""Configuration classes of table entries, and the messages they become. Rule: entry 1.

Each optimizer, initializer and compressor has ``as_proto()``. One rule fills every message: the member of the oneof is
made present, then every argument that is not None is set, equal to the proto default or not. Objects are frozen, and a
value that could not be meant is refused when the object is built: ConfigError, naming class, argument, value and what
was expected. Argument order differs between classes, as in the original.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import numpy as np
from monolith_protos.compressor_pb2 import FloatCompressorConfig
from monolith_protos.hash_table_pb2 import EmbeddingHashTableConfig, EntryConfig
from monolith_protos.initializer_pb2 import InitializerConfig
from monolith_protos.optimizer_pb2 import OptimizerConfig
from numpy.typing import NDArray

from monolith_ref.errors import ConfigError
from monolith_ref.learning_rate import LrProfile, rate_value, rate_vector

__all__ = [
    "AdaGradWithGroupLassoOptimizer",
    "AdadeltaOptimizer",
    "AdagradOptimizer",
    "AdamOptimizer",
    "AmsgradOptimizer",
    "BatchSoftmaxInitializer",
    "BatchSoftmaxOptimizer",
    "CombineAsSegment",
    "Compressor",
    "ConstantsInitializer",
    "CuckooHashTableConfig",
    "DynamicWdAdagradOptimizer",
    "FTRLWithGroupSparsityOptimizer",
    "FixedR8Compressor",
    "Fp16Compressor",
    "Fp32Compressor",
    "FtrlOptimizer",
    "HashTableConfig",
    "HashTableConfigInstance",
    "Initializer",
    "MomentumOptimizer",
    "MovingAverageOptimizer",
    "OneBitCompressor",
    "Optimizer",
    "RandomUniformInitializer",
    "RmspropOptimizer",
    "RmspropV2Optimizer",
    "SgdOptimizer",
    "StochasticRoundingFloat16OptimizerWrapper",
    "ZerosInitializer",
]

Kind = Literal["float", "int32", "int64", "uint64", "bool"]
_INT_RANGES = {"int32": (-(1 << 31), (1 << 31) - 1), "int64": (-(1 << 63), (1 << 63) - 1), "uint64": (0, (1 << 64) - 1)}
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def _refuse(owner: str, argument: str, value: object, expected: str) -> ConfigError:
    return ConfigError(f"{owner}: {argument} must be {expected}, got {value!r}")


def checked_number(owner: str, argument: str, value: Any, kind: Kind) -> float | int | bool:
    """``value`` as the Python number that a field of ``kind`` takes; ConfigError for anything else.

    NumPy scalars count as numbers. Bools are no numbers, 0 and 1 are bools, floats are no ints, and a float has to be
    finite as float32.
    """
    is_bool = isinstance(value, (bool, np.bool_))
    is_int = isinstance(value, (int, np.integer)) and not is_bool
    if kind == "bool":
        if is_bool or (is_int and value in (0, 1)):
            return bool(value)
        raise _refuse(owner, argument, value, "a bool (or 0 or 1)")
    if kind == "float":
        if not is_int and not isinstance(value, (float, np.floating)):
            raise _refuse(owner, argument, value, "a finite float32 number")
        if is_int:
            representable = abs(int(value)) <= _FLOAT32_MAX
        else:
            with np.errstate(over="ignore"):
                representable = math.isfinite(np.float32(value))
        if not representable:
            raise _refuse(owner, argument, value, "a finite float32 number")
        return float(value)
    low, high = _INT_RANGES[kind]
    if not is_int or not low <= int(value) <= high:
        raise _refuse(owner, argument, value, f"an integer in {low}..{high}")
    return int(value)


_FLOAT_FIELDS = frozenset(
    "learning_rate initial_accumulator_value weight_decay_factor averaging_ratio epsilon beta beta1 beta2 momentum "
    "l1_regularization l2_regularization dynamic_wd_temperature constant minval maxval init_step_interval "
    "fixed_range amplitude".split()
)
_INT_FIELDS: Mapping[str, Kind] = {"hessian_compression_times": "int32", "warmup_steps": "int64", "step_size": "int64"}
_BOUNDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "epsilon": (lambda v: v >= 0, "at least 0"),
    "warmup_steps": (lambda v: v >= 0, "at least 0"),
    "fixed_range": (lambda v: v > 0, "greater than 0"),
    "step_size": (lambda v: v > 0, "greater than 0"),
    "init_step_interval": (lambda v: v >= 1, "at least 1"),
}
_FIELD_NAMES: Mapping[str, str] = {
    "l1_regularization": "l1_regularization_strength",
    "l2_regularization": "l2_regularization_strength",
    "init_step_interval": "constant",
    "fixed_range": "r",
}


class _Part(abc.ABC):
    """What optimizers, initializers and compressors share: checked arguments and one way to fill a message."""

    __slots__ = ()
    member: ClassVar[str]
    required: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        owner = type(self).__name__
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if value is None:
                if field.name in self.required:
                    raise _refuse(owner, field.name, value, "given")
                continue
            kind = _INT_FIELDS.get(field.name, "float" if field.name in _FLOAT_FIELDS else "bool")
            number = checked_number(owner, field.name, value, kind)
            bound = _BOUNDS.get(field.name)
            if bound and not bound[0](number):
                raise _refuse(owner, field.name, value, bound[1])
            object.__setattr__(self, field.name, number)

    def _fill(self, message: Any) -> None:
        inner = getattr(message, self.member)
        inner.SetInParent()
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if value is not None:
                setattr(inner, _FIELD_NAMES.get(field.name, field.name), value)


class Optimizer(_Part):
    """Base of optimizer configurations."""

    __slots__ = ()

    @abc.abstractmethod
    def as_proto(self) -> OptimizerConfig:
        """The ``OptimizerConfig`` message."""


class _Rule(Optimizer):
    __slots__ = ()

    def as_proto(self) -> OptimizerConfig:
        message = OptimizerConfig()
        self._fill(message)
        return message


@dataclass(frozen=True, slots=True)
class SgdOptimizer(_Rule):
    """Plain gradient descent."""

    member = "sgd"
    learning_rate: float | None = None


@dataclass(frozen=True, slots=True)
class AdagradOptimizer(_Rule):
    """Adagrad with an accumulator per element."""

    member = "adagrad"
    learning_rate: float | None = None
    initial_accumulator_value: float | None = None
    hessian_compression_times: int | None = 1
    warmup_steps: int | None = 0
    weight_decay_factor: float | None = 0.0


@dataclass(frozen=True, slots=True)
class AdadeltaOptimizer(_Rule):
    """Adadelta."""

    member = "adadelta"
    learning_rate: float | None = None
    weight_decay_factor: float | None = 0.0
    averaging_ratio: float | None = 0.9
    epsilon: float | None = 0.01
    warmup_steps: int | None = 0


@dataclass(frozen=True, slots=True)
class AdamOptimizer(_Rule):
    """Adam; each row has its own beta powers."""

    member = "adam"
    learning_rate: float | None = None
    beta1: float | None = 0.9
    beta2: float | None = 0.99
    use_beta1_warmup: bool | None = False
    weight_decay_factor: float | None = 0.0
    use_nesterov: bool | None = False
    epsilon: float | None = 0.01
    warmup_steps: int | None = 0


@dataclass(frozen=True, slots=True)
class AmsgradOptimizer(_Rule):
    """AMSGrad."""

    member = "amsgrad"
    learning_rate: float | None = None
    beta1: float | None = 0.9
    beta2: float | None = 0.99
    weight_decay_factor: float | None = 0.0
    use_nesterov: bool | None = False
    epsilon: float | None = 0.01
    warmup_steps: int | None = 0


@dataclass(frozen=True, slots=True)
class BatchSoftmaxOptimizer(_Rule):
    """Estimates the interval between two updates of a row (dim 1)."""

    member = "batch_softmax"
    learning_rate: float | None = None


@dataclass(frozen=True, slots=True)
class MomentumOptimizer(_Rule):
    """Momentum, plain or Nesterov's."""

    member = "momentum"
    learning_rate: float | None = None
    weight_decay_factor: float | None = 0.0
    use_nesterov: bool | None = False
    momentum: float | None = 0.9
    warmup_steps: int | None = 0


@dataclass(frozen=True, slots=True)
class MovingAverageOptimizer(_Rule):
    """An exponential average of the gradients; has no learning rate."""

    member = "moving_average"
    momentum: float | None = 0.9


@dataclass(frozen=True, slots=True)
class RmspropOptimizer(_Rule):
    """RMSProp; uses the configured learning rate, not that of the call."""

    member = "rmsprop"
    learning_rate: float | None = None
    weight_decay_factor: float | None = 0.0
    momentum: float | None = 0.9


@dataclass(frozen=True, slots=True)
class RmspropV2Optimizer(_Rule):
    """RMSProp, second form; uses the learning rate of the call."""

    member = "rmspropv2"
    learning_rate: float | None = None
    weight_decay_factor: float | None = 0.0
    momentum: float | None = 0.9


@dataclass(frozen=True, slots=True)
class FtrlOptimizer(_Rule):
    """FTRL-proximal."""

    member = "ftrl"
    learning_rate: float | None = None
    initial_accumulator_value: float | None = None
    beta: float | None = None
    warmup_steps: int | None = 0
    l1_regularization: float | None = None
    l2_regularization: float | None = None


@dataclass(frozen=True, slots=True)
class FTRLWithGroupSparsityOptimizer(_Rule):
    """FTRL that zeroes whole rows; a table takes it only under ``unbuilt_rules``."""

    member = "group_ftrl"
    learning_rate: float | None = None
    initial_accumulator_value: float | None = None
    beta: float | None = None
    warmup_steps: int | None = 0
    l1_regularization: float | None = None
    l2_regularization: float | None = None


@dataclass(frozen=True, slots=True)
class AdaGradWithGroupLassoOptimizer(_Rule):
    """Adagrad with one accumulator per row and group lasso."""

    member = "group_adagrad"
    learning_rate: float | None = None
    beta: float | None = None
    initial_accumulator_value: float | None = None
    l2_regularization: float | None = None
    weight_decay_factor: float | None = 0.0
    warmup_steps: int | None = 0


@dataclass(frozen=True, slots=True)
class DynamicWdAdagradOptimizer(_Rule):
    """Adagrad with decoupled weight decay; a table takes it only under ``unbuilt_rules``."""

    member = "dynamic_wd_adagrad"
    learning_rate: float | None = None
    initial_accumulator_value: float | None = None
    hessian_compression_times: int | None = 1
    warmup_steps: int | None = 0
    weight_decay_factor: float | None = 0.0
    decouple_weight_decay: bool | None = True
    enable_dynamic_wd: bool | None = True
    flip_direction: bool | None = True
    dynamic_wd_temperature: float | None = 1.0


@dataclass(frozen=True, slots=True)
class StochasticRoundingFloat16OptimizerWrapper(Optimizer):
    """Another optimizer whose rows are rounded to halves at random; wrapping twice changes nothing."""

    optimizer: Optimizer

    def __post_init__(self) -> None:
        if not isinstance(self.optimizer, Optimizer):
            raise _refuse(type(self).__name__, "optimizer", self.optimizer, "an Optimizer")

    def as_proto(self) -> OptimizerConfig:
        message = self.optimizer.as_proto()
        message.stochastic_rounding_float16 = True
        return message


class Initializer(_Part):
    """Base of initializer configurations."""

    __slots__ = ()

    @abc.abstractmethod
    def as_proto(self) -> InitializerConfig:
        """The ``InitializerConfig`` message."""


class _Start(Initializer):
    __slots__ = ()

    def as_proto(self) -> InitializerConfig:
        message = InitializerConfig()
        self._fill(message)
        return message


@dataclass(frozen=True, slots=True)
class ZerosInitializer(_Start):
    """New rows are +0."""

    member = "zeros"


@dataclass(frozen=True, slots=True)
class ConstantsInitializer(_Start):
    """New rows hold one constant (None: the proto default, 0)."""

    member = "constants"
    constant: float | None


@dataclass(frozen=True, slots=True)
class RandomUniformInitializer(_Start):
    """New rows are uniform in [minval, maxval), -0.05 and 0.05 where not given."""

    member = "random_uniform"
    minval: float | None = None
    maxval: float | None = None

    def __post_init__(self) -> None:
        _Part.__post_init__(self)
        low = -0.05 if self.minval is None else self.minval
        high = 0.05 if self.maxval is None else self.maxval
        if low > high:
            raise _refuse("RandomUniformInitializer", "minval", low, f"at most maxval ({high!r})")


@dataclass(frozen=True, slots=True)
class BatchSoftmaxInitializer(_Start):
    """New rows hold the expected interval between updates, at least 1; a ``constants`` message."""

    member = "constants"
    required = frozenset({"init_step_interval"})
    init_step_interval: float


class Compressor(_Part):
    """Base of compressor configurations."""

    __slots__ = ()

    @abc.abstractmethod
    def as_proto(self) -> FloatCompressorConfig:
        """The ``FloatCompressorConfig`` message."""


class _Packing(Compressor):
    __slots__ = ()

    def as_proto(self) -> FloatCompressorConfig:
        message = FloatCompressorConfig()
        self._fill(message)
        return message


@dataclass(frozen=True, slots=True)
class Fp32Compressor(_Packing):
    """Four bytes a float: kept as they are."""

    member = "fp32"


@dataclass(frozen=True, slots=True)
class Fp16Compressor(_Packing):
    """Two bytes a float: IEEE halves."""

    member = "fp16"


@dataclass(frozen=True, slots=True)
class FixedR8Compressor(_Packing):
    """One byte a float: 256 steps over (-fixed_range, fixed_range)."""

    member = "fixed_r8"
    fixed_range: float | None = 1.0


@dataclass(frozen=True, slots=True)
class OneBitCompressor(_Packing):
    """One sign a float, times ``amplitude``."""

    member = "one_bit"
    required = frozenset({"step_size"})
    step_size: int = 200
    amplitude: float | None = 0.05


def _part_message(argument: str, value: Any, wrapper: type[_Part], message: type[Any]) -> Any:
    if isinstance(value, wrapper):
        return value.as_proto()  # type: ignore[attr-defined]
    if isinstance(value, message):
        return value
    raise _refuse("CombineAsSegment", argument, value, f"a {wrapper.__name__} or a {message.DESCRIPTOR.name}")


def CombineAsSegment(  # noqa: N802 - the name that users know
    dim_size: int,
    initializer: Initializer | InitializerConfig,
    optimizer: Optimizer | OptimizerConfig,
    compressor: Compressor | FloatCompressorConfig,
) -> EntryConfig.Segment:
    """One segment of a row: ``dim_size`` floats with their initializer, optimizer and compressor.

    Parts are configuration objects or ready messages (copied). Raises ConfigError for a missing, swapped or foreign
    part and for ``dim_size < 1``.
    """
    dim = checked_number("CombineAsSegment", "dim_size", dim_size, "int32")
    if dim < 1:
        raise _refuse("CombineAsSegment", "dim_size", dim_size, "at least 1")
    segment = EntryConfig.Segment(dim_size=int(dim))
    segment.init_config.CopyFrom(_part_message("initializer", initializer, Initializer, InitializerConfig))
    segment.opt_config.CopyFrom(_part_message("optimizer", optimizer, Optimizer, OptimizerConfig))
    segment.comp_config.CopyFrom(_part_message("compressor", compressor, Compressor, FloatCompressorConfig))
    return segment


class HashTableConfig(abc.ABC):
    """Base of table kinds."""

    __slots__ = ()

    @abc.abstractmethod
    def mutate_table(self, table_config: EmbeddingHashTableConfig) -> None:
        """Write this kind into a table's message."""


@dataclass(frozen=True, slots=True)
class CuckooHashTableConfig(HashTableConfig):
    """The one kind of table: initial capacity (at least 1) and eviction every so many hours (0 or less: never)."""

    initial_capacity: int = 1
    feature_evict_every_n_hours: int = 0

    def __post_init__(self) -> None:
        owner = type(self).__name__
        capacity = checked_number(owner, "initial_capacity", self.initial_capacity, "uint64")
        if capacity < 1:
            raise _refuse(owner, "initial_capacity", self.initial_capacity, "at least 1")
        hours = checked_number(owner, "feature_evict_every_n_hours", self.feature_evict_every_n_hours, "int32")
        object.__setattr__(self, "initial_capacity", capacity)
        object.__setattr__(self, "feature_evict_every_n_hours", hours)

    def mutate_table(self, table_config: EmbeddingHashTableConfig) -> None:
        table_config.initial_capacity = self.initial_capacity
        table_config.cuckoo.SetInParent()
        if self.feature_evict_every_n_hours > 0:
            table_config.enable_feature_eviction = True
            table_config.feature_evict_every_n_hours = self.feature_evict_every_n_hours


class HashTableConfigInstance:
    """A table's message (kept by reference), the learning rate of each segment, and extra names to restore from.

    ``str()`` is the identity by which tables merge. Raises ConfigError unless there is one rate (a number or a callable)
    for each segment, at least one.
    """

    def __init__(
        self,
        table_config: EmbeddingHashTableConfig,
        learning_rate_fns: Sequence[Any],
        extra_restore_names: Sequence[str] | None = None,
    ) -> None:
        owner = type(self).__name__
        if not isinstance(table_config, EmbeddingHashTableConfig):
            raise _refuse(owner, "table_config", table_config, "an EmbeddingHashTableConfig")
        if isinstance(learning_rate_fns, str) or not isinstance(learning_rate_fns, Sequence):
            raise _refuse(owner, "learning_rate_fns", learning_rate_fns, "a list of numbers or callables")
        segments = len(table_config.entry_config.segments)
        if not learning_rate_fns or len(learning_rate_fns) != segments:
            expected = f"one rate for each of the {segments} segments, and at least one"
            raise _refuse(owner, "learning_rate_fns", list(learning_rate_fns), expected)
        for rate in learning_rate_fns:
            if not callable(rate):
                checked_number(owner, "learning_rate_fns", rate, "float")
        names = list(extra_restore_names or [])
        if isinstance(extra_restore_names, str) or not all(isinstance(name, str) for name in names):
            raise _refuse(owner, "extra_restore_names", extra_restore_names, "a list of strings")
        self._table_config = table_config
        self._learning_rate_fns = list(learning_rate_fns)
        self._extra_restore_names = names

    @property
    def table_config(self) -> EmbeddingHashTableConfig:
        """The table's message, not a copy."""
        return self._table_config

    @property
    def learning_rate_fns(self) -> list[Any]:
        """One number or callable per segment."""
        return self._learning_rate_fns

    @property
    def extra_restore_names(self) -> list[str]:
        """Further names under which a checkpoint may hold this table."""
        return self._extra_restore_names

    def call_learning_rate_fns(self, global_step: int = 0, profile: LrProfile = "plain") -> NDArray[np.float32]:
        """The rates at ``global_step``, float32 ``[segments]``."""
        return rate_vector(self._learning_rate_fns, global_step, profile)

    def call_learning_rate_fns_fewer_ops(self, global_step: int = 0, profile: LrProfile = "plain") -> list[np.float32]:
        """The same rates as a list."""
        return [rate_value(rate, global_step, profile) for rate in self._learning_rate_fns]

    def __str__(self) -> str:
        rates = ", ".join(str(rate) for rate in self._learning_rate_fns)
        return f"TableConfigPB: {self._table_config.SerializeToString()!r}, LearningRateFns: [{rates}]"
