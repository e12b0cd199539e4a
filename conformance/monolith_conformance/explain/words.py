"""Requests in words, one line each, for people who read a report."""

from __future__ import annotations

from typing import Any

from monolith_protos import hash_table_pb2, testee_pb2

from monolith_conformance.testee.jsonlines import floats_to_words

__all__ = ["request_words"]

LONGEST = 400


def request_words(request: testee_pb2.Request) -> str:
    """What a request asks, floats as bit patterns; cut where it is very long."""
    kind = request.WhichOneof("kind")
    message: Any = getattr(request, kind) if kind else None
    if kind == "create":
        text = f"create {message.table}: {_config_words(message.config)}"
    elif kind == "op":
        text = _joined(f"{message.op} {message.table}", _op_parts(message))
    elif kind == "filter":
        ops = ", ".join(f"{op.op}({op.id}, {op.count}, {op.threshold})" for op in message.ops)
        text = f"filter {message.kind} capacity {message.capacity} split_num {message.split_num}: {ops}"
    elif kind == "combine":
        parts = [("splits", " ".join(map(str, message.row_splits))), ("floats", floats_to_words(message.floats))]
        parts.append(("upstream", floats_to_words(message.upstream)))
        text = _joined(f"combine {message.kind} dim {message.dim} n {message.n}", parts)
    elif kind == "sync":
        ranks = "; ".join(
            f"rank {rank} ids {' '.join(map(str, part.ids))} gradients {floats_to_words(part.floats)}"
            for rank, part in enumerate(message.parts)
        )
        text = f"sync {message.table} {message.reduction} rates {floats_to_words(message.rates)}: {ranks}"
    else:
        text = f"{kind} {' '.join(str(message).split())}"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _joined(head: str, parts: list[tuple[str, str]]) -> str:
    return " ".join([head, *(f"{name} {value}" for name, value in parts if value)])


def _op_parts(op: Any) -> list[tuple[str, str]]:
    return [
        ("ids", " ".join(map(str, op.ids))),
        ("floats", floats_to_words(op.floats)),
        ("rates", floats_to_words(op.rates)),
        ("time", str(op.time or "")),
        ("step", str(op.global_step or "")),
        ("dedup", "yes" if op.dedup else ""),
        ("entries", " ".join(entry.hex() for entry in op.entries)),
    ]


def _config_words(data: bytes) -> str:
    config = hash_table_pb2.EmbeddingHashTableConfig.FromString(data)
    segments = []
    for segment in config.entry_config.segments:
        parts = [f"{segment.dim_size} float{'' if segment.dim_size == 1 else 's'}"]
        for chosen in (segment.opt_config, segment.init_config, segment.comp_config):
            member = chosen.WhichOneof("type")
            if member:
                fields = " ".join(str(getattr(chosen, member)).split())
                parts.append(f"{member}({fields})" if fields else member)
        segments.append(" ".join(parts))
    return ", ".join(segments)
