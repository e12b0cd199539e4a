"""The original's ``model_comp_test``, in its own shape: both table layouts, also on a GPU where there is one."""

from __future__ import annotations

import unittest
from itertools import pairwise

from monolith_conformance.compare.comparer import Comparer
from monolith_conformance.compare.final import check_all_rows, collect_state_digest
from monolith_conformance.compare.generator import FEATURES, ID_SPACE, feature_names, kernel
from monolith_conformance.compare.golden import known_state
from monolith_conformance.compare.path_b import PathB
from monolith_conformance.compare.task import DIM, HIDDEN, HIDDEN_BIAS, START, EmbeddingUpdateTask
from monolith_conformance.compare.universe import GeneratedUniverse
from monolith_conformance.oracle.sync import Layer
from monolith_conformance.oracle.sync import Settings as OracleSettings

from monolith_ref.sync.communicator import SerialCommunicator
from monolith_ref.training.config import DistributedCpuTrainingConfig
from monolith_ref.training.distributed import distributed_sync_train

STEPS = 5


def _gpu_is_available() -> bool:
    try:
        from numba import config, cuda

        return not config.ENABLE_CUDASIM and bool(cuda.is_available())
    except ImportError:
        return False


class CpuSyncTrainTest(unittest.TestCase):
    """Embeddings of the engine equal plain NumPy's, at every step, for every configuration."""

    def _create_config(self, gpu: bool, multi_hash_table: bool) -> DistributedCpuTrainingConfig:
        return DistributedCpuTrainingConfig(
            num_workers=1,
            index=0,
            enable_sync_training=True,
            enable_gpu_training=gpu,
            use_native_multi_hash_table=multi_hash_table,
        )

    def _train(self, gpu: bool, multi_hash_table: bool) -> None:
        communicator = SerialCommunicator()
        task = EmbeddingUpdateTask()
        task.p.train.max_steps = STEPS
        layers = [
            Layer.fresh(kernel(task.p.seed, i, fan_in, fan_out), HIDDEN_BIAS if i < len(HIDDEN) else 0.0, START)
            for i, (fan_in, fan_out) in enumerate(pairwise((DIM * FEATURES, *HIDDEN, 1)))
        ]
        universe = GeneratedUniverse(FEATURES, ID_SPACE)
        path_b = PathB(communicator, universe, feature_names(), layers, OracleSettings(), DIM)
        comparer = Comparer(communicator, path_b)
        engine = distributed_sync_train(
            self._create_config(gpu, multi_hash_table),
            task,
            communicator=communicator,
            observers=[comparer],
            environment={},
        )
        check_all_rows(engine, path_b, comparer, empty_rank0=False)
        assert len(engine.tables) == (FEATURES if multi_hash_table else 1)
        assert [record.step for record in comparer.records] == list(range(STEPS))
        assert all(record.moved > 90_000 for record in comparer.records)
        assert collect_state_digest(engine, communicator)[:16] == known_state("sequential", 1, STEPS)

    def test_embedding_update(self) -> None:
        for gpu in (False, True) if _gpu_is_available() else (False,):
            for multi_hash_table in (False, True):
                with self.subTest(gpu=gpu, multi_hash_table=multi_hash_table):
                    self._train(gpu, multi_hash_table)


if __name__ == "__main__":
    unittest.main()
