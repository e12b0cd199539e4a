"""Replay of features.json: combiners, layouts, de-duplication, slices, and what is TensorFlow's own.

The engine is asked for everything that it defines; TensorFlow's reductions, losses of a variable and Adagrad come from
:mod:`monolith_conformance.oracle.tensorflow`, on every target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from monolith_conformance.oracle import tensorflow as tf
from monolith_conformance.vectors.feature_engine import EngineFeatures
from monolith_conformance.vectors.feature_oracle import OracleFeatures
from monolith_conformance.vectors.registry import Outcome, Setting, judged, replays
from monolith_conformance.vectors.slice_cases import run_slice_merging
from monolith_conformance.vectors.words import first_difference, hex_floats
from monolith_ref.quirks import Quirks

__all__: list[str] = []

_VERSIONS = (("", "2.21"), ("_tf24", "2.4"))
_PACKET = 8
_PACKET_ULPS = 2
"""Whole packets of 8 go through a reciprocal root in TensorFlow that may be so far off."""

Leg = EngineFeatures | OracleFeatures


def _leg(setting: Setting, quirks: Quirks) -> Leg:
    # The file has one result per case, of a build without fusing; only reduce_sqrtn would differ in the other profile.
    if setting.target == "oracle":
        return OracleFeatures("ieee", quirks)
    return EngineFeatures(setting.target, "ieee", quirks)


def _first(*notes: str) -> str:
    return next((note for note in notes if note), "")


# ---- the engine's ------------------------------------------------------------------------------------------------


def _combiners(case: dict[str, Any], leg: Leg) -> str:
    values = hex_floats(case["values"])
    splits = case["row_splits"]
    upstream = hex_floats(case["upstream"]) if "upstream" in case else None
    for kind in ("reduce_sum", "reduce_mean", "reduce_sqrtn"):
        if kind not in case:
            continue
        note = first_difference(f"{kind} out", leg.combine(kind, values, splits), hex_floats(case[kind]["out"]))
        if not note and "grad" in case[kind]:
            assert upstream is not None
            got = leg.combine_gradient(kind, upstream, values, splits)
            note = first_difference(f"{kind} grad", got, hex_floats(case[kind]["grad"]))
        if note:
            return note
    fused = case.get("fused_reduce_sum_and_split")
    if fused:
        parts = np.split(leg.combine("reduce_sum", values, splits), np.cumsum(fused["split_dims"])[:-1], axis=1)
        for number, (part, wanted) in enumerate(zip(parts, fused["out"], strict=True)):
            note = first_difference(f"split {number}", part, hex_floats(wanted))
            if note:
                return note
    return ""


def _first_n(case: dict[str, Any], leg: Leg) -> str:
    values, splits, n = hex_floats(case["values"]), case["row_splits"], case["n"]
    note = first_difference("out", leg.combine("first_n", values, splits, n), hex_floats(case["out"]))
    if not note and "grad" in case:
        got = leg.combine_gradient("first_n", hex_floats(case["upstream"]), values, splits, n)
        note = first_difference("grad", got, hex_floats(case["grad"]))
    return note


def _layouts(case: dict[str, Any], leg: Leg) -> str:
    embeddings = [hex_floats(matrix) for matrix in case["embeddings"]]
    outputs = leg.layout_forward(case, embeddings)
    for number, (got, wanted) in enumerate(zip(outputs, case["outputs"], strict=True)):
        note = first_difference(f"output {number}", got, hex_floats(wanted))
        if note:
            return note
    gradients = leg.layout_backward(case, embeddings, [hex_floats(matrix) for matrix in case["upstream"]])
    for number, (got, wanted) in enumerate(zip(gradients, case["embedding_grads"], strict=True)):
        note = first_difference(f"embedding gradient {number}", got, hex_floats(wanted))
        if note:
            return note
    return ""


def _unique(case: dict[str, Any], leg: Leg) -> str:
    if "rowids" in case:
        return first_difference("rowids", leg.rowids(case["row_splits"]), np.array(case["rowids"], np.int64))
    if "ids" in case:
        unique, inverse, counts = leg.unique(np.array(case["ids"], np.int64))
        return _first(
            first_difference("unique", unique, np.array(case["unique"], np.int64)),
            first_difference("inverse", inverse, np.array(case["inverse"], np.int64)),
            first_difference("counts", counts, np.array(case["counts"], np.int64)),
        )
    found = leg.unique_offsets(case["key"], case["key_split"], case["dims"])
    names = ("unique_key", "unique_key_split", "value_offset", "value_offset_split")
    notes = [first_difference(n, got, np.array(case[n], np.int64)) for n, got in zip(names, found, strict=True)]
    if not any(notes) and "unique_grad" in case:
        got = leg.unique_gradient(case["key"], case["key_split"], case["dims"], hex_floats(case["upstream"]))
        notes.append(first_difference("unique_grad", got, hex_floats(case["unique_grad"])))
    return _first(*notes)


def _with_keys(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A case with only a gradient belongs to the keys of the one before it."""
    filled: list[dict[str, Any]] = []
    for case in cases:
        if "unique_grad" in case and "key" not in case:
            before = next(other for other in reversed(filled) if "key" in other)
            case = {**before, **case}
        filled.append(case)
    return filled


