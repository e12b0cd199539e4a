"""The configuration object of the original's synchronous training, and the options an engine gets from settings.

Rule: sync_training 3, job 6 and 8.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from monolith_ref.errors import ConfigError, UnsupportedError
from monolith_ref.training.options import EngineOptions
from monolith_ref.training.settings import Settings

__all__ = ["DistributedCpuTrainingConfig", "options_of"]


@dataclass
class DistributedCpuTrainingConfig:
    """Fields as in the original; settings of the command line and of the environment win over them.

    ``index``, ``num_workers`` and ``num_ps`` are derived; values that contradict the launcher are errors. Fields
    without effect here: ``enable_embedding_postpush``, ``enable_variable_prefetch``, ``enable_variable_postpush``,
    ``enable_pipelined_bwda2a``, ``reorder_fids_in_data_pipeline``, ``use_dataservice``, ``merge_sync_training_ckpt``.
    """

    model_dir: str | None = None
    index: int | None = None
    num_workers: int | None = None
    num_ps: int = 0
    enable_sync_training: bool = True
    enable_partial_sync_training: bool = False
    use_native_multi_hash_table: bool | None = None
    embedding_prefetch_capacity: int = 0
    enable_async_optimize: bool = False
    enable_pipelined_fwda2a: bool = False
    enable_pipelined_bwda2a: bool = False
    reorder_fids_in_data_pipeline: bool = True
    enable_embedding_postpush: bool = False
    enable_variable_prefetch: bool = False
    enable_variable_postpush: bool = False
    enable_gpu_training: bool = False
    processes_per_gpu: int = 1
    save_checkpoints_secs: float | None = None
    save_checkpoints_steps: int | None = None
    checkpoints_max_to_keep: int = 10
    merge_sync_training_ckpt: bool = True
    save_summary_steps: int = 100
    log_step_count_steps: int = 100
    hashtable_init_capacity: int = 0
    filter_type: str = "sliding_hash_filter"
    filter_capacity: int = 300_000_000
    filter_split_num: int = 7
    use_dataservice: bool | None = None
    intra_op_parallelism_threads: int | None = None

    def check(self, rank: int, ranks: int) -> None:
        """Errors for what contradicts the launcher or is not offered; a warning for what has no effect."""
        if self.enable_partial_sync_training:
            raise UnsupportedError("enable_partial_sync_training: there are no parameter servers here")
        for name, value, derived in (
            ("index", self.index, rank),
            ("num_workers", self.num_workers, ranks),
            ("num_ps", self.num_ps, 0),
        ):
            if value is not None and value != derived:
                raise ConfigError(f"config field {name} is {value}, the launcher gives {derived}")
        if not self.reorder_fids_in_data_pipeline:
            warnings.warn("reorder_fids_in_data_pipeline=False has no effect: there is one code path", stacklevel=2)

    def as_settings(self) -> dict[str, str]:
        """What the fields say, by setting."""
        stale = self.embedding_prefetch_capacity + 1 if self.embedding_prefetch_capacity > 0 else 0
        stale += 2 * self.enable_pipelined_fwda2a + self.enable_async_optimize
        said = {
            "table.layout": "merged" if self.use_native_multi_hash_table is False else "multi",
            "table.initial_capacity": str(self.hashtable_init_capacity),
            "sync.staleness": str(stale),
            "targets": "cuda" if self.enable_gpu_training else "cpu",
            "cuda.processes_per_device": str(self.processes_per_gpu),
            "checkpoint.keep": str(self.checkpoints_max_to_keep),
            "training.log_every": str(self.log_step_count_steps),
            "training.report_every": str(self.save_summary_steps),
            "filter.type": self.filter_type,
            "filter.capacity": str(self.filter_capacity),
            "filter.split_num": str(self.filter_split_num),
        }
        for key, value in (
            ("checkpoint.every_seconds", self.save_checkpoints_secs),
            ("checkpoint.every_steps", self.save_checkpoints_steps),
            ("threads", self.intra_op_parallelism_threads),
            ("model_dir", self.model_dir),
        ):
            if value is not None:
                said[key] = str(value)
        return said


def options_of(settings: Settings) -> EngineOptions:
    """The options of an engine; ``table.layout`` must be one of the two."""
    layout = settings["table.layout"]
    if layout not in ("multi", "merged"):
        raise ConfigError(f"table.layout must be multi or merged to train, not {layout!r}")
    return EngineOptions(
        layout=layout,
        reduction=settings["sync.reduction"],
        empty_rank0=settings["sync.empty_rank0"],
        clip_norm=settings["training.clip_norm"] or None,
        dense_weight_decay=settings["training.dense_weight_decay"],
        grad_wire=settings["sync.embedding_grad_wire"],
        dense_wire=settings["sync.dense_wire"],
        fusion=settings["sync.allreduce_fusion"],
        skip_allreduce=settings["sync.skip_allreduce"],
        staleness=settings["sync.staleness"],
        non_finite=settings["training.non_finite"],
        uneven=settings["training.uneven"],
        lr_profile=settings["training.lr_profile"],
        initial_capacity=settings["table.initial_capacity"],
        filter_type=settings["filter.type"],
        filter_capacity=settings["filter.capacity"],
        filter_split_num=settings["filter.split_num"],
    )
