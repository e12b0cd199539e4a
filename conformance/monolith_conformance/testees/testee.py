"""A program under test in Python: sgd and adagrad on one kind of table, protobuf frames. Needs protobuf and NumPy.

    monolith-ref conform run --backend "testee:python testee.py"

Start your own port from here: replace :class:`Table` by calls into it. The loop at the end is the whole protocol.
"""

from __future__ import annotations

import struct
import sys
from typing import Any

import numpy as np
from monolith_protos import hash_table_pb2, testee_pb2

CAPABILITIES = [
    *("optimizer.sgd", "optimizer.adagrad", "initializer.zeros"),
    *(
        "table.lookup",
        "table.contains",
        "table.size",
        "table.assign",
        "table.assign_add",
        "table.optimize",
        "table.clear",
    ),
]


class Missing(Exception):
    """A capability that this program does not have."""


class Table:
    """Rows by id: the embedding, and one accumulator an element."""

    def __init__(self, config: Any) -> None:
        self.segments = list(config.entry_config.segments)
        for segment in self.segments:
            if segment.opt_config.WhichOneof("type") not in ("sgd", "adagrad"):
                raise Missing(f"optimizer.{segment.opt_config.WhichOneof('type')}")
            if segment.init_config.WhichOneof("type") != "zeros":
                raise Missing(f"initializer.{segment.init_config.WhichOneof('type')}")
        if config.entry_config.entry_type == hash_table_pb2.EntryConfig.SERVING:
            raise Missing("table.serving")
        self.dim = sum(segment.dim_size for segment in self.segments)
        self.rows: dict[int, tuple[Any, Any]] = {}

    def obtain(self, fid: int) -> tuple[Any, Any]:
        """The row of ``fid``, made by the initializers where it is new."""
        if fid not in self.rows:
            start = [s.opt_config.adagrad.initial_accumulator_value for s in self.segments for _ in range(s.dim_size)]
            self.rows[fid] = np.zeros(self.dim, np.float32), np.array(start, np.float32)
        return self.rows[fid]

    def optimize(self, fid: int, gradient: Any, rates: Any) -> None:
        weights, norm = self.obtain(fid)
        first = 0
        for segment, rate in zip(self.segments, rates, strict=True):
            part = slice(first, first := first + segment.dim_size)
            g = gradient[part]
            if segment.opt_config.HasField("adagrad"):
                g = g + np.float32(segment.opt_config.adagrad.weight_decay_factor) * weights[part]
                norm[part] += g * g
                weights[part] -= rate / np.sqrt(norm[part]) * g
            else:
                weights[part] -= rate * g


def summed(ids: list[int], floats: Any) -> tuple[list[int], Any]:
    """Distinct ids by first occurrence, and the gradients of each added in order."""
    sums: dict[int, Any] = {}
    for fid, gradient in zip(ids, floats, strict=True):
        sums[fid] = sums[fid] + gradient if fid in sums else gradient
    return list(sums), list(sums.values())


def operate(table: Table, op: Any) -> Any:
    """One operation on a table; returns the result message."""
    result = testee_pb2.Result()
    ids = list(op.ids)
    floats = np.frombuffer(op.floats, "<f4").reshape(len(ids), -1) if ids else np.zeros((0, table.dim), np.float32)
    if op.op == "lookup":
        absent = np.zeros(table.dim, np.float32), None
        rows = [table.rows.get(fid, absent)[0] for fid in ids]
        result.floats = b"".join(row.astype("<f4").tobytes() for row in rows)
        result.ints.append(sum(fid in table.rows for fid in ids))
    elif op.op == "contains":
        result.flags.extend(fid in table.rows for fid in ids)
    elif op.op == "size":
        result.ints.append(len(table.rows))
    elif op.op == "clear":
        table.rows.clear()
    elif op.op in ("assign", "assign_add", "optimize"):
        if op.op == "optimize" and op.dedup:
            ids, floats = summed(ids, floats)
        for fid, values in zip(ids, floats, strict=True):
            if op.op == "optimize":
                table.optimize(fid, values, np.frombuffer(op.rates, "<f4"))
            else:
                weights, _ = table.obtain(fid)
                weights[:] = values if op.op == "assign" else weights + values
    else:
        raise Missing(f"table.{op.op}")
    return result


def answer(tables: dict[str, Table], request: Any, reply: Any) -> None:
    """Fill ``reply`` for one request."""
    kind = request.WhichOneof("kind")
    if kind == "hello":
        reply.hello.protocol, reply.hello.name, reply.hello.version, reply.hello.language = (
            1,
            "python-example",
            "1",
            "Python",
        )
        reply.hello.capabilities.extend(CAPABILITIES)
    elif kind == "create":
        tables[request.create.table] = Table(hash_table_pb2.EmbeddingHashTableConfig.FromString(request.create.config))
        reply.result.SetInParent()
    elif kind == "drop":
        tables.pop(request.drop.table, None)
        reply.result.SetInParent()
    elif kind == "op":
        reply.result.CopyFrom(operate(tables[request.op.table], request.op))
    else:
        raise Missing(str(kind))


def main() -> None:
    tables: dict[str, Table] = {}
    np.seterr(all="ignore")
    while head := sys.stdin.buffer.read(4):
        request = testee_pb2.Request.FromString(sys.stdin.buffer.read(*struct.unpack("<I", head)))
        if request.HasField("stop"):
            return
        reply = testee_pb2.Reply(seq=request.seq)
        try:
            answer(tables, request, reply)
        except Missing as missing:
            reply.unsupported.capability = str(missing)
        except Exception as error:
            reply.error.kind, reply.error.message = type(error).__name__, str(error)
        data = reply.SerializeToString()
        sys.stdout.buffer.write(struct.pack("<I", len(data)) + data)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
