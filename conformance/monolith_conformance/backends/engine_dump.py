"""Dump files through the engine's reader, canonical form and slicer."""

from __future__ import annotations

from collections.abc import Sequence

from monolith_ref.errors import DumpError

__all__ = ["canonical_of", "models_of", "slice_of"]


def models_of(data: bytes) -> list[str]:
    """Names of the models."""
    from monolith_ref.model_dump import parse_dump

    message = parse_dump(data)
    if "train" not in message.model_dump:
        raise DumpError("there is no 'train' model in it", kind="no_train")
    return list(message.model_dump)


def canonical_of(data: bytes) -> bytes:
    """The canonical form."""
    from monolith_ref.model_dump import parse_dump
    from monolith_ref.model_dump.canonical import canonical_bytes

    return canonical_bytes(parse_dump(data))


def slice_of(data: bytes, graph: tuple[str, str], dests: Sequence[str], sources: Sequence[str]) -> list[str]:
    """The slice, a fact a line."""
    from monolith_ref.model_dump import parse_dump
    from monolith_ref.model_dump.graphs import Slicer, parse_graph

    field, key = graph
    models = getattr(parse_dump(data), field, None)
    if models is None or key not in models:
        raise DumpError(f"there is no graph {field} {key}", kind="missing_mode")
    found = Slicer(parse_graph(models[key].graph_def)).slice(list(dests), list(sources))
    lines = [f"node {name}" for name in found.nodes]
    lines += [" ".join(["input", item.ref, *item.consumers]) for item in found.external_inputs]
    lines += [f"dest {reference}" for reference in found.external_dests]
    lines += [f"variable {variable.name}" for variable in found.variables]
    lines += [f"function {name}" for name in found.functions]
    return lines + [f"gradient {function} {gradient}" for function, gradient in found.gradients]
