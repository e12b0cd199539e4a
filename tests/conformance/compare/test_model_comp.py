"""The published test lives on: embedding updates of the engine against plain NumPy under the original's configurations.

Same class, same method, same variables of the environment; but every number of every step is compared, and rows move.
"""

from __future__ import annotations

import unittest
from itertools import pairwise

from monolith_conformance.compare.comparer import Comparer
from monolith_conformance.compare.final import check_all_rows, collect_state_digest, oracle_state_digest
from monolith_conformance.compare.generator import FEATURES, ID_SPACE, feature_names, kernel
from monolith_conformance.compare.path_b import PathB
from monolith_conformance.compare.task import DIM, HIDDEN, HIDDEN_BIAS, START, EmbeddingUpdateTask
from monolith_conformance.compare.universe import GeneratedUniverse
from monolith_conformance.oracle.sync import Layer, Settings

from monolith_ref.sync.communicator import SerialCommunicator
from monolith_ref.training.config import DistributedCpuTrainingConfig
from monolith_ref.training.distributed import distributed_sync_train

ENVIRONMENT = {
    "MONOLITH_WITH_HOROVOD": "True",
    "HOROVOD_AUTOTUNE": "1",
    "HOROVOD_CYCLE_TIME": "0.1",
    "MONOLITH_SYNC_EMPTY_RANK0_PS_SHARD": "0",
    "MONOLITH_WITH_ALLREDUCE_FUSION": "one",
    "MONOLITH_ROOT_LOG_INTERVAL": "10",
}
STATE_AFTER_50 = "c5967cc892171aca"


def _has_gpu() -> bool:
    from numba import config, cuda

    return not config.ENABLE_CUDASIM and bool(cuda.is_available())


class CpuSyncTrainTest(unittest.TestCase):
    """One rank; several ranks are compared by the command."""

    def _create_config(self, gpu: bool, multi_hash_table: bool) -> DistributedCpuTrainingConfig:
        return DistributedCpuTrainingConfig(
            num_ps=0,
            num_workers=1,
            index=0,
            enable_sync_training=True,
            enable_gpu_training=gpu,
            use_native_multi_hash_table=multi_hash_table,
            reorder_fids_in_data_pipeline=True,
            embedding_prefetch_capacity=0,
        )

    def test_embedding_update(self) -> None:
        """(gpu, multi table) = (no, no), (no, yes); with a GPU (yes, no) and (yes, yes) too."""
        for gpu in (False, True) if _has_gpu() else (False,):
            for multi_hash_table in (False, True):
                with self.subTest(gpu=gpu, multi_hash_table=multi_hash_table):
                    self._compare(self._create_config(gpu, multi_hash_table))

    def _compare(self, config: DistributedCpuTrainingConfig) -> None:
        task, communicator = EmbeddingUpdateTask(), SerialCommunicator()
        sizes = (DIM * FEATURES, *HIDDEN, 1)
        layers = [
            Layer.fresh(kernel(task.p.seed, number, fan_in, fan_out), HIDDEN_BIAS if fan_out > 1 else 0.0, START)
            for number, (fan_in, fan_out) in enumerate(pairwise(sizes))
        ]
        universe = GeneratedUniverse(FEATURES, ID_SPACE, with_slot=True)
        path_b = PathB(communicator, universe, feature_names(), layers, Settings(), DIM)
        comparer = Comparer(communicator, path_b)
        engine = distributed_sync_train(
            config, task, communicator=communicator, observers=[comparer], environment=ENVIRONMENT
        )
        check_all_rows(engine, path_b, comparer, empty_rank0=False)
        assert engine.global_step == 50
        assert all(record.moved > 0 for record in comparer.records)
        digest = collect_state_digest(engine, communicator)
        assert digest == oracle_state_digest(path_b)
        assert digest[:16] == STATE_AFTER_50
