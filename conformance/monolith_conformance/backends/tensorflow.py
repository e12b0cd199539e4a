"""TensorFlow as a backend: its training operations, segment sums, quantizer and hash table, as they are.

The operations are those that TensorFlow's own optimizers are made of (``tf.raw_ops.Resource…Apply…``), the sparse ones
where there is one. TensorFlow's worker threads flush subnormals to zero; what that does to results is its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from monolith_conformance.backends.framework import I8, FrameworkBackend, Shape
from monolith_conformance.backends.tables import F4
from monolith_ref.errors import EnvironmentMissing
from monolith_ref.quirks import Quirks

__all__ = ["TensorFlowBackend"]

SEED = 5489
"""The seed of the original's generator."""


class _Index:
    """``tf.lookup.experimental.MutableHashTable`` from ids to row numbers."""

    def __init__(self, tf: Any) -> None:
        self._tf = tf
        self._table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.int64, default_value=-1)

    def find(self, ids: I8) -> I8:
        return np.array(self._table.lookup(self._tf.constant(ids, self._tf.int64)).numpy())

    def put(self, ids: I8, rows: I8) -> None:
        self._table.insert(self._tf.constant(ids, self._tf.int64), self._tf.constant(rows, self._tf.int64))

    def size(self) -> int:
        return int(self._table.size().numpy())


class _Operation:
    """One training operation: the row and its slots are put into variables [1, dim], changed there and read back.

    Parameters
    ----------
    shape : Shape
        The segment.
    slots : mapping
        Argument of the operation → value of a new row's slot.
    apply : callable
        Runs the operation on variables, a gradient [1, dim] and a rate.
    decay : float
        Weight decay, added to the gradient as a regularisation loss would.
    """

    def __init__(
        self, tf: Any, shape: Shape, slots: Mapping[str, float], apply: Callable[..., None], decay: float = 0.0
    ) -> None:
        self._tf, self._apply, self._decay = tf, apply, decay
        self._slots = slots
        self._dim = shape.dim
        self._variables = {name: tf.Variable(tf.zeros([1, shape.dim])) for name in ("var", *slots)}

    def new_state(self) -> dict[str, F4]:
        return {name: np.full((1, self._dim), value, np.float32) for name, value in self._slots.items()}

    def step(self, weights: F4, state: dict[str, F4], gradient: F4, rate: float, global_step: int) -> F4:
        tf, variables = self._tf, self._variables
        variables["var"].assign(weights[None])
        for name, value in state.items():
            variables[name].assign(value)
        grad = tf.constant(gradient[None])
        if self._decay:
            grad = grad + self._decay * variables["var"]
        self._apply(
            {name: variable.handle for name, variable in variables.items()}, grad, tf.constant(rate, tf.float32)
        )
        for name in state:
            state[name] = np.array(variables[name].numpy())
        return np.array(variables["var"].numpy()[0])


class _Adam:
    """``ResourceApplyAdam`` and its AMSGrad sister, with the powers that TensorFlow's optimizer keeps beside them."""

    def __init__(self, tf: Any, shape: Shape, *, amsgrad: bool) -> None:
        s = shape.settings
        self._tf, self._betas = tf, (s.beta1, s.beta2)
        self._powers: tuple[Any, Any]

        def apply(handles: Any, grad: Any, rate: Any) -> None:
            arguments = {
                **handles, "beta1_power": self._powers[0], "beta2_power": self._powers[1], "lr": rate,
                "beta1": s.beta1, "beta2": s.beta2, "epsilon": s.epsilon, "grad": grad,
            }  # fmt: skip
            if amsgrad:
                tf.raw_ops.ResourceApplyAdamWithAmsgrad(**arguments)
            else:
                tf.raw_ops.ResourceApplyAdam(**arguments, use_nesterov=bool(s.use_nesterov))

        if amsgrad and s.use_nesterov:
            raise ValueError("ResourceApplyAdamWithAmsgrad has no use_nesterov")
        slots = {"m": 0.0, "v": 0.0, **({"vhat": 0.0} if amsgrad else {})}
        self._operation = _Operation(tf, shape, slots, apply, s.weight_decay_factor)

    def new_state(self) -> Any:
        return [self._operation.new_state(), tuple(self._tf.constant(b, self._tf.float32) for b in self._betas)]

    def step(self, weights: F4, state: Any, gradient: F4, rate: float, global_step: int) -> F4:
        self._powers = state[1]
        after = self._operation.step(weights, state[0], gradient, rate, global_step)
        state[1] = tuple(power * beta for power, beta in zip(state[1], self._betas, strict=True))
        return after


