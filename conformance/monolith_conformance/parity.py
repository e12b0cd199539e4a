"""Parity beside one's own tests: a reference table to train along, and two assertions that compare bits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monolith_conformance.bits import describe
from monolith_conformance.compare.difference import differing, ulps
from monolith_ref.errors import ShapeError

__all__ = ["Reference", "assert_parity", "assert_same_dump"]

F4 = NDArray[np.float32]
SHOWN = 5


class Reference:
    """One embedding table as the specification has it, slow and exact: the oracle's.

    Parameters
    ----------
    dim : int
        Floats of a row.
    optimizer : str
        Name of the rule: ``sgd``, ``adagrad``, ``adam``, ``ftrl`` …
    initializer : str or (str, mapping)
        ``zeros``, ``ones``, or a kind with its settings: ``("random_uniform", {"minval": -1.0, "maxval": 1.0})``.
    profile : str
        Rounding contract, ``ieee`` or ``avx``.
    quirks : str
        Preset of switches.
    **settings : float
        Fields of the optimizer's message: ``initial_accumulator_value``, ``beta1`` … What is left out has its default.

    Examples
    --------
    >>> reference = Reference(2, "adagrad", initial_accumulator_value=0.1)
    >>> reference.optimize([7, 8, 7], [[1, 0.5], [1, 1], [0.5, 0.25]], rate=0.1)
    >>> reference.ids
    [7, 8]
    """

    def __init__(
        self,
        dim: int,
        optimizer: str = "sgd",
        *,
        initializer: str | tuple[str, Mapping[str, Any]] = "zeros",
        profile: str = "ieee",
        quirks: str = "default",
        **settings: Any,
    ) -> None:
        from monolith_conformance.cases.golden import table_config
        from monolith_conformance.oracle.table import OracleTable
        from monolith_ref.quirks import Quirks
        from monolith_ref.table.config import check_table_config

        kind, initial = (initializer, {}) if isinstance(initializer, str) else initializer
        switches = Quirks.parse(quirks)
        config = table_config(
            [{"dim": dim, "rule": optimizer, "config": settings, "initializer": {"kind": kind, "config": initial}}]
        )
        check_table_config(config, switches)
        self.dim = dim
        self._table = OracleTable(config, profile=profile, quirks=tuple(switches))

    @property
    def ids(self) -> list[int]:
        """All ids that have a row, in the order in which they came."""
        return list(self._table.rows)

    def lookup(self, ids: ArrayLike) -> F4:
        """Rows [n, dim]; zeros where an id has none."""
        return np.array(self._table.lookup(_ids(ids))[1], np.float32)

    def assign(self, ids: ArrayLike, values: Any, *, time: int = 0) -> None:
        """Set rows; the last of a repeated id wins."""
        numbers = _ids(ids)
        self._table.assign(numbers, self._rows(values, len(numbers)), time)

    def optimize(
        self, ids: ArrayLike, gradients: Any, rate: float, *, time: int = 0, global_step: int = 0, dedup: bool = False
    ) -> None:
        """One step of the rule for every id; repeated ids take one step each, or one with their sum (``dedup``)."""
        numbers, rates = _ids(ids), np.array([rate], np.float32)
        self._table.optimize(numbers, self._rows(gradients, len(numbers)), rates, time, global_step, dedup=dedup)

    def _rows(self, values: Any, count: int) -> F4:
        array = np.asarray(_numpy(values), np.float32)
        if array.size != count * self.dim:
            raise ShapeError(f"{array.shape} for {count} ids of {self.dim} floats each")
        return array.reshape(count, self.dim)


def assert_parity(table: Any, reference: Any, ids: ArrayLike | None = None) -> None:
    """Assert that a table holds the same bits as the reference (any NaN equals any NaN, -0 and 0 differ).

    Parameters
    ----------
    table : array, mapping, callable or object with ``lookup``
        Rows [n, dim] in the order of ``ids``; or a mapping from id to row; or a function from ids (int64 [n]) to rows.
        Rows may be NumPy arrays or tensors of PyTorch or TensorFlow; they must be float32.
    reference : Reference, or anything that ``table`` may be
        What is right.
    ids : array of int64, optional
        Which rows to compare; those of the reference (or of the mapping) where it is left out.

    Raises
    ------
    AssertionError
        Naming the ids, elements, both values as bits and decimals, and their distance in ulps.

    Examples
    --------
    >>> reference = Reference(1)
    >>> reference.optimize([3], [[1.0]], rate=0.5)
    >>> assert_parity({3: [-0.5]}, reference)
    """
    numbers = _known(reference, table) if ids is None else _ids(ids)
    expected, actual = _values("reference", reference, numbers), _values("table", table, numbers)
    if actual.shape != expected.shape:
        raise AssertionError(f"the table gives {actual.shape}, the reference {expected.shape} (ids, floats)")
    where = differing(actual, expected)
    if not len(where):
        return
    width = max(1, expected.shape[1])
    bits = [np.ascontiguousarray(values).reshape(-1).view(np.uint32) for values in (actual, expected)]
    lines = [f"{len(where)} of {expected.size} floats differ, in {len(set((where // width).tolist()))} rows:"]
    for place in where[:SHOWN].tolist():
        got, wanted = int(bits[0][place]), int(bits[1][place])
        far = ulps(got, wanted)
        distance = f", {far} ulp" if far is not None else ""
        lines.append(
            f"  id {numbers[place // width]}, element {place % width}: "
            f"{describe(got)}, expected {describe(wanted)}{distance}"
        )
    raise AssertionError("\n".join(lines))


def assert_same_dump(a: bytes | Path | str, b: bytes | Path | str) -> None:
    """Assert that two ModelDump files say the same, whatever the order of their maps and unknown fields.

    ``a`` and ``b`` are the bytes of a file, or its path. Raises AssertionError with the first differences.
    """
    from monolith_ref.model_dump.diff import diff_dumps

    found = diff_dumps(_content(a), _content(b))
    if found:
        more = f"\n  … and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise AssertionError(
            f"{len(found)} differences:\n" + "\n".join(f"  {difference}" for difference in found[:SHOWN]) + more
        )


def _content(source: bytes | Path | str) -> bytes:
    return source if isinstance(source, bytes) else Path(source).read_bytes()


def _known(*sources: Any) -> list[int]:
    for source in sources:
        if isinstance(source, Reference):
            return source.ids
        if isinstance(source, Mapping):
            return _ids(list(source))
    raise ShapeError("neither side says which ids there are: give ids=")


def _ids(ids: Any) -> list[int]:
    array = _numpy(ids)
    if array.size and array.dtype.kind not in "iu":
        raise ShapeError(f"ids of type {array.dtype}; whole numbers were expected")
    return [int(fid) for fid in array.reshape(-1)]


def _values(side: str, source: Any, ids: list[int]) -> F4:
    if isinstance(source, Mapping):
        missing = [fid for fid in ids if fid not in source]
        if missing:
            raise AssertionError(f"the {side} has no row for {len(missing)} ids, the first being {missing[0]}")
        return _float_rows(side, np.array([_one(side, source[fid]) for fid in ids]), ids)
    lookup: Callable[[NDArray[np.int64]], Any] | None = getattr(source, "lookup", None)
    if lookup is None and callable(source):
        lookup = source
    if lookup is None:
        return _float_rows(side, _numpy(source), ids)
    found = lookup(np.array(ids, np.int64))
    return _float_rows(side, _numpy(found[0] if isinstance(found, tuple) else found), ids)


def _one(side: str, row: Any) -> NDArray[Any]:
    array = _numpy(row)
    if array.dtype == np.float64 and isinstance(row, Iterable) and not hasattr(row, "dtype"):
        return array.astype(np.float32)  # A plain list of numbers has no type of its own.
    return array


def _float_rows(side: str, array: NDArray[Any], ids: list[int]) -> F4:
    if array.size and array.dtype != np.float32:
        raise AssertionError(f"the {side} holds {array.dtype}; bits can only be compared between float32")
    return np.asarray(array, np.float32).reshape(len(ids), -1) if len(ids) else np.zeros((0, 0), np.float32)


def _numpy(values: Any) -> NDArray[Any]:
    """An array of whatever holds one: PyTorch tensors (also with gradients or elsewhere), TensorFlow's, lists."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    if hasattr(values, "numpy"):
        values = values.numpy()
    return np.asarray(values)
