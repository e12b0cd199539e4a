"""Replay of slice merging: slices asked of a slot, and the segments that they become. Rule: features 1, entry 6."""

from __future__ import annotations

import re
from typing import Any

from monolith_ref import entry
from monolith_ref.features.slots import FeatureFactory, FeatureSlotConfig
from monolith_ref.learning_rate import PolynomialDecay

__all__ = ["run_slice_merging"]

_INITIALIZERS: dict[str, Any] = {
    "zeros": entry.ZerosInitializer,
    "random_uniform": entry.RandomUniformInitializer,
}
_OPTIMIZERS: dict[str, Any] = {
    "adagrad": entry.AdagradOptimizer,
    "ftrl": entry.FtrlOptimizer,
    "adam": entry.AdamOptimizer,
    "adadelta": entry.AdadeltaOptimizer,
    "momentum": entry.MomentumOptimizer,
}


def _optimizer(text: str, rate: float | None, warmup: int | None) -> Any:
    """``"adagrad(acc 0.1)"`` with its rate and warm-up; None for the slot's default."""
    if text == "slot default":
        return None
    found = re.fullmatch(r"(\w+)(?:\(acc ([^)]*)\))?", text)
    if found is None or found[1] not in _OPTIMIZERS:
        raise ValueError(f"unknown optimizer {text!r}")
    arguments: dict[str, Any] = {"learning_rate": rate, "warmup_steps": warmup or 0}
    if found[2] is not None:
        arguments["initial_accumulator_value"] = float(found[2])
    return _OPTIMIZERS[found[1]](**arguments)


def _rate_text(rate: Any) -> str:
    """A rate as the vectors write it."""
    if isinstance(rate, PolynomialDecay):
        return f"PolynomialDecay({rate.initial_learning_rate} -> {rate.end_learning_rate} over {rate.decay_steps})"
    return str(rate)


def run_slice_merging(case: dict[str, Any]) -> str:
    """ "" where slices, merged segments and unmerged dims are as expected."""
    slot = FeatureFactory().create_feature_slot(FeatureSlotConfig(**case["slot"]))
    for dim, initializer, optimizer, rate, warmup, function in case["requests"][1:]:
        start = None if initializer == "slot default" else _INITIALIZERS[initializer]()
        slot.add_feature_slice(dim, start, _optimizer(optimizer, rate, warmup), None, function)
    slices = [[part.start, part.end] for part in slot.slices]
    if slices != case["slices"]:
        return f"slices {slices}, expected {case['slices']}"
    segments, rates = slot.segments()
    merged = [
        [segment.dim_size, segment.opt_config.WhichOneof("type"), _rate_text(rate)]
        for segment, rate in zip(segments, rates, strict=True)
    ]
    if merged != case["merged_segments"]:
        return f"merged segments {merged}, expected {case['merged_segments']}"
    dims = [part.dim for part in slot.slices]
    if dims != case["unmerged_slice_dims"]:
        return f"unmerged dims {dims}, expected {case['unmerged_slice_dims']}"
    return ""