def _segment_sums(case: dict[str, Any], leg: Leg) -> str:
    values, ids = hex_floats(case["values"]), case["segment_ids"]
    notes = []
    for name in ("unsorted_segment_sum", "segment_sum_tf24"):
        if name in case:
            wanted = hex_floats(case[name])
            notes.append(first_difference(name, leg.segment_sum(values, ids, len(wanted)), wanted))
    return _first(*notes)


def _clip_global(case: dict[str, Any], leg: Leg) -> str:
    tensors = [hex_floats(t) for t in case["tensors"]]
    clipped = leg.clip_by_global_norm(tensors, hex_floats(case["clip_norm"]), hex_floats(case["global_norm"]))
    notes = [
        first_difference(f"tensor {k}", got, hex_floats(wanted))
        for k, (got, wanted) in enumerate(zip(clipped, case["clipped"], strict=True))
    ]
    return _first(*notes)


def _norm(case: dict[str, Any], leg: Leg) -> str:
    got = leg.global_norm([hex_floats(t) for t in case["tensors"]])
    return first_difference("global_norm", got, hex_floats(case["global_norm_float64_rounded"]))


def _mse(case: dict[str, Any], leg: Leg) -> str:
    loss, gradient = leg.mse(hex_floats(case["pred"]), hex_floats(case["label"]))
    return _first(
        first_difference("loss", loss, hex_floats(case["loss"])),
        first_difference("dloss_dpred", gradient, hex_floats(case["dloss_dpred"])),
    )


def _relu(case: dict[str, Any], leg: Leg) -> str:
    out, gradient = leg.relu(hex_floats(case["x"]), hex_floats(case["upstream"]))
    return _first(
        first_difference("out", out, hex_floats(case["out"])),
        first_difference("grad", gradient, hex_floats(case["grad"])),
    )


def _dense_step(case: dict[str, Any], leg: Leg) -> str:
    """Forward, loss and gradients by the engine; the variables' update is TensorFlow's Adagrad."""
    names = ("W1", "b1", "W2", "b2")
    start = {name: hex_floats(case[name]) for name in ("X", *names)}
    lr, initial = np.float32(0.05), np.float32(0.1)
    for number, expected in enumerate(case["cases"]):
        label = hex_floats(case["label"]).reshape(expected["label_shape"])
        loss, pred, grads = leg.two_layers(start, label)
        notes = [
            first_difference("pred", pred, hex_floats(expected["pred"])),
            first_difference("loss", loss, hex_floats(expected["loss"])),
        ]
        for name, wanted in expected["grads"].items():
            notes.append(first_difference(f"gradient of {name}", grads[name], hex_floats(wanted)))
        for name in names:
            wanted = hex_floats(expected["updated"][name])
            accumulator = np.full(wanted.shape, initial)
            var, accumulator = tf.adagrad_dense(start[name], accumulator, grads[name], lr)
            notes.append(first_difference(f"updated {name}", var, wanted))
            notes.append(first_difference("accumulator", accumulator, hex_floats(expected["accumulators"][name])))
        note = _first(*notes)
        if note:
            return f"label shape {expected['label_shape']} (case {number}): {note}"
    return ""


# ---- TensorFlow's ------------------------------------------------------------------------------------------------


def _tf_reduce(case: dict[str, Any]) -> str:
    x = hex_floats(case["values"])
    notes = []
    for suffix, version in _VERSIONS:
        for name, function in (("reduce_sum", tf.reduce_sum), ("reduce_mean", tf.reduce_mean)):
            if name + suffix in case:
                notes.append(first_difference(name + suffix, function(x, version), hex_floats(case[name + suffix])))
    return _first(*notes)


def _tf_segment_sum(case: dict[str, Any]) -> str:
    values = hex_floats(case["values"])
    return first_difference("segment_sum", tf.segment_sum(values, case["segment_ids"]), hex_floats(case["segment_sum"]))


def _tf_norm(case: dict[str, Any]) -> str:
    tensors = [hex_floats(t) for t in case["tensors"]]
    notes = []
    for suffix, version in _VERSIONS:
        if "l2_loss" + suffix in case:
            for number, (tensor, wanted) in enumerate(zip(tensors, case["l2_loss" + suffix], strict=True)):
                got = tf.l2_loss(tensor.reshape(-1), version)
                notes.append(first_difference(f"l2_loss{suffix} {number}", got, hex_floats(wanted)))
        if "global_norm" + suffix in case:
            wanted = hex_floats(case["global_norm" + suffix])
            notes.append(first_difference(f"global_norm{suffix}", tf.global_norm(tensors, version), wanted))
    return _first(*notes)


