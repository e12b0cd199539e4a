"""Replay of entries: rows_combination, rows_retrievers, rows_initializers, rows_compressors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_conformance.vectors.legs import Codec, RowLeg, codec, row_leg
from monolith_conformance.vectors.registry import Outcome, Setting, judged, replays
from monolith_conformance.vectors.row_cases import compare_rows, state_arrays, under_every_set
from monolith_conformance.vectors.words import config_values, first_difference, floats, result_of
from monolith_ref.quirks import Quirks
from monolith_ref.row_codec import CodecSegment
from monolith_ref.rows import Rows, RowSegment

__all__: list[str] = []


def _has(*keys: str) -> Any:
    def recognised(document: dict[str, Any]) -> bool:
        cases = document.get("cases")
        return isinstance(cases, list) and bool(cases) and all(set(keys) <= set(case) for case in cases)

    return recognised


def _row_segment(spec: Mapping[str, Any]) -> RowSegment:
    initializer = spec.get("initializer", {"kind": "zeros", "config": {}})
    compressor = spec.get("compressor", {"kind": "fp32", "config": {}})
    return RowSegment(
        spec["dim"],
        spec.get("rule", "sgd"),
        config_values(spec.get("config", {})),
        initializer["kind"],
        config_values(initializer["config"]),
        compressor["kind"],
        config_values(compressor["config"]),
        bool(spec.get("stochastic_rounding_float16", False)),
    )


def _switch_sets(case: Mapping[str, Any], setting: Setting, run: Any) -> str:
    for label, text in setting.switch_sets(case.get("quirks")):
        note = run(Quirks.parse(text))
        if note:
            return f"[quirks {label}] {note}"
    return ""


# ---- entries ----------------------------------------------------------------------------------------------------


def _all_states(segments: list[RowSegment], elements: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """One state per segment from dump elements, which moving_average does not have."""
    queue = list(elements)
    states: list[Mapping[str, Any]] = []
    for segment in segments:
        if segment.rule == "moving_average":
            states.append({})
            continue
        element = queue.pop(0)
        if list(element) != [segment.rule]:
            raise ValueError(f"dump element {list(element)} does not belong to a {segment.rule} segment")
        states.append(element[segment.rule])
    if queue:
        raise ValueError(f"{len(queue)} dump elements are left over")
    return states


def _sizes(segments: list[RowSegment], target: str) -> tuple[int, int] | None:
    """(bytes of a row, uncompressed bytes) where the leg can tell."""
    if target == "oracle":
        return None
    leg: Any = row_leg(segments, target, "ieee", Quirks.parse("clean"))
    return leg.layout.size_bytes(), leg.layout.uncompressed_size_bytes()


def _run_op(leg: RowLeg, rows: list[Rows], op: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    row = rows[op["row"]]
    if op["op"] == "optimize":
        gradient, rates = floats(op["g"])[None], floats(op["lr"])
        if "g_after" in expected:
            seen = leg.seen_gradients(row, gradient, op["global_step"])
            note = first_difference("g_after", seen[0], floats(expected["g_after"]))
            if note:
                return note
        rows[op["row"]] = leg.optimize(row, gradient, rates, op["global_step"])
    elif op["op"] == "assign":
        rows[op["row"]] = leg.assign(row, floats(op["v"])[None])
    elif op["op"] == "assign_add":
        rows[op["row"]] = leg.assign_add(row, floats(op["v"])[None])
    elif op["op"] != "fill":
        raise ValueError(f"unknown operation {op['op']!r}")
    return ""


def _run_entry(leg: RowLeg, segments: list[RowSegment], case: Mapping[str, Any], setting: Setting) -> str:
    states = _all_states(segments, case["state0"])
    leg.create(len(case["rows_w0"]))  # consumes the draws that the original's initialisation consumed
    rows = [leg.rows(floats(w)[None], [state_arrays(s) for s in states]) for w in case["rows_w0"]]
    for index, op in enumerate(case["ops"]):
        what, expected = f"op {index} ({op['op']})", result_of(op, setting.profile)
        note = _run_op(leg, rows, op, expected)
        if note:
            return f"{what} {note}"
        row = rows[op["row"]]
        if "state" in expected:
            note = compare_rows(what, row, expected["w"], _all_states(segments, expected["state"]))
        elif "w" in expected:
            note = first_difference(f"{what} w", row.weights[0], floats(expected["w"]))
        if not note and "fill" in expected:
            wanted = row.weights[0] if expected["fill"] == "w" else floats(expected["fill"])
            note = first_difference(f"{what} fill", leg.read(row)[0], wanted)
        if note:
            return note
    return ""


@replays(when=_has("segments", "ops", "rows_w0"))
def replay_entries(document: dict[str, Any], setting: Setting) -> Iterator[Outcome]:
    """Operations on rows of several segments."""
    for case in document["cases"]:

        def run(case: Mapping[str, Any] = case) -> str:
            segments = [_row_segment(spec) for spec in case["segments"]]
            sizes = _sizes(segments, setting.target)
            wanted = (case.get("size_bytes"), case.get("uncompressed_size_bytes"))
            if sizes is not None and None not in wanted and sizes != wanted:
                return f"row sizes {sizes}, expected {wanted}"
            return under_every_set(case, segments, setting, lambda leg: _run_entry(leg, segments, case, setting))

        kinds = {spec.get("compressor", {"kind": "fp32"})["kind"] for spec in case["segments"]} - {"fp32"}
        yield from judged(case["id"], "+".join(sorted(kinds)) or "entry", run)


# ---- initializers -----------------------------------------------------------------------------------------------


def _run_initializers(case: Mapping[str, Any], setting: Setting, quirks: Quirks) -> str:
    """Rows one after another; several tables of a thread share one stream."""
    expected = case["rows"]["ieee"] if case["rows"][setting.profile] == "ieee" else case["rows"][setting.profile]
    specs = case["tables"] if "tables" in case else [case["segments"]]
    legs: list[Any] = [
        row_leg([_row_segment(spec) for spec in segments], setting.target, setting.profile, quirks)
        for segments in specs
    ]
    for leg in legs[1:]:
        _share_stream(legs[0], leg)
    order = case.get("order", [0] * len(expected))
    for index, (which, words) in enumerate(zip(order, expected, strict=True)):
        note = first_difference(f"row {index}", legs[which].create(1).weights[0], floats(words))
        if note:
            return note
    return ""


def _share_stream(first: Any, other: Any) -> None:
    if hasattr(first, "_rows"):
        other._rows.stream = first._rows.stream
    else:
        other.initializer = first.initializer


@replays(when=_has("rows", "id"))
def replay_initializers(document: dict[str, Any], setting: Setting) -> Iterator[Outcome]:
    """Rows in order of initialisation."""
    for case in document["cases"]:

        def run(case: Mapping[str, Any] = case) -> str:
            return _switch_sets(case, setting, lambda quirks: _run_initializers(case, setting, quirks))

        yield from judged(case["id"], "initializers", run)


# ---- compressors ------------------------------------------------------------------------------------------------


def _bytes(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(bytes.fromhex(text), np.uint8)


def _run_compressor(leg: Codec, case: Mapping[str, Any], setting: Setting) -> str:
    expected = result_of(case, setting.profile)
    packed = leg.compress(floats(case["in"])[None])
    note = first_difference("encoded byte", packed[0].astype(np.int64), _bytes(expected["encoded"]).astype(np.int64))
    if not note:
        note = first_difference("decoded", leg.decompress(packed)[0], floats(expected["decoded"]))
    if not note and "after_add_encoded" in expected:
        after = leg.add(packed, floats(case["add"])[None])[0].astype(np.int64)
        note = first_difference("after_add_encoded byte", after, _bytes(expected["after_add_encoded"]).astype(np.int64))
    return note


def _run_digest(case: Mapping[str, Any], setting: Setting, quirks: Quirks) -> str:
    """All codes of a compressor decoded in order, NaNs made canonical, as one digest."""
    config = config_values(case.get("config", {}))
    size = (
        codec([CodecSegment(1, case["kind"], config)], setting.target, quirks)
        .compress(np.zeros((1, 1), np.float32))
        .size
    )
    codes = np.arange(256**size, dtype=np.uint32).view(np.uint8).reshape(-1, 4)[:, :size]
    leg = codec([CodecSegment(256**size, case["kind"], config)], setting.target, quirks)
    words = leg.decompress(np.ascontiguousarray(codes).reshape(1, -1))[0].view(np.uint32).copy()
    words[(words & 0x7FFFFFFF) > 0x7F800000] = 0x7FC00000
    digest = hashlib.sha256(words.astype(">u4").tobytes()).hexdigest()
    return "" if digest == case["decoded_sha256"] else f"digest {digest}, expected {case['decoded_sha256']}"


def _is_compressors(document: dict[str, Any]) -> bool:
    cases = document.get("cases")
    return isinstance(cases, list) and bool(cases) and all("in" in c or "decoded_sha256" in c for c in cases)


@replays(when=_is_compressors)
def replay_compressors(document: dict[str, Any], setting: Setting) -> Iterator[Outcome]:
    """Serving rows: assign, read, assign_add."""
    for case in document["cases"]:

        def run(case: Mapping[str, Any] = case) -> str:
            if "decoded_sha256" in case:
                return _switch_sets(case, setting, lambda quirks: _run_digest(case, setting, quirks))
            segments = [
                CodecSegment(s["dim"], s["compressor"]["kind"], config_values(s["compressor"]["config"]))
                for s in case["segments"]
            ]
            return _switch_sets(
                case, setting, lambda quirks: _run_compressor(codec(segments, setting.target, quirks), case, setting)
            )

        kinds = {s["compressor"]["kind"] for s in case["segments"]} if "segments" in case else {case["kind"]}
        yield from judged(case["id"], "+".join(sorted(kinds)), run)
