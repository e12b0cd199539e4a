"""What a scenario calls with: tensors, a recorder, functions, and values in the notation of the file."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from monolith_protos import graph_pb2

from monolith_ref import entry
from monolith_ref.model_dump import ExportContext, Graph, Ragged, Recorder, Tensor

__all__ = ["Model", "Setting"]


class Model:
    """A model with the attributes that a scenario gives it."""

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        self.__dict__.update(attributes)


class Setting:
    """Everything that a scenario names."""

    def __init__(
        self, scenario: Mapping[str, Any], signatures: Mapping[str, Any], attributes: Any, compat: str
    ) -> None:
        self.scenario = scenario
        self.compat = compat
        self.attributes = {key: value for key, value in attributes.items() if key != "p"}
        self.tensors = {
            key: Tensor(value["name"], value["dtype"], None if value["shape"] is None else tuple(value["shape"]))
            for key, value in scenario.get("tensors", {}).items()
        }
        self.graph = Graph(graph_def=_graph_of(self.tensors.values()))
        self.recorder = self.new_recorder()
        self.recorder.parser_type = scenario.get("parser_type")
        self.seen: dict[str, Any] = {}
        self.result: Any = None
        self.functions = {name: self._function(parameters) for name, parameters in signatures.items()}
        self.context: ExportContext | None = None
        self.model = Model({**self.attributes, "p": {}, "_layout_dict": {}})
        self.exits = ExitStack()
        self.folder = Path()
        self.written: list[bytes] = []

    def new_recorder(self) -> Recorder:
        """A recorder as the scenario has them."""
        return Recorder(True, compat=self.compat)

    def _function(self, parameters: list[list[Any]]) -> Callable[..., Any]:
        """A function of that signature, which remembers its arguments and does what the call says."""

        def implementation(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            self.seen = {name: value for name, value in bound.arguments.items() if name != "self"}
            if isinstance(self.result, BaseException):
                raise self.result
            return self.result

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        signature = inspect.Signature(
            [
                inspect.Parameter(name, kind, default=default[0] if default else inspect.Parameter.empty)
                for name, *default in parameters
            ]
        )
        implementation.__signature__ = signature  # type: ignore[attr-defined]
        return implementation

    # Values ----------------------------------------------------------------------------------------------------------

    def value(self, item: Any) -> Any:
        """A value in the notation of the file."""
        if isinstance(item, list):
            return [self.value(part) for part in item]
        if not isinstance(item, dict):
            return item
        if "$tensor" in item:
            return self.tensors[item["$tensor"]]
        if "$ragged" in item:
            key = item["$ragged"]
            return Ragged(self.tensors[f"{key}_values"], self.tensors[f"{key}_row_splits"])
        if "$entry" in item:
            return getattr(entry, item["$entry"])(**item["args"])
        if "$tuple" in item:
            return tuple(self.value(part) for part in item["$tuple"])
        if "$callable" in item:
            return lambda: None
        if "$raise" in item:
            return {"ValueError": ValueError, "TypeError": TypeError, "KeyError": KeyError}[item["$raise"]]("boom")
        return {key: self.value(part) for key, part in item.items()}


def _graph_of(tensors: Any) -> graph_pb2.GraphDef:
    graph = graph_pb2.GraphDef()
    for name in dict.fromkeys(tensor.node for tensor in tensors):
        graph.node.add(name=name, op="Placeholder")
    return graph
