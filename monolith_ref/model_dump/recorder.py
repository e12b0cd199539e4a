"""Records a model while it is built, writes and reads its dump. Rule: model_dump 7."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from typing import Any, TypeVar

from monolith_protos import model_dump_pb2
from monolith_ref.model_dump.stand_ins import ExportContext, Graph

__all__ = ["Recorder"]

F = TypeVar("F", bound=Callable[..., Any])


class Recorder:
    """One recorder per model; ``compat="original"`` does as the original's newest revision, faults included."""

    def __init__(self, enable: bool = True, *, compat: str = "clean", strict: bool = False) -> None:
        self.enable = enable
        self.parser_type: str | None = None

    @contextmanager
    def recording(self, graph: Graph) -> Iterator[Graph]:
        """Make ``graph`` the current one (nestable, per thread)."""
        yield graph

    @contextmanager
    def exporting(self, mode: int | str, context: ExportContext) -> Iterator[ExportContext]:
        """Enter an export context (not nestable)."""
        yield context

    def record_feature(self, function: F) -> F:
        """Wrap the function that creates a feature column (parameters by the names of FeatureColumn's fields)."""
        raise NotImplementedError

    def record_slice(self, function: F) -> F:
        """Wrap the function that looks up an embedding slice; it returns a tensor or a list of them."""
        raise NotImplementedError

    def record_receiver(self, function: F) -> F:
        """Wrap ``serving_input_receiver_fn``."""
        raise NotImplementedError

    def record_params(self, model: Any) -> list[str]:
        """Decide which attributes of ``model`` are kept."""
        raise NotImplementedError

    def add_input_fn(self, results: Any) -> None:
        """Record features, or (features, label)."""
        raise NotImplementedError

    def add_model_fn(
        self,
        model: Any,
        mode: str,
        features: Mapping[str, Any],
        label: Any,
        loss: Any,
        pred: Any,
        head_name: Any = None,
        is_classification: Any = None,
    ) -> None:
        """Record what the model function returned."""
        raise NotImplementedError

    def add_optimizer(self, optimizer: Any) -> None:
        """Record the dense optimizer."""
        raise NotImplementedError

    def dump(self, fname: str | PathLike[str]) -> bool:
        """Write the file; False where recording is off."""
        raise NotImplementedError

    def load(self, fname: str | PathLike[str]) -> None:
        """Read a file and replace everything recorded."""
        raise NotImplementedError

    def get_proto_model(self, mode: str) -> model_dump_pb2.ProtoModel:
        """The record of a mode."""
        raise NotImplementedError
