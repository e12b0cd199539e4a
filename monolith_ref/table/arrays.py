"""Arrays in: what callers may pass, turned into what kernels read, without a copy where possible.

NumPy arrays, anything that speaks DLPack on the host (torch, JAX), and Python lists. Nothing is ever written to what
the caller passed. Rule: tables 12.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_ref.errors import ArgumentError, DtypeError, ShapeError
from monolith_ref.fid import to_signed

__all__ = ["as_array", "as_floats", "as_ids", "as_int", "as_splits", "optional_time", "rows_of"]


class _Alias:
    """A writable view of memory that an exporter hands out as read-only; kernels have one compiled form then."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.keep = array
        self.__array_interface__ = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "strides": array.strides,
            "data": (array.__array_interface__["data"][0], False),
            "version": 3,
        }


def as_array(value: Any, what: str) -> NDArray[Any]:
    """``value`` as a NumPy array, sharing memory where it can be shared. DtypeError for what is no array."""
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "__dlpack__") and not isinstance(value, np.generic):
        try:
            return np.from_dlpack(value)
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            raise DtypeError(f"{what}: the array cannot be shared with the host ({error})") from None
    try:
        return np.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise DtypeError(f"{what}: not an array ({error})") from None


def _ready(array: NDArray[Any]) -> NDArray[Any]:
    """C-contiguous and, as far as NumPy can tell, writable."""
    if not array.flags.c_contiguous:
        return np.ascontiguousarray(array)
    return array if array.flags.writeable else np.asarray(_Alias(array))


def as_ids(value: Any, what: str = "ids") -> NDArray[np.int64]:
    """Ids as int64 of the same shape: int64 as they are, uint64 by their bits, other integers converted.

    Python ints may lie in [-2^63, 2^64). DtypeError for anything that is no integer.
    """
    array = as_array(value, what)
    if array.dtype == np.int64:
        return _ready(array)
    if array.dtype == np.uint64:
        return _ready(array).view(np.int64)
    if array.dtype == object or (array.dtype == np.float64 and not isinstance(value, np.ndarray)):
        return _python_ids(value, array, what)
    if array.dtype.kind in "iu":
        return _ready(array.astype(np.int64))
    raise DtypeError(f"{what} must be integers, got {array.dtype}")


def _python_ids(value: Any, array: NDArray[Any], what: str) -> NDArray[np.int64]:
    """Lists that NumPy has no integer dtype for: empty ones, and mixtures of negative ids and ids above 2^63."""
    if array.size == 0:
        return np.empty(array.shape, np.int64)
    items = np.asarray(value, dtype=object)
    out = np.empty(items.shape, np.int64)
    for place, item in np.ndenumerate(items):
        if isinstance(item, bool) or not isinstance(item, (int, np.integer)):
            raise DtypeError(f"{what} must be integers, got {item!r}")
        try:
            out[place] = to_signed(int(item))
        except ArgumentError:
            raise DtypeError(f"{what}: {item} does not fit 64 bits") from None
    return out


def as_floats(value: Any, what: str) -> NDArray[np.float32]:
    """Values as float32 of the same shape.

    Arrays of another dtype must be exact as float32 (else DtypeError); Python numbers are rounded.
    """
    array = as_array(value, what)
    if array.dtype == np.float32:
        return _ready(array)
    if array.dtype.kind not in "fiu":
        raise DtypeError(f"{what} must be float32, got {array.dtype}")
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = array.astype(np.float32)
        if isinstance(value, np.ndarray) or hasattr(value, "__dlpack__"):
            same = (narrow.astype(array.dtype) == array) | (narrow != narrow) & (array != array)
            if not same.all():
                raise DtypeError(f"{what}: {array.dtype} values that float32 does not hold exactly")
    return _ready(narrow)


def as_int(value: Any, what: str) -> int:
    """A scalar integer: a Python int, or a one-element integer array. DtypeError otherwise."""
    if isinstance(value, (bool, np.bool_)):
        raise DtypeError(f"{what} must be an integer, got a bool")
    if isinstance(value, (int, np.integer)):
        return int(value)
    array = as_array(value, what)
    if array.size != 1 or array.dtype.kind not in "iu":
        raise DtypeError(f"{what} must be one integer, got {array.dtype} of shape {array.shape}")
    return int(array.reshape(-1)[0])


def optional_time(req_time: Any) -> int:
    """The time of a call: None is 0."""
    return 0 if req_time is None else as_int(req_time, "req_time")


def as_splits(value: Any, parts: int, length: int, what: str) -> NDArray[np.int64]:
    """Row splits int64[parts + 1] that begin at 0, never fall and end at ``length``. ShapeError otherwise."""
    splits = as_ids(value, what)
    if splits.ndim != 1 or len(splits) != parts + 1:
        raise ShapeError(f"{what} must have shape [{parts + 1}], got {list(splits.shape)}")
    if splits[0] != 0 or splits[-1] != length or (np.diff(splits) < 0).any():
        raise ShapeError(f"{what} must rise from 0 to {length}, got {splits.tolist()[:20]}")
    return splits


def rows_of(values: NDArray[np.float32], count: int, dim: int, what: str) -> NDArray[np.float32]:
    """``values`` as flat floats of ``count`` rows of ``dim``. ShapeError where count or width differ."""
    if values.ndim >= 2 and values.shape[-1] != dim:
        raise ShapeError(f"{what}: rows have {values.shape[-1]} floats, the table has {dim}")
    if values.size != count * dim:
        raise ShapeError(f"{what}: {values.size} floats for {count} ids of {dim}")
    return values.reshape(-1)