def _tf_adagrad(case: dict[str, Any]) -> str:
    for suffix, version in _VERSIONS:
        var = hex_floats(case["initial"])
        accumulator = np.full(var.shape, hex_floats(case["initial_accumulator_value"]))
        for number, step in enumerate(case["steps"]):
            if "var" + suffix not in step:
                break
            wanted = hex_floats(step["var" + suffix])
            got, accumulator = _tf_step(case, var, accumulator, hex_floats(step["grad"]), version, wanted)
            note = _first(
                first_difference("accumulator", accumulator, hex_floats(step["accumulator" + suffix])),
                first_difference("var", got, wanted),
            )
            if note:
                return f"TensorFlow {version}, step {number}: {note}"
            var = wanted
    return ""


def _tf_step(case: dict[str, Any], var: Any, accumulator: Any, grad: Any, version: str, wanted: Any) -> Any:
    """A step; in packets the variable with the permitted reciprocal root that fits, element by element."""
    lr = hex_floats(case["lr"])
    if "indices" in case:
        return tf.adagrad_sparse(var, accumulator, case["indices"], grad, lr, version)
    got, after = tf.adagrad_dense(var, accumulator, grad, lr, version)
    if var.size >= _PACKET:
        for ulps in range(-_PACKET_ULPS, _PACKET_ULPS + 1):
            other, _ = tf.adagrad_dense(var, accumulator, grad, lr, version, ulps)
            got = np.where(other == wanted, other, got)
    return got, after


# ---- the file ----------------------------------------------------------------------------------------------------

_ENGINE: dict[str, tuple[str, Callable[[dict[str, Any], Leg], str]]] = {
    "combiners": ("combiners", _combiners),
    "first_n": ("first_n", _first_n),
    "layouts": ("layouts", _layouts),
    "unique": ("unique", _unique),
    "segment_sum": ("segment_sum", _segment_sums),
    "global_norm": ("global_norm", _norm),
    "clip_by_global_norm": ("clip", _clip_global),
    "clip_by_norm": (
        "clip",
        lambda case, leg: first_difference(
            "clipped",
            leg.clip_by_norm(hex_floats(case["tensor"]), hex_floats(case["clip_norm"])),
            hex_floats(case["clipped"]),
        ),
    ),
    "clip_by_value": (
        "clip",
        lambda case, leg: first_difference(
            "clipped",
            leg.clip_by_value(hex_floats(case["tensor"]), hex_floats(case["limit"])),
            hex_floats(case["clipped"]),
        ),
    ),
    "mse": ("mse", _mse),
    "relu": ("relu", _relu),
    "dense_step": ("dense_step", _dense_step),
}
_TENSORFLOW: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "reduce": ("tensorflow reduce", _tf_reduce),
    "segment_sum": ("tensorflow segment_sum", _tf_segment_sum),
    "global_norm": ("tensorflow norms", _tf_norm),
    "adagrad": ("tensorflow adagrad", _tf_adagrad),
}


def _cases(key: str, value: Any) -> list[tuple[str, dict[str, Any]]]:
    cases = _with_keys(value) if key == "unique" else value if isinstance(value, list) else [value]
    return [(f"{key}/{case.get('name', number)}", case) for number, case in enumerate(cases)]


def _run_engine(run: Callable[[dict[str, Any], Leg], str], case: dict[str, Any], setting: Setting) -> str:
    for label, text in setting.switch_sets(case.get("quirks")):
        note = run(case, _leg(setting, Quirks.parse(text)))
        if note:
            return f"[quirks {label}] {note}"
    return ""


def _is_features(document: dict[str, Any]) -> bool:
    return "cases" not in document and bool(set(document) & (set(_ENGINE) | set(_TENSORFLOW)))


@replays("features", when=_is_features)
def replay_features(document: dict[str, Any], setting: Setting) -> Iterator[Outcome]:
    """Every list of the file; one that nobody knows is a failure that names it."""
    for key, value in document.items():
        if key == "provenance":
            continue
        if key == "slice_merging":
            for name, case in _cases(key, value):
                yield from judged(name, "slice_merging", lambda case=case: run_slice_merging(case))  # type: ignore[misc]
            continue
        if key not in _ENGINE and key not in _TENSORFLOW:
            yield Outcome(key, key, "failed", f"unknown list {key!r} in a features file")
            continue
        for name, case in _cases(key, value):
            if key in _ENGINE:
                rule, run = _ENGINE[key]
                yield from judged(name, rule, lambda run=run, case=case: _run_engine(run, case, setting))  # type: ignore[misc]
            if key in _TENSORFLOW:
                rule, own = _TENSORFLOW[key]
                yield from judged(name, rule, lambda own=own, case=case: own(case))  # type: ignore[misc]
