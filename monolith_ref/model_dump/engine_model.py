"""A whole model of an engine in one value, and the file that it becomes. Rule: model_dump 1.3, 7.1.

For a model that is described rather than traced: its features, slices, tables and heads are listed, and a graph of
placeholders gives every recorded tensor a node. :func:`record_model` puts it into a recorder, :func:`dump_model` straight
into a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

from monolith_ref.model_dump.recorder import Recorder
from monolith_ref.model_dump.stand_ins import Graph

__all__ = ["EngineFeature", "EngineModel", "EngineSlice", "EngineTable", "dump_model", "record_model"]


@dataclass(frozen=True)
class EngineFeature:
    """One feature column: its name and slot, thresholds, and how its ids are combined.

    ``combiner`` is ``ReduceSum``, ``ReduceMean`` or ``FirstN`` (then ``max_seq_length`` > 0). ``slot`` None: the name says it
    (``slot_<n>``, ``fc_slot_<n>``) or nothing does.
    """

    name: str
    slot: int | None = None
    occurrence_threshold: int = 0
    expire_time: int = 36500
    max_seq_length: int = 0
    shared_name: str = ""
    combiner: str = "ReduceSum"


@dataclass(frozen=True)
class EngineSlice:
    """One embedding slice over several features: ``dim`` floats of each.

    ``initializer``, ``optimizer`` and ``compressor`` are configuration objects with ``as_proto()``, messages, or None.
    ``out_type`` ``"concat"`` gives one tensor ``<slice>_concat``, else one per feature: ``<feature>/<slice>``.
    """

    name: str
    features: Sequence[str]
    dim: int
    initializer: Any = None
    optimizer: Any = None
    compressor: Any = None
    out_type: str | None = None


@dataclass(frozen=True)
class EngineTable:
    """One table (a feature's, before tables merge): its configuration and learning rates.

    ``config`` is an ``EmbeddingHashTableConfig`` or its bytes; ``learning_rates`` one number per segment.
    """

    name: str
    config: Any
    learning_rates: Sequence[float] = ()
    extra_restore_names: Sequence[str] = ()


@dataclass(frozen=True)
class EngineModel:
    """What a dump file says of a model.

    Attributes
    ----------
    dense_features : dict of str to (dtype, shape)
        Inputs that are not ids.
    labels, predictions : list of str
        Tensor names (without port); one per head. A label of a head without one is None.
    heads : list of str
        Names of the heads; ``classification`` one bool per head (or one for all).
    loss, extra_losses : names of scalar tensors.
    run_config : dict
        Written as JSON.
    params : object or None
        Its attributes are recorded (``p`` among them: a tree of parameters).
    layouts : dict of str to OutConfig
    optimizer : object or None
        The dense optimizer.
    variables : dict of str to (dtype, shape)
        Dense variables; each becomes a ``VarHandleOp`` with its reader and initial value.
    graph_def : GraphDef or None
        A graph of the caller in place of placeholders.
    serving : bool
        Also record an infer model with a serving receiver (one ``Placeholder`` of serialised examples).
    """

    features: Sequence[EngineFeature]
    slices: Sequence[EngineSlice]
    tables: Sequence[EngineTable]
    heads: Sequence[str] = ("main",)
    labels: Sequence[str | None] = ("label",)
    predictions: Sequence[str] = ("pred",)
    classification: bool | Sequence[bool] = True
    loss: str | None = "loss"
    extra_losses: Sequence[str] = ()
    dense_features: Mapping[str, tuple[str, tuple[int | None, ...]]] = field(default_factory=dict)
    run_config: Mapping[str, Any] = field(default_factory=dict)
    user_params: Sequence[str] = ()
    params: Any = None
    layouts: Mapping[str, Any] = field(default_factory=dict)
    optimizer: Any = None
    variables: Mapping[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    graph_def: Any = None
    serving: bool = True
    parser_type: str = "example"


def record_model(recorder: Recorder, model: EngineModel) -> dict[str, Graph]:
    """Record ``model`` (train, and infer where ``serving``) and return the graph of each mode."""
    raise NotImplementedError


def dump_model(path: str | PathLike[str], model: EngineModel, *, compat: str = "clean") -> Recorder:
    """Write ``model`` to ``path`` (a real ``model_dump`` file, canonical bytes, replaced as a whole)."""
    recorder = Recorder(enable=True, compat=compat)
    record_model(recorder, model)
    recorder.dump(path)
    return recorder
