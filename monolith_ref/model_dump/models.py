"""The models that a recorder holds, by mode: their records, graphs, parameters and optimizers. Rule: model_dump 7."""

from __future__ import annotations

import json
from typing import Any

from monolith_protos import graph_pb2, model_dump_pb2

from monolith_ref.errors import DumpError
from monolith_ref.model_dump import model_record, params
from monolith_ref.model_dump.canonical import canonical_bytes
from monolith_ref.model_dump.graphs import Slicer, parse_graph
from monolith_ref.model_dump.stand_ins import Graph

__all__ = ["Models"]


class Models:
    """What was recorded or read of ``train`` and ``infer``."""

    def __init__(self) -> None:
        self._models: dict[str, model_record.Model] = {}
        self._helpers: dict[str, Slicer] = {}

    @property
    def modes(self) -> list[str]:
        """Which models there are: ``train``, ``infer``."""
        return [mode for mode in ("train", "infer") if mode in self._models]

    def _store(self, stored: str, mode: str, graph: Graph) -> None:
        graph_def = model_record.graph_def_of(graph)
        self._models[stored] = model_record.Model(graph.record, canonical_bytes(graph_def), mode)
        self._helpers.pop(stored, None)

    def get_proto_model(self, mode: str) -> model_dump_pb2.ProtoModel:
        """The record of a mode (``eval`` is kept with ``train``).

        Raises
        ------
        DumpError
            ``missing_mode``.
        """
        return self._model(mode).record

    def _model(self, mode: str) -> model_record.Model:
        found = self._models.get(model_record.mode_of(mode))
        if found is None:
            raise DumpError(f"there is no model of mode '{mode}'", kind="missing_mode")
        return found

    def graph_def(self, mode: str) -> graph_pb2.GraphDef:
        """A copy of the graph of a mode."""
        return parse_graph(self._model(mode).graph_def)

    def get_graph_helper(self, mode: str) -> Slicer:
        """A read-only slicer over the graph of a mode, made once per mode."""
        model = self._model(mode)
        stored = model_record.mode_of(mode)
        if stored not in self._helpers:
            self._helpers[stored] = Slicer(parse_graph(model.graph_def), model.record.save_slice_info)
        return self._helpers[stored]

    def restore_params(self) -> dict[str, Any] | None:
        """The parameters of train in a new dict, with ``layout_dict`` always; None if there are none.

        Raises
        ------
        DumpError
            ``forbidden_global``, ``malformed_pickle``, ``bad_layout``.
        """
        record = self.get_proto_model("train")
        if record.typed_params:
            return params.read_params_json(record.typed_params)
        if record.params:
            return params.restored(params.read_params(record.params)[0])
        return None

    def restore_optimizer(self) -> dict[str, Any] | None:
        """Class name and fields of train's optimizer, inert; None if there is none."""
        record = self.get_proto_model("train")
        if record.typed_optimizer:
            return dict(json.loads(record.typed_optimizer.decode("utf-8")))
        if record.optimizer:
            found = params.read_optimizer(record.optimizer)[0]
            return {"class": getattr(found, "class_name", None), "fields": getattr(found, "state", found)}
        return None
