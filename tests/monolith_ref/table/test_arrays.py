"""Arrays in: views where possible, nothing of the caller's changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from monolith_ref.errors import DtypeError
from monolith_ref.table.arrays import as_array, as_floats, as_ids, as_int

from .support import message, part, single


class Exported:
    """Memory behind DLPack, as torch and JAX give it."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()  # type: ignore[no-any-return]


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def test_arrays_are_not_copied() -> None:
    ids, values = np.arange(4), np.ones((4, 2), np.float32)
    assert as_ids(ids) is ids
    assert as_floats(values, "values") is values
    assert address(as_ids(ids.view(np.uint64))) == address(ids)
    for exported, read in ((ids, as_ids), (values, lambda v: as_floats(v, "values"))):
        got = read(Exported(exported))  # type: ignore[operator]
        assert address(got) == address(exported)
        assert got.flags.writeable


def test_read_only_and_strided_arrays() -> None:
    ids = np.arange(8)
    ids.flags.writeable = False
    assert address(as_ids(ids)) == address(ids)
    assert as_ids(ids[::2]).tolist() == [0, 2, 4, 6]
    values = np.arange(8, dtype=np.float32).reshape(2, 4)[:, ::2]
    table = single().assign([1, 2], values)
    assert table.lookup(ids[1:3]).tolist() == [[0, 2], [4, 6]]


def test_ids_of_every_integer_kind() -> None:
    assert as_ids([]).dtype == np.int64
    assert as_ids([2**63, -1]).tolist() == [-(2**63), -1]
    assert as_ids([2**64 - 1]).tolist() == [-1]
    for kind in (np.int8, np.int32, np.uint32, np.uint64):
        assert as_ids(np.array([1, 2], kind)).tolist() == [1, 2]
    for bad in (np.array([1.5]), np.array(["a"]), [1.5, 2], np.array([True]), [2**64], [-(2**63) - 1]):
        with pytest.raises(DtypeError):
            as_ids(bad)


def test_values_convert_where_exact() -> None:
    assert as_floats(np.array([0.5, np.nan, np.inf]), "values").dtype == np.float32
    assert as_floats(np.array([1, 2]), "values").tolist() == [1, 2]
    assert as_floats(np.array([0.1], np.float16), "values")[0] == np.float32(np.float16(0.1))
    assert as_floats([0.1], "values")[0] == np.float32(0.1)
    for bad in (np.array([0.1]), np.array([1e300]), np.array([1j]), np.array([True]), Exported(np.array([0.1]))):
        with pytest.raises(DtypeError):
            as_floats(bad, "values")


def test_numbers() -> None:
    assert as_int(np.int64(3), "x") == as_int(np.array([3]), "x") == as_int(3, "x") == 3
    for bad in (True, 0.5, np.array([1, 2]), "3"):
        with pytest.raises(DtypeError):
            as_int(bad, "x")


def test_callers_arrays_stay_as_they_are() -> None:
    ids = np.array([3, 1, 3])
    values = np.array([[1.0], [2.0], [-0.0]], np.float32)
    kept = ids.copy(), values.copy()
    table = single(message(part(1)))
    for call in (table.assign, table.assign_add):
        call(ids, values)
    table.apply_gradients(ids, values, 0, enable_dedup=True)
    table.apply_gradients(ids, values, 0)
    assert ids.tolist() == kept[0].tolist()
    assert values.view(np.uint32).tolist() == kept[1].view(np.uint32).tolist()
    rows = table.lookup(ids)
    rows[:] = 99
    assert 99 not in table.lookup(ids)


def test_torch_and_jax_where_they_are() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    ids = torch.arange(3)
    assert address(as_array(ids, "ids")) == ids.data_ptr()
    table = single(message(part(1)))
    table.apply_gradients(ids, torch.ones(3, 1), 0)
    assert table.lookup(ids).tolist() == [[-1]] * 3
