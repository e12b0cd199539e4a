"""Layouts and combiners against the oracle on random batches, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from monolith_conformance.oracle import combine as oracle
from monolith_conformance.vectors.words import first_difference
from numpy.typing import NDArray

from monolith_ref.errors import ArgumentError, ConfigError, DtypeError, ShapeError, UnsupportedError
from monolith_ref.features.layouts import EmbeddingLayout, FeaturePlan, LayoutPlan
from monolith_ref.features.reduce import Reducer

FEATURES = {
    "a": FeaturePlan("SUM", (2, 3)),
    "b": FeaturePlan("MEAN", (2, 3)),
    "c": FeaturePlan("FIRSTN", (3,), 2),
}
LAYOUTS = {
    "bias": LayoutPlan("ADDN", (("a", 0, 2), ("b", 0, 2))),
    "vec": LayoutPlan("CONCAT", (("b", 2, 5), ("a", 2, 5), ("a", 0, 2))),
    "stk": LayoutPlan("STACK", (("a", 2, 5), ("b", 2, 5))),
    "sep": LayoutPlan("NONE", (("a", 2, 5), ("c", 0, 3))),
}
BATCH = 4


def _case(rng: np.random.Generator, version: int, shared: bool) -> tuple[dict[str, Any], list[NDArray[np.float32]]]:
    """Offsets of a random batch in the vectors' form, and its buffers."""
    fids: list[int] = []
    starts: list[int] = []
    nfl: list[int] = []
    for name, (table, width, rows) in {"a": (0, 5, 6), "b": (0, 5, 6), "c": (1, 3, 5)}.items():
        lone = shared and name == "b"
        nfl.append(len(starts) | (0x80000000 if lone else 0))
        for _ in range(1 if lone else BATCH):
            starts.append(len(fids))
            picked = rng.integers(0, rows, rng.integers(0, 4))
            fids += [(table << 32) | int(row if version == 1 else row * width) for row in picked]
    shapes = [(6, 5), (5, 3)] if version == 1 else [(30,), (15,)]
    buffers = [np.where(rng.random(s) < 0.2, -0.0, rng.standard_normal(s)).astype(np.float32) for s in shapes]
    shaped = {"bias": [[-1, 2]], "vec": [[-1, 8]], "stk": [[-1, 2, 3]], "sep": [[-1, 3], [-1, 2, 3]]}
    case = {
        "features": {
            name: {"pooling": f.pooling, "max_sequence_length": f.max_sequence_length} for name, f in FEATURES.items()
        },
        "layouts": {
            name: {"out_type": plan.out_type, "slices": plan.slices, "shapes": shaped[name]}
            for name, plan in LAYOUTS.items()
        },
        "fid_offset": fids,
        "feature_offset": starts,
        "nfl_offset": nfl,
        "batch_size": BATCH,
        "op_version": version,
    }
    return case, buffers


def _offsets(case: dict[str, Any]) -> tuple[Any, Any, Any, int]:
    kinds = (("fid_offset", np.uint64), ("feature_offset", np.int32), ("nfl_offset", np.uint32))
    fids, starts, nfl = (np.array(case[name], kind) for name, kind in kinds)
    return fids, starts, nfl, BATCH


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("version", [1, 3])
def test_layouts_give_the_oracles_bits(version: int, shared: bool) -> None:
    rng = np.random.default_rng(17)
    for _ in range(20):
        case, buffers = _case(rng, version, shared)
        layout = EmbeddingLayout(FEATURES, LAYOUTS, version=version)
        outs = layout.forward(buffers, *_offsets(case))
        for got, wanted in zip(outs, oracle.layout_forward(case, buffers), strict=True):
            assert not first_difference("out", got, wanted), first_difference("out", got, wanted)
        upstream = [rng.standard_normal(out.shape).astype(np.float32) for out in outs]
        upstream[0][:] = -0.0
        grads = layout.backward(buffers, *_offsets(case), list(upstream))
        for got, wanted in zip(grads, oracle.layout_backward(case, buffers, upstream), strict=True):
            assert not first_difference("gradient", got, wanted), first_difference("gradient", got, wanted)


