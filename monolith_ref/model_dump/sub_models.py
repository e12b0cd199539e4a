"""Where a recorder records: graphs and exports, and the sub-models that it stores. Rule: model_dump 7.4."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from monolith_protos import model_dump_pb2

from monolith_ref.errors import ConfigError, DumpError, StateError
from monolith_ref.model_dump import model_record
from monolith_ref.model_dump.canonical import canonical_bytes
from monolith_ref.model_dump.graphs import parse_graph
from monolith_ref.model_dump.stand_ins import MODES, ExportContext, Graph, Tensor

__all__ = ["SUB_MODEL_TYPES", "SubModels"]

F = TypeVar("F", bound=Callable[..., Any])
SUB_MODEL_TYPES = ("ps", "dense")


class SubModels:
    """Graphs and exports of a recorder, both per thread, and the sub-models that it has stored."""

    def __init__(self) -> None:
        self._places = threading.local()
        self._first_graph = Graph()
        self._sub_models: dict[str, dict[str, model_dump_pb2.ProtoModel]] = {kind: {} for kind in SUB_MODEL_TYPES}

    @property
    def graph(self) -> Graph:
        """The current graph of this thread."""
        stack = getattr(self._places, "graphs", None)
        return stack[-1] if stack else self._first_graph

    @contextmanager
    def recording(self, graph: Graph) -> Iterator[Graph]:
        """Make ``graph`` the current one (nestable, per thread)."""
        if not isinstance(graph, Graph):
            raise ConfigError(f"a Graph is needed, not a {type(graph).__name__}")
        stack = self._places.__dict__.setdefault("graphs", [])
        stack.append(graph)
        try:
            yield graph
        finally:
            stack.pop()

    def bound_to(self, graph: Graph, function: F) -> F:
        """``function`` with ``graph`` as the current one while it runs."""

        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self.recording(graph):
                return function(*args, **kwargs)

        return cast(F, inside)

    @property
    def export_context(self) -> ExportContext | None:
        """The context of the export that is under way."""
        found: tuple[int, ExportContext] | None = getattr(self._places, "export", None)
        return None if found is None else found[1]

    @contextmanager
    def exporting(self, mode: int | str, context: ExportContext) -> Iterator[ExportContext]:
        """Enter an export (modes NONE, STANDALONE, DISTRIBUTED; not nestable, per thread)."""
        number = MODES.get(mode) if isinstance(mode, str) else mode
        if number not in MODES.values():
            raise ConfigError(f"an export mode is one of {', '.join(MODES)}, not {mode!r}")
        if self.export_context is not None:
            raise StateError("an export is under way already")
        self._places.export = (number, context)
        try:
            yield context
        finally:
            self._places.export = None

    @property
    def need_record(self) -> bool:
        """Whether anything is recorded in the current graph."""
        raise NotImplementedError

    def _signature_messages(self, graph: Graph) -> list[model_dump_pb2.Signature]:
        context = self.export_context
        if context is None:
            return []
        return [
            model_dump_pb2.Signature(
                name=item.name,
                inputs={key: tensor.name for key, tensor in item.inputs.items()},
                outputs={key: tensor.name for key, tensor in item.outputs.items()},
            )
            for item in context.signatures(graph)
        ]

    def add_signature(self, proto: model_dump_pb2.ProtoModel, graph: Graph) -> None:
        """Put the signatures of ``graph`` in the current export into ``proto``; nothing outside of an export."""
        if self.export_context is not None:
            model_record.replace_repeated(proto.signature, self._signature_messages(graph))

    def restore_signature(self, proto: model_dump_pb2.ProtoModel, graph: Graph) -> None:
        """Put the signatures of ``proto`` into the current export; nothing outside of an export.

        Raises
        ------
        DumpError
            ``unresolved_name``: a tensor whose node ``graph`` lacks.
        """
        context = self.export_context
        if context is None:
            return
        nodes = {node.name for node in model_record.graph_def_of(graph).node}
        found: list[tuple[str, dict[str, Tensor], dict[str, Tensor]]] = []
        for item in proto.signature:
            maps: list[dict[str, Tensor]] = []
            for names in (item.inputs, item.outputs):
                tensors = {key: Tensor(name, "float32", None) for key, name in sorted(names.items())}
                for tensor in tensors.values():
                    if tensor.node not in nodes:
                        raise DumpError(f"signature '{item.name}': no node of {tensor.name}", kind="unresolved_name")
                maps.append(tensors)
            found.append((item.name, maps[0], maps[1]))
        for name, inputs_of, outputs_of in found:
            context.add_signature(graph, name, inputs_of, outputs_of)

    def add_sub_model(self, sub_model_type: str, name: str, graph: Graph) -> None:
        """Store a sub-graph with its signatures; other bytes under the same name replace it."""
        self._check_type(sub_model_type)
        if not self.need_record:
            return
        message = model_dump_pb2.ProtoModel(graph_def=canonical_bytes(model_record.graph_def_of(graph)))
        message.signature.extend(self._signature_messages(graph))
        self._sub_models[sub_model_type][name] = message

    def restore_sub_model(self, sub_model_type: str) -> None:
        """Put every stored graph of a type into the current export, with its signatures; nothing outside of one."""
        self._check_type(sub_model_type)
        context = self.export_context
        if context is None:
            return
        parsed = {name: parse_graph(proto.graph_def) for name, proto in self._sub_models[sub_model_type].items()}
        for name, graph_def in parsed.items():
            graph = context.sub_graph(name) if sub_model_type == "ps" else context.dense_sub_graph(name)
            graph.graph_def = graph_def
            self.restore_signature(self._sub_models[sub_model_type][name], graph)

    def sub_models(self, sub_model_type: str) -> dict[str, model_dump_pb2.ProtoModel]:
        """Stored sub-models of a type by name."""
        self._check_type(sub_model_type)
        return dict(self._sub_models[sub_model_type])

    @staticmethod
    def _check_type(sub_model_type: str) -> None:
        if sub_model_type not in SUB_MODEL_TYPES:
            raise DumpError(f"a sub-model is 'ps' or 'dense', not {sub_model_type!r}", kind="unknown_sub_model_type")