class _Average:
    """``tf.train.ExponentialMovingAverage``: the gradient is what is averaged."""

    def __init__(self, tf: Any, shape: Shape) -> None:
        self._tf = tf
        self._decay = shape.settings.momentum

    def new_state(self) -> None:
        return None

    def step(self, weights: F4, state: Any, gradient: F4, rate: float, global_step: int) -> F4:
        averages = self._tf.train.ExponentialMovingAverage(self._decay)
        variable = self._tf.Variable(weights)
        averages.apply([variable])
        variable.assign(gradient)
        averages.apply([variable])
        return np.array(averages.average(variable).numpy())


def _rules(tf: Any) -> dict[str, Callable[[Shape], Any]]:
    ops, first = tf.raw_ops, tf.constant([0], tf.int64)

    def sgd(shape: Shape) -> _Operation:
        return _Operation(tf, shape, {}, lambda h, g, lr: ops.ResourceApplyGradientDescent(**h, alpha=lr, delta=g))

    def adagrad(shape: Shape) -> _Operation:
        s = shape.settings
        return _Operation(
            tf, shape, {"accum": s.initial_accumulator_value},
            lambda h, g, lr: ops.ResourceSparseApplyAdagrad(**h, lr=lr, grad=g, indices=first),
            s.weight_decay_factor,
        )  # fmt: skip

    def adadelta(shape: Shape) -> _Operation:
        s = shape.settings
        settings = {"rho": s.averaging_ratio, "epsilon": s.epsilon}
        return _Operation(
            tf, shape, {"accum": 0.0, "accum_update": 0.0},
            lambda h, g, lr: ops.ResourceSparseApplyAdadelta(**h, lr=lr, **settings, grad=g, indices=first),
            s.weight_decay_factor,
        )  # fmt: skip

    def momentum(shape: Shape) -> _Operation:
        s = shape.settings
        settings = {"momentum": s.momentum, "use_nesterov": bool(s.use_nesterov)}
        return _Operation(
            tf, shape, {"accum": 0.0},
            lambda h, g, lr: ops.ResourceSparseApplyKerasMomentum(**h, lr=lr, grad=g, indices=first, **settings),
            s.weight_decay_factor,
        )  # fmt: skip

    def rmsprop(shape: Shape) -> _Operation:
        s = shape.settings
        settings = {"rho": s.momentum, "momentum": 0.0, "epsilon": 1e-10}
        return _Operation(
            tf, shape, {"ms": 1.0, "mom": 0.0},
            lambda h, g, lr: ops.ResourceSparseApplyRMSProp(**h, lr=lr, **settings, grad=g, indices=first),
            s.weight_decay_factor,
        )  # fmt: skip

    def ftrl(shape: Shape) -> _Operation:
        # The operation's denominator is sqrt(accum)/lr + 2 l2: lambda2/2 and, as Keras does it, beta/(2 lr).
        s = shape.settings
        l1, l2, beta = s.l1_regularization_strength, s.l2_regularization_strength / 2, s.beta

        def apply(handles: Any, grad: Any, rate: Any) -> None:
            strength = l2 + beta / (2 * rate) if beta else l2
            ops.ResourceSparseApplyFtrl(**handles, grad=grad, indices=first, lr=rate, l1=l1, l2=strength, lr_power=-0.5)

        return _Operation(tf, shape, {"accum": s.initial_accumulator_value, "linear": 0.0}, apply)

    return {
        "sgd": sgd,
        "adagrad": adagrad,
        "adadelta": adadelta,
        "adam": lambda shape: _Adam(tf, shape, amsgrad=False),
        "amsgrad": lambda shape: _Adam(tf, shape, amsgrad=True),
        "momentum": momentum,
        "rmsprop": rmsprop,
        "ftrl": ftrl,
        "moving_average": lambda shape: _Average(tf, shape),
    }