def _sequences(quirks: str) -> NDArray[np.float32]:
    features = {"x": FeaturePlan("FIRSTN", (3,), 2), "y": FeaturePlan("FIRSTN", (3,), 2)}
    layouts = {"seq": LayoutPlan("CONCAT", (("x", 0, 3), ("y", 0, 3)))}
    rows = np.arange(1, 13, dtype=np.float32).reshape(4, 3)
    fids, starts, nfl = np.arange(4, dtype=np.uint64), np.array([0, 2], np.int32), np.array([0, 1], np.uint32)
    return EmbeddingLayout(features, layouts, quirks=quirks).forward([rows], fids, starts, nfl, 1)[0]


def test_sequences_are_joined_along_the_sequence_or_overlap_under_the_quirk() -> None:
    assert _sequences("clean").tolist() == [[[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]]]
    assert _sequences("original").tolist() == [[[1, 2, 3, 7, 8, 9], [10, 11, 12, 0, 0, 0]]]


def test_bad_layouts() -> None:
    with pytest.raises(UnsupportedError, match="2"):
        EmbeddingLayout(FEATURES, LAYOUTS, version=2)
    for plan in (
        LayoutPlan("ADDN", (("c", 0, 3),)),
        LayoutPlan("CONCAT", (("d", 0, 3),)),
        LayoutPlan("CONCAT", (("a", 0, 6),)),
        LayoutPlan("STACK", (("a", 0, 2), ("a", 2, 5))),
        LayoutPlan("CONCAT", ()),
        LayoutPlan("CONCAT", (("a", 0, 2),), ((-1, 3),)),
    ):
        with pytest.raises(ConfigError, match=r"layout|slice|joined|ADDN"):
            EmbeddingLayout(FEATURES, {"l": plan})


def test_bad_offsets_are_refused_before_anything_is_written() -> None:
    case, buffers = _case(np.random.default_rng(3), 1, False)
    layout = EmbeddingLayout(FEATURES, LAYOUTS)
    fids, starts, nfl, batch = _offsets(case)
    fids[0] = (5 << 32) | 0
    with pytest.raises(ArgumentError, match="list 5"):
        layout.forward(buffers, fids, starts, nfl, batch)
    fids[0] = 77
    with pytest.raises(ArgumentError, match="outside"):
        layout.forward(buffers, fids, starts, nfl, batch)
    with pytest.raises(ShapeError, match="rows"):
        layout.forward(buffers, _offsets(case)[0], starts, nfl, batch + 1)


@pytest.mark.parametrize("profile", ["ieee", "avx"])
@pytest.mark.parametrize("kind", ["reduce_sum", "reduce_mean", "reduce_sqrtn", "first_n"])
def test_combiners_give_the_oracles_bits(kind: str, profile: str) -> None:
    rng = np.random.default_rng(23)
    for dim in (1, 5, 16, 33):
        splits = np.concatenate([[0], np.cumsum(rng.integers(0, 6, 7))])
        values = np.where(rng.random((splits[-1], dim)) < 0.2, -0.0, rng.standard_normal((splits[-1], dim)))
        values = values.astype(np.float32)
        for quirks in ("clean", "original"):
            names = {"reduce_mean_empty_nan"} if quirks == "original" else set()
            reducer = Reducer("cpu", profile=profile, quirks=quirks)
            out = reducer.combine(kind, values, splits, 3)
            wanted = oracle.combine(kind, values, splits, 3, profile=profile, quirks=names)
            assert not first_difference("out", out, wanted), first_difference("out", out, wanted)
        upstream = rng.standard_normal(out.shape).astype(np.float32)
        got = reducer.gradient(kind, upstream, values, splits, 3)
        wanted = oracle.combine_gradient(kind, upstream, values, splits, 3, profile=profile)
        assert not first_difference("gradient", got, wanted), first_difference("gradient", got, wanted)


def test_bad_batches() -> None:
    reducer, values = Reducer(), np.ones((3, 2), np.float32)
    for splits, error in (([0, 2], ShapeError), ([0, 2, 1, 3], ArgumentError), ([0.0, 3.0], DtypeError)):
        with pytest.raises(error, match="row_splits"):
            reducer.combine("reduce_sum", values, splits)
    with pytest.raises(ArgumentError, match="'reduce_max'"):
        reducer.combine("reduce_max", values, [0, 3])
    with pytest.raises(ArgumentError, match="at least 1"):
        reducer.combine("first_n", values, [0, 3])
    with pytest.raises(DtypeError, match="float32"):
        reducer.combine("reduce_sum", values.astype(np.float64), [0, 3])
