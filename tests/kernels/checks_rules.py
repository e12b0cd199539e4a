"""Rows drawn at random, specials among them, and the comparison of a leg with the oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
from monolith_conformance.vectors.legs import codec, row_leg
from monolith_conformance.vectors.words import first_difference
from monolith_kernels import rules
from numpy.typing import NDArray

from monolith_ref.quirks import Quirks
from monolith_ref.row_codec import CodecSegment
from monolith_ref.rows import Rows, RowSegment

SPECIALS = np.array(
    [0, 0x80000000, 1, 0x80000001, 0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000,
     0x3F800000, 0xBF800000, 0x7149F2CA, 0x1E3CE508, 0x33800000, 0x4B800000, 0x3F000000, 0x477FE000, 0x38800000],
    np.uint32,
).view(np.float32)  # fmt: skip
DIMS = (1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 257)


def numbers(rng: np.random.Generator, shape: tuple[int, ...], special: float) -> NDArray[np.float32]:
    """Ordinary numbers of many sizes, a share of them special."""
    values = (rng.standard_normal(shape) * 10.0 ** rng.uniform(-4, 2, shape)).astype(np.float32)
    return np.where(rng.random(shape) < special, rng.choice(SPECIALS, shape), values).astype(np.float32)


def random_config(rng: np.random.Generator, rule: str) -> dict[str, Any]:
    """Some fields of the rule's message away from their defaults."""
    config: dict[str, Any] = {}
    for name, default in rules.ALL[rule].defaults.items():
        if rng.random() < 0.5:
            continue
        if isinstance(default, bool):
            config[name] = bool(rng.integers(2))
        elif isinstance(default, float):
            config[name] = float(np.float32(rng.choice([0.0, 0.001, 0.1, 0.5, 0.9, 0.999, 1.0])))
    return config


def compare(what: str, got: Rows, wanted: Rows) -> str:
    """First difference of two sets of rows."""
    notes = [first_difference(f"{what} w", got.weights, wanted.weights)]
    if not len(got.weights):
        return notes[0]  # The oracle keeps states row by row: no row, no fields.
    for number, (a, b) in enumerate(zip(got.states, wanted.states, strict=True)):
        assert set(a) == set(b)
        notes += [first_difference(f"{what} segment {number} {name}", a[name], b[name]) for name in a]
    return next((note for note in notes if note), "")


def check_rule(target: str, profile: str, rule: str, seed: int, dim: int, count: int, preset: str) -> None:
    """Three steps of some rows: the leg gives the oracle's bits."""
    rng = np.random.default_rng(seed)
    width = 1 if rule == "batch_softmax" and "clean" in preset else dim
    segment = RowSegment(width, rule, random_config(rng, rule))
    quirks = Quirks.parse(preset)
    legs = [row_leg([segment], name, profile, quirks) for name in (target, "oracle")]
    special = float(rng.choice([0.0, 0.1, 0.7]))
    weights = numbers(rng, (count, width), special)
    rows = [leg.rows(weights, leg.create(count).states) for leg in legs]
    for step in range(3):
        gradient = numbers(rng, (count, width), special)
        rate = np.array([rng.choice(numbers(rng, (4,), 0.3)) if rng.random() < 0.3 else 0.05], np.float32)
        rows = [
            leg.optimize(before, gradient, rate, int(rng.integers(0, 2**40)) if step == 9 else 100 + step)
            for leg, before in zip(legs, rows, strict=True)
        ]
        note = compare(f"{rule} {segment.config} {preset} dim {width} rate {rate[0]!r} step {step}", *rows)
        assert not note, note


def check_entry(target: str, profile: str, seed: int, count: int, preset: str) -> None:
    """Rows of several segments, some rounded stochastically, some with quantised reads."""
    rng = np.random.default_rng(seed)
    segments = []
    for _ in range(int(rng.integers(1, 4))):
        rule = str(rng.choice(["sgd", "adagrad", "adam", "ftrl", "group_adagrad", "momentum"]))
        kind = str(rng.choice(["fp32", "fp16", "fixed_r8", "one_bit"]))
        start = str(rng.choice(["zeros", "ones", "random_uniform"]))
        segments.append(
            RowSegment(
                int(rng.integers(1, 20)), rule, random_config(rng, rule), start, {}, kind,
                {"step_size": 2} if kind == "one_bit" else {}, bool(rng.integers(2)),
            )
        )  # fmt: skip
    dim = sum(segment.dim for segment in segments)
    legs = [row_leg(segments, name, profile, Quirks.parse(preset)) for name in (target, "oracle")]
    rows = [leg.create(count) for leg in legs]
    assert not compare("created", *rows), compare("created", *rows)
    for step in range(3):
        gradient = numbers(rng, (count, dim), 0.05)
        rates = np.full(len(segments), 0.1, np.float32)
        seen = [leg.seen_gradients(before, gradient, step) for leg, before in zip(legs, rows, strict=True)]
        assert not first_difference("seen gradients", *seen), first_difference("seen gradients", *seen)
        rows = [leg.optimize(before, gradient, rates, step) for leg, before in zip(legs, rows, strict=True)]
        note = compare(f"{segments} {preset} step {step}", *rows)
        assert not note, note
        reads = [leg.read(row) for leg, row in zip(legs, rows, strict=True)]
        assert not first_difference("read", *reads), first_difference("read", *reads)


def check_codec(target: str, seed: int, count: int, preset: str) -> None:
    """Packing, unpacking and adding, all compressors side by side."""
    rng = np.random.default_rng(seed)
    kinds = rng.permutation(["fp32", "fp16", "fixed_r8", "one_bit"])
    segments = [CodecSegment(int(rng.integers(1, 9)), str(kind)) for kind in kinds]
    legs = [codec(segments, name, Quirks.parse(preset)) for name in (target, "oracle")]
    values = numbers(rng, (count, sum(s.dim for s in segments)), 0.4)
    packed = [leg.compress(values) for leg in legs]
    assert np.array_equal(packed[0], packed[1])
    opened = [leg.decompress(packed[0]) for leg in legs]
    assert not first_difference("decoded", *opened), first_difference("decoded", *opened)
    added = [leg.add(packed[0], numbers(np.random.default_rng(seed), values.shape, 0.1)) for leg in legs]
    assert np.array_equal(added[0], added[1])
