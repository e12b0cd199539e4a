"""``model_dump`` of the compared model: features, slices, tables, head. Rule: model_dump 1.3; job 2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monolith_conformance.compare.task import DIM
from monolith_ref.model_dump.engine_model import EngineFeature, EngineModel, EngineSlice, EngineTable, dump_model

__all__ = ["write_model_dump"]


def write_model_dump(path: Path, engine: Any) -> None:
    """Describe the engine's model in a ``ModelDump`` file."""
    recorded = engine.recorded
    collection = recorded.collection
    columns = collection.columns
    features = [
        EngineFeature(name=name, slot=None if collection.slots_of[name] < 0 else collection.slots_of[name])
        for name in columns
    ]
    slices = [
        EngineSlice(
            lookup.slice_name,
            lookup.features,
            DIM,
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
    model = EngineModel(
        features,
        slices,
        tables,
        heads=[head.name for head in recorded.heads],
        labels=["label"],
        predictions=[f"{head.name}/pred" for head in recorded.heads],
        classification=[head.classification for head in recorded.heads],
        dense_features={"label": ("float32", (None,))},
        params={"p": engine.model.p.as_dict()},
        optimizer=recorded.spec.optimizer,
        variables={name: ("float32", value.shape) for name, value in engine.variables.items()},
    )
    dump_model(path, model)
