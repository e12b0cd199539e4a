"""What leaves training: a ModelDump; serving tables with the dense variables. Rule: job 2, tables 4, model_dump 1.3.

An export is the same bytes for any number of ranks: rows of all ranks in ascending order of their ids, weights only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from monolith_ref.checkpoint.container import frame
from monolith_ref.checkpoint.content import TableContent
from monolith_ref.checkpoint.dense import dense_payloads
from monolith_ref.checkpoint.sets import save_single
from monolith_ref.errors import ConfigError
from monolith_ref.features.combiners import Combiner, FirstN, ReduceMean
from monolith_ref.model_dump.engine_model import EngineFeature, EngineModel, EngineSlice, EngineTable, dump_model
from monolith_ref.sync.communicator import Communicator
from monolith_ref.table.hash_table import serving_config
from monolith_ref.table.store import RowDump
from monolith_ref.training.engine import Engine

__all__ = ["DESCRIPTION", "TABLE_PREFIX", "check_export", "export_serving", "write_model_dump"]

TABLE_PREFIX = "MonolithHashTable_"
DESCRIPTION = "serving.json"


def _combiner_name(combiner: Combiner) -> str:
    return (
        "FirstN" if isinstance(combiner, FirstN) else "ReduceMean" if isinstance(combiner, ReduceMean) else "ReduceSum"
    )


def write_model_dump(path: Path, engine: Engine) -> None:
    """Describe the engine's model in a ``ModelDump`` file."""
    recorded = engine.recorded
    collection = recorded.collection
    features = [
        EngineFeature(
            name=name,
            slot=None if collection.slots_of[name] < 0 else collection.slots_of[name],
            occurrence_threshold=column.feature_slot.config.occurrence_threshold,
            expire_time=column.feature_slot.config.expire_time,
            max_seq_length=column.combiner.max_seq_length,
            shared_name="" if column.feature_slot.name == name else column.feature_slot.name,
            combiner=_combiner_name(column.combiner),
        )
        for name, column in collection.columns.items()
    ]
    slices = [
        EngineSlice(
            lookup.slice_name,
            lookup.features,
            lookup.slices[0].dim,
            lookup.initializer,
            lookup.optimizer,
            lookup.compressor,
            lookup.out_type,
        )
        for lookup in collection.lookups
    ]
    tables = [
        EngineTable(
            spec.name,
            spec.config.table_config.SerializeToString(deterministic=True),
            [float(rate) for rate in spec.config.call_learning_rate_fns(0)],
            spec.config.extra_restore_names,
        )
        for spec in engine.tables
    ]
    inputs = recorded.graph.inputs
    model = EngineModel(
        features,
        slices,
        tables,
        heads=[head.name for head in recorded.heads],
        labels=["label" if head.label is not None else None for head in recorded.heads],
        predictions=[f"{head.name}/pred" for head in recorded.heads],
        classification=[head.classification for head in recorded.heads],
        dense_features={name: ("float32", tensor.shape) for name, tensor in inputs.items()},
        params={"p": engine.model.p.as_dict()},
        optimizer=recorded.spec.optimizer,
        variables={name: ("float32", value.shape) for name, value in engine.variables.items()},
    )
    dump_model(path, model)


def _all_rows(engine: Engine, name: str) -> RowDump:
    """Ids and weights of a table over all ranks, ascending by id; the same on every rank."""
    communicator = engine.communicator
    mine = engine.embeddings.tables[name].export()
    ids = np.concatenate(communicator.allgatherv(mine.ids, "export: ids"))
    weights = np.concatenate(communicator.allgatherv(np.ascontiguousarray(mine.weights), "export: weights"))
    order = np.argsort(ids)
    return RowDump(ids[order], weights[order], [], np.zeros(len(ids), np.uint32))


def check_export(folder: Path, communicator: Communicator) -> None:
    """ConfigError, on every rank, where the folder holds an export already or is no folder. Collective."""
    problem = ""
    if communicator.rank == 0:
        if (folder / DESCRIPTION).exists():
            problem = f"{folder} holds an export already"
        elif folder.exists() and not folder.is_dir():
            problem = f"{folder} is a file, an export is a directory"
    answer = communicator.broadcast_bytes(problem.encode(), 0, "export: directory").decode()
    if answer:
        raise ConfigError(answer)


def export_serving(engine: Engine, folder: Path) -> None:
    """Write ``folder``: a serving table a file set (``assets/MonolithHashTable_<table>``), ``dense`` (a TFRecord as in
    checkpoints 5.3) and ``serving.json``, which says how they belong together. Collective; rank 0 writes.

    ``hash_table_from_config(config, name_suffix=table, exporting=True).restore(...)`` reads a set. Rows that have
    expired are left out. Errors as in :func:`check_export`.
    """
    check_export(folder, engine.communicator)
    engine.evict()
    described: dict[str, Any] = {}
    for spec in engine.tables:
        rows = _all_rows(engine, spec.name)
        message = serving_config(spec.config.table_config).SerializeToString(deterministic=True)
        described[spec.name] = {
            "config": message.hex(),
            "features": list(spec.features),
            "slots": list(spec.slots),
            "slice_dims": list(spec.slice_dims),
            "combiners": [combiner.name for combiner in spec.combiners],
            "rows": len(rows),
        }
        if engine.communicator.rank != 0:
            continue
        (folder / "assets").mkdir(parents=True, exist_ok=True)
        rates = tuple(str(rate) for rate in spec.config.learning_rate_fns)
        content = TableContent(f"{TABLE_PREFIX}{spec.name}", "single", message, rates, rows, 0)
        save_single(folder / "assets" / content.name, content, global_step=engine.global_step)
    if engine.communicator.rank == 0:
        payloads = dense_payloads(engine.variables, engine.global_step)
        (folder / "dense").write_bytes(b"".join(frame(payload) for payload in payloads))
        text = {
            "global_step": engine.global_step,
            "tables": described,
            "heads": [h.name for h in engine.recorded.heads],
        }
        (folder / DESCRIPTION).write_text(json.dumps(text, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    engine.communicator.barrier("export")
