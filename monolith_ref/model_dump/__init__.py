"""ModelDump: record a model as Monolith's DumpUtils does, and read, check and cut the files. Rule: model_dump.

Describe a model and write it in one call (:func:`dump_model` with an :class:`EngineModel`), or record one step by step
(:class:`Recorder`).
"""

from monolith_ref.model_dump.engine_model import (
    EngineFeature,
    EngineModel,
    EngineSlice,
    EngineTable,
    dump_model,
    record_model,
)
from monolith_ref.model_dump.file import Dump, parse_dump, read_dump
from monolith_ref.model_dump.inputs import Dataset, DatasetInitHook, DatasetInitializerHook, parse_input_fn_result
from monolith_ref.model_dump.notices import DumpWarning
from monolith_ref.model_dump.original import OriginalRecorder
from monolith_ref.model_dump.recorder import Recorder
from monolith_ref.model_dump.stand_ins import ExportContext, Graph, Ragged, Receiver, Tensor

DumpUtils = Recorder
"""The recorder under its original's name; an ordinary class, no singleton."""

__all__ = [
    "Dataset",
    "DatasetInitHook",
    "DatasetInitializerHook",
    "Dump",
    "DumpUtils",
    "DumpWarning",
    "EngineFeature",
    "EngineModel",
    "EngineSlice",
    "EngineTable",
    "ExportContext",
    "Graph",
    "OriginalRecorder",
    "Ragged",
    "Receiver",
    "Recorder",
    "Tensor",
    "dump_model",
    "parse_dump",
    "parse_input_fn_result",
    "read_dump",
    "record_model",
]
