"""Dense variables in a file of their own. Rule: checkpoints 5.3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from monolith_protos import checkpoint_pb2
from numpy.typing import NDArray

from monolith_ref.checkpoint.container import RecordFile
from monolith_ref.checkpoint.damage import damage
from monolith_ref.errors import ArgumentError

__all__ = ["dense_payloads", "read_dense"]

GLOBAL_STEP = "global_step"


def dense_payloads(variables: Mapping[str, NDArray[Any]], global_step: int) -> Iterator[bytes]:
    """The records of a dense file: ascending name bytes, ``global_step`` (int64 []) among them."""
    if GLOBAL_STEP in variables and int(variables[GLOBAL_STEP]) != global_step:
        raise ArgumentError(f"variable global_step is {variables[GLOBAL_STEP]}, the step {global_step}")
    everything = {**variables, GLOBAL_STEP: np.int64(global_step)}
    for name in sorted(everything, key=str.encode):
        array = np.asarray(everything[name])
        if array.dtype.kind not in "fiub":
            raise ArgumentError(f"dense variable {name}: dtype {array.dtype} cannot be saved")
        yield checkpoint_pb2.DenseVariable(
            name=name,
            dtype=array.dtype.name,
            shape=array.shape,
            data=array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes(order="C"),
        ).SerializeToString()


def read_dense(path: str | Path) -> dict[str, NDArray[Any]]:
    """Every variable of a dense file, arrays of their own; CheckpointError where a record is not what it should be."""
    where = Path(path)
    variables: dict[str, NDArray[Any]] = {}
    file = RecordFile(where)
    for batch in file.batches():
        for k in range(len(batch)):
            place = batch.place(k)
            try:
                record = checkpoint_pb2.DenseVariable.FromString(batch.payload(k))
                kind = np.dtype(record.dtype)
                if kind.kind not in "fiub":
                    raise ValueError(f"dtype {record.dtype}")
                array = np.frombuffer(record.data, kind.newbyteorder("<")).reshape(tuple(record.shape)).astype(kind)
            except DecodeError:
                raise damage("malformed_message", "the record is no DenseVariable", where, *place) from None
            except (TypeError, ValueError) as error:
                raise damage("malformed_message", f"type, shape, data disagree: {error}", where, *place) from None
            if record.name in variables:
                raise damage("malformed_message", f"variable {record.name} stands twice", where, *place)
            variables[record.name] = array
    return variables
