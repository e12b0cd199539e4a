"""The configuration object of the original, the entry of synchronous training, and models on several ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monolith_ref.errors import ConfigError, UnsupportedError
from monolith_ref.sync.communicator import SerialCommunicator
from monolith_ref.training.config import DistributedCpuTrainingConfig, options_of
from monolith_ref.training.distributed import distributed_sync_train
from monolith_ref.training.settings import Settings
from tests.monolith_ref.training.tasks import Task
from tests.support.mpi import run_ranks

RANKS = Path(__file__).with_name("ranks_training.py")


def train(config: DistributedCpuTrainingConfig | None = None, environment: dict[str, str] | None = None) -> Any:
    return distributed_sync_train(
        config or DistributedCpuTrainingConfig(),
        Task(),
        communicator=SerialCommunicator(),
        environment=environment or {},
    )


def test_training_ends_with_the_data_or_with_the_steps() -> None:
    assert train().global_step == 4
    assert train(environment={"MONOLITH_REF_TRAINING_STEPS": "3"}).global_step == 3


def test_environment_wins_over_the_configuration_and_that_over_defaults() -> None:
    merged = DistributedCpuTrainingConfig(use_native_multi_hash_table=False)
    assert len(train(merged).tables) == 1
    assert len(train(merged, {"MONOLITH_REF_TABLE_LAYOUT": "multi"}).tables) == 3


def test_the_task_sees_what_was_decided() -> None:
    task = Task()
    task.p.train.max_steps = 3
    engine = distributed_sync_train(
        DistributedCpuTrainingConfig(),
        task,
        communicator=SerialCommunicator(),
        environment={"MONOLITH_REF_TRAINING_BATCH_SIZE_PER_RANK": "6", "MONOLITH_REF_TRAINING_SEED": "7"},
    )
    assert (engine.global_step, task.p.train.batch_size, task.p.seed) == (3, 6, 7)
    assert engine.options.clip_norm == 1000.0
    task.p.clip_norm = None
    engine = distributed_sync_train(
        DistributedCpuTrainingConfig(), task, communicator=SerialCommunicator(), environment={}
    )
    assert engine.options.clip_norm is None


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"index": 1}, ConfigError, "index is 1, the launcher gives 0"),
        ({"num_workers": 2}, ConfigError, "num_workers is 2, the launcher gives 1"),
        ({"num_ps": 3}, ConfigError, "num_ps is 3"),
        ({"enable_partial_sync_training": True}, UnsupportedError, "partial"),
        ({"save_checkpoints_secs": 3, "save_checkpoints_steps": 3}, ConfigError, "exclude each other"),
    ],
)
def test_configurations_that_contradict(fields: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        train(DistributedCpuTrainingConfig(**fields))


def test_fields_become_settings() -> None:
    config = DistributedCpuTrainingConfig(
        embedding_prefetch_capacity=2,
        enable_pipelined_fwda2a=True,
        enable_async_optimize=True,
        enable_gpu_training=True,
        save_checkpoints_steps=5,
        hashtable_init_capacity=100,
        intra_op_parallelism_threads=2,
        model_dir="somewhere",
    )
    settings = Settings.resolve(environment={}, defaults=config.as_settings())
    assert settings["sync.staleness"] == 6
    assert settings["targets"] == ("cuda",)
    assert settings["checkpoint.every_steps"] == 5
    assert (settings["table.initial_capacity"], settings["threads"]) == (100, 2)
    assert settings["model_dir"] == "somewhere"
    assert options_of(settings).staleness == 6
    plain = Settings.resolve(environment={}, defaults=DistributedCpuTrainingConfig().as_settings())
    assert plain["sync.staleness"] == 0


def test_reordering_off_has_no_effect_and_says_so() -> None:
    with pytest.warns(UserWarning, match="no effect"):
        train(DistributedCpuTrainingConfig(reorder_fids_in_data_pipeline=False))


def test_training_runs_in_one_layout_on_one_target() -> None:
    with pytest.raises(ConfigError, match="multi or merged"):
        train(environment={"MONOLITH_REF_TABLE_LAYOUT": "both"})
    with pytest.raises(ConfigError, match="one target"):
        train(environment={"MONOLITH_REF_TARGETS": "cpu,cuda"})


@pytest.mark.mpi
def test_two_ranks_train_on_their_own_data_and_clip_as_one() -> None:
    result = run_ranks(2, [str(RANKS)])
    assert result.code == 0, result.stderr
    # The launcher may join lines of two ranks.
    assert all(result.stdout.count(f"rank {rank} ok") == 1 for rank in range(2)), result.stdout
