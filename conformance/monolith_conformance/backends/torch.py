"""PyTorch as a backend: ``torch.optim``, ``embedding_bag``, ``torch.nn.init`` and its quantizers, as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from monolith_conformance.backend import Missing
from monolith_conformance.backends.framework import I8, FrameworkBackend, Shape
from monolith_conformance.backends.tables import F4
from monolith_ref.errors import EnvironmentMissing
from monolith_ref.quirks import Quirks

__all__ = ["TorchBackend"]

SEED = 5489
"""The seed of the original's generator; torch's is a Mersenne Twister as well."""


class _Index:
    """torch has no hash table: a dictionary stands in."""

    def __init__(self) -> None:
        self._rows: dict[int, int] = {}

    def find(self, ids: I8) -> I8:
        return np.array([self._rows.get(fid, -1) for fid in ids.tolist()], np.int64)

    def put(self, ids: I8, rows: I8) -> None:
        self._rows.update(zip(ids.tolist(), rows.tolist(), strict=True))

    def size(self) -> int:
        return len(self._rows)


class _Optimizer:
    """One ``torch.optim`` class; every row is a parameter of its own, so that steps are counted per row."""

    def __init__(self, torch: Any, make: Callable[[list[Any]], Any], dim: int) -> None:
        self._torch, self._make, self._dim = torch, make, dim
        self.new_state()  # Settings that torch refuses are refused when the table is made.

    def new_state(self) -> Any:
        parameter = self._torch.nn.Parameter(self._torch.zeros(self._dim))
        return parameter, self._make([parameter])

    def step(self, weights: F4, state: Any, gradient: F4, rate: float, global_step: int) -> F4:
        parameter, optimizer = state
        with self._torch.no_grad():
            parameter.copy_(self._torch.from_numpy(weights))
        parameter.grad = self._torch.from_numpy(gradient)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        return np.array(parameter.detach().numpy())


class _Average:
    """The exponential moving average of ``torch.optim.swa_utils``: the gradient is what is averaged."""

    def __init__(self, torch: Any, shape: Shape) -> None:
        self._torch = torch
        self._average = torch.optim.swa_utils.get_ema_avg_fn(shape.settings.momentum)

    def new_state(self) -> None:
        return None

    def step(self, weights: F4, state: Any, gradient: F4, rate: float, global_step: int) -> F4:
        averaged = self._average(self._torch.from_numpy(weights), self._torch.from_numpy(gradient), 1)
        return np.array(averaged.numpy())


def _rules(torch: Any) -> dict[str, Callable[[Shape], Any]]:
    optim = torch.optim

    def made(shape: Shape, optimizer: Any, **settings: float | bool | tuple[float, float]) -> _Optimizer:
        decay = getattr(shape.settings, "weight_decay_factor", 0.0)
        return _Optimizer(torch, lambda rows: optimizer(rows, lr=0.01, weight_decay=decay, **settings), shape.dim)

    def adagrad(shape: Shape) -> _Optimizer:
        start = shape.settings.initial_accumulator_value
        return made(shape, optim.Adagrad, initial_accumulator_value=start, eps=0.0)

    def momentum(shape: Shape) -> _Optimizer:
        s = shape.settings
        return made(shape, optim.SGD, momentum=s.momentum, nesterov=bool(s.use_nesterov))

    def adam(shape: Shape, amsgrad: bool = False) -> _Optimizer:
        s = shape.settings
        if s.use_nesterov:
            raise Missing(f"optimizer.{shape.rule}: torch.optim.Adam has no use_nesterov")
        return made(shape, optim.Adam, betas=(s.beta1, s.beta2), eps=s.epsilon, amsgrad=amsgrad)

    return {
        "sgd": lambda shape: made(shape, optim.SGD),
        "adagrad": adagrad,
        "adadelta": lambda s: made(s, optim.Adadelta, rho=s.settings.averaging_ratio, eps=s.settings.epsilon),
        "adam": adam,
        "amsgrad": lambda shape: adam(shape, amsgrad=True),
        "momentum": momentum,
        "rmsprop": lambda shape: made(shape, optim.RMSprop, alpha=shape.settings.momentum),
        "moving_average": lambda shape: _Average(torch, shape),
    }


class TorchBackend(FrameworkBackend):
    """The rules that PyTorch has."""

    name = "torch"
    combiners = ("reduce_sum", "reduce_mean")

    def __init__(self) -> None:
        try:
            import torch
        except ImportError as error:
            raise EnvironmentMissing(
                f"backend torch needs PyTorch ({error}): pip install 'monolith-ref[torch]'"
            ) from None
        self._torch = torch
        self.version = str(torch.__version__)
        self.rules = _rules(torch)

    def start(self, profile: str, quirks: Quirks) -> None:
        super().start(profile, quirks)
        self._torch.set_num_threads(1)
        self._generator = self._torch.Generator().manual_seed(SEED)

    def new_index(self) -> _Index:
        return _Index()

    def added(self, a: F4, b: F4) -> F4:
        return np.array((self._torch.from_numpy(a) + self._torch.from_numpy(b)).numpy())

    def divided(self, a: F4, by: int) -> F4:
        return np.array((self._torch.from_numpy(a) / by).numpy())

    def summed(self, ids: I8, gradients: F4) -> tuple[I8, F4]:
        distinct, places = np.unique(ids, return_inverse=True)
        shape = (len(distinct), gradients.shape[1])
        sparse = self._torch.sparse_coo_tensor(
            self._torch.from_numpy(places.reshape(1, -1)), self._torch.from_numpy(gradients.copy()), shape
        )
        return distinct, np.array(sparse.coalesce().values().numpy())

    def initial(self, shape: Shape) -> F4:
        init, row = self._torch.nn.init, self._torch.empty(shape.dim)
        if shape.initializer == "random_uniform":
            init.uniform_(row, shape.initial.minval, shape.initial.maxval, generator=self._generator)
        elif shape.initializer == "ones":
            init.ones_(row)
        else:
            init.constant_(row, shape.initial.constant)
        return np.array(row.numpy())

    def compressed(self, shape: Shape, values: F4) -> F4:
        x = self._torch.from_numpy(values.copy())
        if shape.compressor == "fp16":
            x = x.to(self._torch.float16).to(self._torch.float32)
        elif shape.compressor == "fixed_r8":
            x = self._torch.fake_quantize_per_tensor_affine(x, shape.compression.r / 128, 0, -128, 127)
        return np.array(x.numpy())

    def combined(self, kind: str, values: F4, splits: I8, n: int, upstream: F4 | None) -> F4:
        torch = self._torch
        weight = torch.from_numpy(values).requires_grad_(upstream is not None)
        out = torch.nn.functional.embedding_bag(
            torch.arange(len(values)),
            weight,
            torch.from_numpy(splits[:-1].copy()),
            mode={"reduce_sum": "sum", "reduce_mean": "mean"}[kind],
        )
        if upstream is None:
            return np.array(out.numpy())
        out.backward(torch.from_numpy(upstream))
        return np.array(weight.grad.numpy())
