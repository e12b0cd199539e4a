"""Optimizers, initializers and compressors as frozen, checked objects. Rule: entry 1.1, 1.2.

Each optimizer, initializer and compressor has ``as_proto()``. One rule fills every message: the member of the oneof is
made present, then every argument that is not None is set, equal to the proto default or not. Objects are frozen, and a
value that could not be meant is refused when the object is built: ConfigError, naming class, argument, value and what
was expected. Argument order differs between classes, as in the original.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from monolith_protos.compressor_pb2 import FloatCompressorConfig
from monolith_protos.initializer_pb2 import InitializerConfig
from monolith_protos.optimizer_pb2 import OptimizerConfig

from monolith_ref.entry_checks import Kind, checked_number, refused

__all__ = [
    "AdaGradWithGroupLassoOptimizer",
    "AdadeltaOptimizer",
    "AdagradOptimizer",
    "AdamOptimizer",
    "AmsgradOptimizer",
    "BatchSoftmaxInitializer",
    "BatchSoftmaxOptimizer",
    "Compressor",
    "ConstantsInitializer",
    "DynamicWdAdagradOptimizer",
    "FTRLWithGroupSparsityOptimizer",
    "FixedR8Compressor",
    "Fp16Compressor",
    "Fp32Compressor",
    "FtrlOptimizer",
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

_FLOAT_FIELDS = frozenset(
    [
        *("learning_rate", "initial_accumulator_value", "weight_decay_factor", "averaging_ratio", "epsilon"),
        *("beta", "beta1", "beta2", "momentum", "l1_regularization", "l2_regularization"),
        *("dynamic_wd_temperature", "constant", "minval", "maxval", "init_step_interval"),
        *("fixed_range", "amplitude"),
    ]
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


class _Part:
    """What optimizers, initializers and compressors share: checked arguments and one way to fill a message."""

    member: ClassVar[str]

    required: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        owner = type(self).__name__
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if value is None:
                if field.name in self.required:
                    raise refused(owner, field.name, value, "given")
                continue
            kind = _INT_FIELDS.get(field.name, "float" if field.name in _FLOAT_FIELDS else "bool")
            number = checked_number(owner, field.name, value, kind)
            bound = _BOUNDS.get(field.name)
            if bound and not bound[0](number):
                raise refused(owner, field.name, value, bound[1])
            object.__setattr__(self, field.name, number)

    def _fill(self, message: Any) -> None:
        inner = getattr(message, self.member)
        inner.SetInParent()
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if value is not None:
                setattr(inner, _FIELD_NAMES.get(field.name, field.name), value)


class Optimizer(_Part, abc.ABC):
    """Base of optimizer configurations."""

    @abc.abstractmethod
    def as_proto(self) -> OptimizerConfig:
        """The ``OptimizerConfig`` message."""


class _Rule(Optimizer):
    def as_proto(self) -> OptimizerConfig:
        message = OptimizerConfig()
        self._fill(message)
        return message


@dataclass(frozen=True)
class SgdOptimizer(_Rule):
    """Plain gradient descent."""

    member = "sgd"
    learning_rate: float | None = None


@dataclass(frozen=True)
class AdagradOptimizer(_Rule):
    """Adagrad with an accumulator per element."""

    member = "adagrad"
    learning_rate: float | None = None
    initial_accumulator_value: float | None = None
    hessian_compression_times: int | None = 1
    warmup_steps: int | None = 0
    weight_decay_factor: float | None = 0.0


@dataclass(frozen=True)
class AdadeltaOptimizer(_Rule):
    """Adadelta."""

    member = "adadelta"
    learning_rate: float | None = None
    weight_decay_factor: float | None = 0.0
    averaging_ratio: float | None = 0.9
    epsilon: float | None = 0.01
    warmup_steps: int | None = 0


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class BatchSoftmaxOptimizer(_Rule):
    """Estimates the interval between two updates of a row (dim 1)."""

    member = "batch_softmax"
    learning_rate: float | None = None


@dataclass(frozen=True)
class MomentumOptimizer(_Rule):
    """Momentum, plain or Nesterov's."""

    member = "momentum"
    learning_rate: float | None = None
    weight_decay_factor: float | None = 0.0
    use_nesterov: bool | None = False
    momentum: float | None = 0.9
    warmup_steps: int | None = 0


@dataclass(frozen=True)
class MovingAverageOptimizer(_Rule):
    """An exponential average of the gradients; has no learning rate."""

    member = "moving_average"
    momentum: float | None = 0.9