class TensorFlowBackend(FrameworkBackend):
    """The rules that TensorFlow has."""

    name = "tensorflow"
    combiners = ("reduce_sum", "reduce_mean", "reduce_sqrtn", "first_n")

    def __init__(self) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        try:
            import tensorflow as tf
        except ImportError as error:
            raise EnvironmentMissing(
                f"backend tensorflow needs TensorFlow ({error}): pip install 'monolith-ref[tensorflow]'"
            ) from None
        self._tf = tf
        self.version = str(tf.__version__)
        self.rules = _rules(tf)
        self.refusals = (ValueError, tf.errors.OpError)

    def start(self, profile: str, quirks: Quirks) -> None:
        super().start(profile, quirks)
        self._generator = self._tf.random.Generator.from_seed(SEED)

    def new_index(self) -> _Index:
        return _Index(self._tf)

    def added(self, a: F4, b: F4) -> F4:
        return np.array(self._tf.add(a, b).numpy())

    def divided(self, a: F4, by: int) -> F4:
        return np.array((self._tf.constant(a) / float(by)).numpy())

    def summed(self, ids: I8, gradients: F4) -> tuple[I8, F4]:
        if not len(ids):
            return ids, gradients
        distinct, places = self._tf.unique(self._tf.constant(ids, self._tf.int64))
        sums = self._tf.math.unsorted_segment_sum(gradients, places, len(distinct))
        return np.array(distinct.numpy()), np.array(sums.numpy())

    def initial(self, shape: Shape) -> F4:
        tf = self._tf
        if shape.initializer == "random_uniform":
            row = self._generator.uniform([shape.dim], shape.initial.minval, shape.initial.maxval)
        elif shape.initializer == "ones":
            row = tf.ones([shape.dim])
        else:
            row = tf.fill([shape.dim], tf.constant(shape.initial.constant, tf.float32))
        return np.array(row.numpy())

    def compressed(self, shape: Shape, values: F4) -> F4:
        tf, x = self._tf, self._tf.constant(values)
        if shape.compressor == "fp16":
            x = tf.cast(tf.cast(x, tf.float16), tf.float32)
        elif shape.compressor == "fixed_r8":
            r = shape.compression.r
            x = tf.quantization.quantize_and_dequantize_v2(
                x, -r, r * 127 / 128, num_bits=8, range_given=True, round_mode="HALF_UP"
            )
        return np.array(x.numpy())

    def combined(self, kind: str, values: F4, splits: I8, n: int, upstream: F4 | None) -> F4:
        tf, x = self._tf, self._tf.constant(values)
        rows = tf.RaggedTensor.from_row_splits(x, splits)
        segments, count = rows.value_rowids(), len(splits) - 1
        with tf.GradientTape() as tape:
            tape.watch(x)
            if kind == "first_n":
                out = rows.with_values(x).to_tensor(shape=[count, n, values.shape[1]])
            else:
                out = {
                    "reduce_sum": tf.math.unsorted_segment_sum,
                    "reduce_mean": tf.math.unsorted_segment_mean,
                    "reduce_sqrtn": tf.math.unsorted_segment_sqrt_n,
                }[kind](x, segments, count)
        if upstream is None:
            return np.array(out.numpy())
        gradient = tape.gradient(out, x, output_gradients=tf.constant(upstream))
        return np.array(tf.convert_to_tensor(gradient).numpy())
