"""The argument types that every CUDA kernel is compiled for, so that all can be compiled without a device.

Types come from the annotations of parameters, and where those say nothing from the parameter's name. A kernel
over a rule, a quantizer or a profile has a variant for each.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

from numba import typeof, types

from monolith_kernels import rules
from monolith_kernels.cuda.launch import KERNELS, CudaKernel
from monolith_kernels.prim import Avx, Ieee
from monolith_kernels.rules import quantizers

__all__ = ["Variant", "variants"]


class Variant(NamedTuple):
    """One compilation of a kernel.

    Attributes
    ----------
    kernel : CudaKernel
    label : str
        The kernel's name, with its rule or quantizer and profile.
    types : tuple
        Numba types of the arguments.
    fused : bool
        The profile asks for fused multiply-adds.
    rule : Rule or None
        The rule of an update.
    """

    kernel: CudaKernel
    label: str
    types: tuple[Any, ...]
    fused: bool
    rule: rules.Rule | None


_BY_ANNOTATION = {
    "F4": types.float32[::1],
    "F8": types.float64[::1],
    "I4": types.int32[::1],
    "I8": types.int64[::1],
    "U1": types.uint8[::1],
    "U2": types.uint16[::1],
    "U8": types.uint64[::1],
    "int": types.int64,
    "np.float32": types.float32,
}

_FLOATS = types.float32[::1]
_BYTES = types.uint8[::1]

_BY_NAME = {
    **dict.fromkeys(("rows", "grads", "template", "source", "out", "latest", "draws", "flat", "values"), _FLOATS),
    **dict.fromkeys(("factor", "lr", "low", "high", "scale"), types.float32),
    "numbers": types.int32[::1],
    "packed": _BYTES,
    "where": types.UniTuple(types.int64, 5),
    "mean": types.boolean,
}

_SPECIAL: dict[str, dict[str, tuple[Any, ...]]] = {
    "quantize._encode": {"out": (_BYTES,)},
    "_gradient_sums.gradient_sums_exact": {"grad": (_FLOATS, types.float64[::1])},
    "_gradient_sums.gradient_limbs": {"grad": (_FLOATS, types.float64[::1])},
    "_shard.move": {"values": (_FLOATS, types.float64[::1]), "out": (_FLOATS, types.float64[::1])},
    "_filter.hash_add": {"cells": (types.uint16[::1], _BYTES)},
    "_filter.hash_admit": {"cells": (types.uint16[::1], _BYTES)},
    "_filter.hash_get": {"cells": (types.uint16[::1], _BYTES)},
}
"""Parameters with another type, or with several (those of one kernel go together)."""

_PROFILES = {"ieee": Ieee(), "avx": Avx()}


def _quantizers() -> dict[str, Any]:
    return {name: quantizers.make(name) for name in ("fp32", "fp16", "fixed_r8", "one_bit")}


def _choices(short: str, parameter: inspect.Parameter) -> dict[str, Any]:
    """The types a parameter takes, by a word for the label ("" where there is one)."""
    name, annotation = parameter.name, str(parameter.annotation)
    if name in _SPECIAL.get(short, {}):
        several = _SPECIAL[short][name]
        return {"" if len(several) == 1 else str(kind.dtype): kind for kind in several}
    if name in ("limbs", "all_limbs"):
        return {"": types.int64[:, ::1]}
    if annotation in _BY_ANNOTATION:
        return {"": _BY_ANNOTATION[annotation]}
    if name == "p" or annotation == "Ieee":
        return {word: typeof(value) for word, value in _PROFILES.items()}
    if name == "h":
        return {word: typeof(rules.make(word)) for word in rules.ALL}
    if name == "q":
        return {word: typeof(value) for word, value in _quantizers().items()}
    return {"": _BY_NAME.get(name, types.int64)}


def _variants_of(kernel: CudaKernel) -> Iterator[Variant]:
    short = kernel.name.removeprefix("monolith_kernels.cuda.")
    choices = [_choices(short, parameter) for parameter in inspect.signature(kernel.function).parameters.values()]
    for words in itertools.product(*choices):
        chosen = [word for word in words if word]
        if len({word for word in chosen if word.startswith("float")}) > 1:
            continue  # parameters with several types go together
        argument_types = tuple(choice[word] for choice, word in zip(choices, words, strict=True))
        rule = next((rules.ALL[word] for word in chosen if word in rules.ALL), None)
        label = " ".join([short, *dict.fromkeys(chosen)])
        yield Variant(kernel, label, argument_types, "avx" in chosen, rule)


def variants() -> list[Variant]:
    """Every variant of every kernel of the modules imported so far."""
    return [variant for kernel in KERNELS for variant in _variants_of(kernel)]