@dataclass(frozen=True)
class RmspropOptimizer(_Rule):
    """RMSProp; uses the configured learning rate, not that of the call."""

    member = "rmsprop"
    learning_rate: float | None = None
    weight_decay_factor: float | None = 0.0
    momentum: float | None = 0.9


@dataclass(frozen=True)
class RmspropV2Optimizer(_Rule):
    """RMSProp, second form; uses the learning rate of the call."""

    member = "rmspropv2"
    learning_rate: float | None = None
    weight_decay_factor: float | None = 0.0
    momentum: float | None = 0.9


@dataclass(frozen=True)
class FtrlOptimizer(_Rule):
    """FTRL-proximal."""

    member = "ftrl"
    learning_rate: float | None = None
    initial_accumulator_value: float | None = None
    beta: float | None = None
    warmup_steps: int | None = 0
    l1_regularization: float | None = None
    l2_regularization: float | None = None


@dataclass(frozen=True)
class FTRLWithGroupSparsityOptimizer(_Rule):
    """FTRL that zeroes whole rows; a table takes it only under ``unbuilt_rules``."""

    member = "group_ftrl"
    learning_rate: float | None = None
    initial_accumulator_value: float | None = None
    beta: float | None = None
    warmup_steps: int | None = 0
    l1_regularization: float | None = None
    l2_regularization: float | None = None


@dataclass(frozen=True)
class AdaGradWithGroupLassoOptimizer(_Rule):
    """Adagrad with one accumulator per row and group lasso."""

    member = "group_adagrad"
    learning_rate: float | None = None
    beta: float | None = None
    initial_accumulator_value: float | None = None
    l2_regularization: float | None = None
    weight_decay_factor: float | None = 0.0
    warmup_steps: int | None = 0


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class StochasticRoundingFloat16OptimizerWrapper(Optimizer):
    """Another optimizer whose rows are rounded to halves at random; wrapping twice changes nothing."""

    optimizer: Optimizer

    def __post_init__(self) -> None:
        if not isinstance(self.optimizer, Optimizer):
            raise refused(type(self).__name__, "optimizer", self.optimizer, "an Optimizer")

    def as_proto(self) -> OptimizerConfig:
        message = self.optimizer.as_proto()
        message.stochastic_rounding_float16 = True
        return message


class Initializer(_Part, abc.ABC):
    """Base of initializer configurations."""

    @abc.abstractmethod
    def as_proto(self) -> InitializerConfig:
        """The ``InitializerConfig`` message."""


class _Start(Initializer):
    def as_proto(self) -> InitializerConfig:
        message = InitializerConfig()
        self._fill(message)
        return message


@dataclass(frozen=True)
class ZerosInitializer(_Start):
    """New rows are +0."""

    member = "zeros"


@dataclass(frozen=True)
class ConstantsInitializer(_Start):
    """New rows hold one constant (None: the proto default, 0)."""

    member = "constants"
    constant: float | None


@dataclass(frozen=True)
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
            raise refused("RandomUniformInitializer", "minval", low, f"at most maxval ({high!r})")


@dataclass(frozen=True)
class BatchSoftmaxInitializer(_Start):
    """New rows hold the expected interval between updates, at least 1; a ``constants`` message."""

    member = "constants"
    required = frozenset({"init_step_interval"})
    init_step_interval: float


class Compressor(_Part, abc.ABC):
    """Base of compressor configurations."""

    @abc.abstractmethod
    def as_proto(self) -> FloatCompressorConfig:
        """The ``FloatCompressorConfig`` message."""


class _Packing(Compressor):
    def as_proto(self) -> FloatCompressorConfig:
        message = FloatCompressorConfig()
        self._fill(message)
        return message


@dataclass(frozen=True)
class Fp32Compressor(_Packing):
    """Four bytes a float: kept as they are."""

    member = "fp32"


@dataclass(frozen=True)
class Fp16Compressor(_Packing):
    """Two bytes a float: IEEE halves."""

    member = "fp16"


@dataclass(frozen=True)
class FixedR8Compressor(_Packing):
    """One byte a float: 256 steps over (-fixed_range, fixed_range)."""

    member = "fixed_r8"
    fixed_range: float | None = 1.0


@dataclass(frozen=True)
class OneBitCompressor(_Packing):
    """One sign a float, times ``amplitude``."""

    member = "one_bit"
    required = frozenset({"step_size"})
    step_size: int = 200
    amplitude: float | None = 0.05
