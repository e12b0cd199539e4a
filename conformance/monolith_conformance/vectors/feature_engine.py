"""The engine's side of features.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from monolith_kernels.target import target as make_target
from numpy.typing import NDArray

from monolith_ref.dense import clipping
from monolith_ref.features.layouts import EmbeddingLayout, FeaturePlan, LayoutPlan
from monolith_ref.features.reduce import Reducer, row_splits_of, rowids, unique_gradient, unique_with_offsets
from monolith_ref.quirks import Quirks

__all__ = ["EngineFeatures"]

F4 = NDArray[np.float32]


def _flat(array: F4) -> F4:
    return np.ascontiguousarray(array).reshape(-1)


class EngineFeatures:
    """What feature cases ask of the engine on a target."""

    def __init__(self, target: str, profile: str, quirks: Quirks) -> None:
        self._target = make_target(target, profile)
        self._quirks = quirks
        self._reducer = Reducer(self._target, quirks=quirks)

    def combine(self, kind: str, values: F4, splits: Sequence[int], n: int = 0) -> F4:
        """Forward of a combiner."""
        return self._reducer.combine(kind, values, splits, n)

    def combine_gradient(self, kind: str, upstream: F4, values: F4, splits: Sequence[int], n: int = 0) -> F4:
        """Gradient of a combiner."""
        return self._reducer.gradient(kind, upstream, values, splits, n)

    def segment_sum(self, values: F4, ids: Sequence[int], rows: int) -> F4:
        """Sequential sums of rows."""
        return self._reducer.segment_sum(values, row_splits_of(ids, rows))

    def rowids(self, splits: Sequence[int]) -> NDArray[np.int64]:
        """Row of every occurrence."""
        return rowids(splits)

    def unique(self, ids: NDArray[np.int64]) -> tuple[Any, Any, Any]:
        """(unique, inverse, counts), int64."""
        found = self._target.dedup.unique_tables(self._target.asarray(ids), np.array([0, len(ids)], np.int64))
        parts = (found.unique, found.inverse, found.counts)
        unique, inverse, counts = (self._target.to_host(part).astype(np.int64) for part in parts)
        return unique, inverse, counts

    def unique_offsets(self, keys: Sequence[int], splits: Sequence[int], dims: Sequence[int]) -> tuple[Any, ...]:
        """(keys, key splits, offsets, offset splits)."""
        found = unique_with_offsets(keys, splits, dims, self._target)
        return found.keys, found.key_splits, found.offsets, found.offset_splits

    def unique_gradient(self, keys: Sequence[int], splits: Sequence[int], dims: Sequence[int], upstream: F4) -> F4:
        """Sums of the occurrences' gradients."""
        return unique_gradient(unique_with_offsets(keys, splits, dims, self._target), dims, upstream, self._target)

    # ---- layouts

    def _layout(self, case: dict[str, Any]) -> EmbeddingLayout:
        features = {
            name: FeaturePlan(f["pooling"], tuple(f["slice_dims"]), f["max_sequence_length"])
            for name, f in case["features"].items()
        }
        layouts = {
            name: LayoutPlan(
                part["out_type"], tuple(tuple(s) for s in part["slices"]), tuple(tuple(s) for s in part["shapes"])
            )
            for name, part in case["layouts"].items()
        }
        return EmbeddingLayout(features, layouts, version=case["op_version"], target=self._target, quirks=self._quirks)

    def _offsets(self, case: dict[str, Any]) -> tuple[Any, Any, Any, int]:
        return (
            np.array(case["fid_offset"], np.uint64),
            np.array(case["feature_offset"], np.int32),
            np.array(case["nfl_offset"], np.uint32),
            case["batch_size"],
        )

    def layout_forward(self, case: dict[str, Any], embeddings: Sequence[F4]) -> list[F4]:
        """Output tensors."""
        return self._layout(case).forward(embeddings, *self._offsets(case))

    def layout_backward(self, case: dict[str, Any], embeddings: Sequence[F4], gradients: Sequence[F4]) -> list[F4]:
        """Gradients of the embedding buffers."""
        return self._layout(case).backward(embeddings, *self._offsets(case), list(gradients))

    # ---- clipping

    def global_norm(self, tensors: Sequence[F4]) -> np.float32:
        """Norm in float64, rounded."""
        return clipping.global_norm(list(tensors), self._target)

    def clip_by_global_norm(self, tensors: Sequence[F4], limit: Any, norm: Any) -> list[F4]:
        """Clipped by a given norm."""
        return clipping.clip_by_global_norm(list(tensors), limit, norm, target=self._target)[0]

    def clip_by_norm(self, tensor: F4, limit: Any) -> F4:
        """Clipped by its own norm."""
        return clipping.clip_by_norm(tensor, limit)

    def clip_by_value(self, tensor: F4, limit: Any) -> F4:
        """Clipped element by element."""
        return clipping.clip_by_value(tensor, limit, self._target)

    # ---- the dense half

    def _put(self, array: F4) -> Any:
        return self._target.asarray(np.ascontiguousarray(array))

    def _new(self, *shape: int) -> Any:
        return self._target.asarray(np.zeros(shape, np.float32))

    def _host(self, array: Any) -> F4:
        return np.array(self._target.to_host(array))

    def relu(self, x: F4, upstream: F4) -> tuple[F4, F4]:
        """(relu(x), its gradient)."""
        out, gradient = self._new(x.size), self._new(x.size)
        self._target.dense.relu(self._put(_flat(x)), out)
        self._target.dense.relu_gradient(self._put(_flat(upstream)), out, gradient)
        return self._host(out).reshape(x.shape), self._host(gradient).reshape(x.shape)

    def mse(self, pred: F4, label: F4) -> tuple[np.float32, F4]:
        """(loss, gradient of pred); a [B, 1] prediction and [B] labels meet in all pairs."""
        rows = len(pred)
        gradient = self._new(rows)
        p, y = self._put(_flat(pred)), self._put(_flat(label))
        if pred.ndim == 2 and label.ndim == 1:
            loss = np.float32(self._target.dense.squared_error_broadcast(p, y, gradient))
        else:
            total = self._target.dense.squared_error(p, y, float(rows), gradient)
            loss = np.float32(np.float32(total) / np.float32(rows))
        return loss, self._host(gradient).reshape(pred.shape)

    def two_layers(self, given: dict[str, F4], label: F4) -> tuple[np.float32, F4, dict[str, F4]]:
        """(loss, pred, gradients) of relu(X W1 + b1) W2 + b2 under the squared error."""
        dense = self._target.dense
        x, w1, b1, w2, b2 = (self._put(given[name]) for name in ("X", "W1", "b1", "W2", "b2"))
        rows, wide, outs = len(given["X"]), given["W1"].shape[1], given["W2"].shape[1]
        hidden, pred = self._new(rows, wide), self._new(rows, outs)
        dense.affine(x, w1, b1, hidden, True)
        dense.affine(hidden, w2, b2, pred)
        loss, g = self.mse(self._host(pred), label)
        upstream = self._put(g)
        dhidden, dx = self._new(rows, wide), self._new(rows, given["X"].shape[1])
        grads = {name: self._new(*given[name].shape) for name in ("W1", "b1", "W2", "b2")}
        dense.weight_gradient(hidden, upstream, grads["W2"])
        dense.bias_gradient(upstream, grads["b2"])
        dense.input_gradient(upstream, w2, dhidden, self._new(outs, wide))
        dense.relu_gradient(dhidden.reshape(-1), hidden.reshape(-1), dhidden.reshape(-1))
        dense.weight_gradient(x, dhidden, grads["W1"])
        dense.bias_gradient(dhidden, grads["b1"])
        dense.input_gradient(dhidden, w1, dx, self._new(wide, given["X"].shape[1]))
        return loss, self._host(pred), {**{n: self._host(a) for n, a in grads.items()}, "X": self._host(dx)}
