"""How an engine makes its steps. Rule: sync_training 2.5, 3, 5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from monolith_ref.features.tables import Layout
from monolith_ref.learning_rate import LrProfile
from monolith_ref.sync.embeddings import Reduction

__all__ = ["EngineOptions"]


@dataclass(frozen=True)
class EngineOptions:
    """How steps are made; the keys of ``training.settings`` that an engine needs.

    Attributes
    ----------
    layout : "multi" or "merged"
        A table per feature, or one for all features of equal configuration (sync_training 2.5).
    reduction : "sequential", "sum", "mean" or "exact"
        How gradients of several ranks are joined (sync_training 5).
    empty_rank0 : bool
        Rank 0 owns no rows (only for more than 4 ranks).
    clip_norm : float or None
        Limit of a rank's own gradient norm (``exact``: of the norm over all ranks); None: no clipping.
    dense_weight_decay : float
        Times the variable, added to reduced dense gradients.
    merge_collisions : bool
        The quirk of that name, also without the model having it: features of a merged table may share ids.
    grad_wire, dense_wire : "f32" or "f16"
        How embedding and dense gradients travel.
    fusion : "none" or "one"
        Dense gradients travel one by one or as one.
    skip_allreduce : bool
        Dense gradients are not reduced.
    lr_profile : "plain" or "rewritten"
        Arithmetic of learning-rate schedules (entry 5.2).
    staleness : int
        Step t reads rows as after update t - 1 - staleness.
    initial_capacity : int
        Rows to make room for at the start.
    filter_type, filter_capacity, filter_split_num
        The admission filter of a rank, where a feature has an occurrence threshold (filters 8).
    non_finite : "raise", "propagate" or "skip"
        What happens to a step with NaN or infinity among its gradients.
    uneven : "stop" or "pad"
        Where ranks bring data of their own: all stop when the first runs out of it, or go on until the last has.
    """

    layout: Layout = "multi"
    reduction: Reduction = "sequential"
    empty_rank0: bool = False
    clip_norm: float | None = None
    dense_weight_decay: float = 0.0
    merge_collisions: bool = False
    grad_wire: Literal["f32", "f16"] = "f32"
    dense_wire: Literal["f32", "f16"] = "f32"
    fusion: Literal["none", "one"] = "one"
    skip_allreduce: bool = False
    lr_profile: LrProfile = "plain"
    staleness: int = 0
    non_finite: Literal["raise", "propagate", "skip"] = "raise"
    uneven: Literal["stop", "pad"] = "stop"
    initial_capacity: int = 0
    filter_type: str = "sliding_hash_filter"
    filter_capacity: int = 300_000_000
    filter_split_num: int = 7
