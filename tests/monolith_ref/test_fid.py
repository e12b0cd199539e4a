"""Feature ids in both layouts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monolith_ref import fid
from monolith_ref.errors import ArgumentError, DtypeError

TABLE = [
    (0x2E40000000000005, 185, 11840, 0x00B9000000000005, 0x0140000000000005, 0x0005000000000005),
    (0x00C4000000000007, 3, 196, 0x0003000000000007, 0x0144000000000007, 0x0005000000000007),
    (0xFFFFFFFFFFFFFFFF, 1023, 32767, 0x03FFFFFFFFFFFFFF, 0x017FFFFFFFFFFFFF, 0x0005FFFFFFFFFFFF),
    (0x8000000000000001, 512, 0, 0x0200000000000001, 0x0140000000000001, 0x0005000000000001),
]


@pytest.mark.parametrize(("raw", "v1", "v2", "as_v2", "five_v1", "five_v2"), TABLE)
def test_measured_values(raw: int, v1: int, v2: int, as_v2: int, five_v1: int, five_v2: int) -> None:
    array = np.array([raw], np.uint64)
    for value in (raw, fid.to_signed(raw)):
        assert fid.slot_of_v1(value) == v1
        assert fid.slot_of_v2(value) == v2
        assert fid.to_unsigned(fid.v1_to_v2(value)) == as_v2
        assert fid.to_unsigned(fid.replace_slot_v1(value, 5)) == five_v1
        assert fid.to_unsigned(fid.replace_slot_v2(value, 5)) == five_v2
    for given_array in (array, array.view(np.int64)):
        assert fid.slot_of_v1(given_array).tolist() == [v1]
        assert fid.slot_of_v2(given_array).tolist() == [v2]
        assert fid.v1_to_v2(given_array).view(np.uint64).tolist() == [as_v2]
        assert fid.replace_slot_v1(given_array, 5).view(np.uint64).tolist() == [five_v1]
        assert fid.replace_slot_v2(given_array, 5).dtype == given_array.dtype
        assert fid.replace_slot_v2(given_array, 5).view(np.uint64).tolist() == [five_v2]


def test_making_wraps_and_checking_refuses() -> None:
    assert fid.make_fid_v1(1024 + 3, 7) == fid.make_fid_v1(3, 7)
    assert fid.make_fid_v1(512, 1) < 0
    assert fid.make_fid_v2(32768, 1) < 0
    assert fid.make_fid_v2(3, 1 << 48) == 3 << 48
    assert fid.checked_fid_v2(32767, 1) == fid.make_fid_v2(32767, 1)
    for call, slot, text in (
        (fid.checked_fid_v1, 1024, "less than 1024, while got 1024"),
        (fid.checked_fid_v2, 32768, "less than 32768, while got 32768"),
    ):
        with pytest.raises(ArgumentError, match=text):
            call(slot, 1)
    with pytest.raises(ArgumentError, match="while got 32773"):
        fid.checked_v2_value((1 << 63) | (5 << 48))


def test_range_and_dtype() -> None:
    for bad in (1 << 64, -(1 << 63) - 1):
        with pytest.raises(ArgumentError):
            fid.slot_of_v2(bad)
    with pytest.raises(DtypeError):
        fid.slot_of_v2(np.zeros(1, np.int32))


def test_tensor_operations_and_the_wide_mask() -> None:
    three = np.array([fid.make_fid_v2(3, 9)], np.int64)
    assert fid.slot_of_v2(fid.switch_slot(three, 4)).tolist() == [4]
    assert fid.slot_of_v2(fid.switch_slot(three, 4, quirks="original")).tolist() == [5]
    assert fid.extract_fid(185, 4) == 1153447759131936
    with pytest.raises(ArgumentError):
        fid.switch_slot(three, 4, fid_version=3)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_combining_takes_both_halves_of_the_product(a: int, b: int) -> None:
    got = fid.feature_combine(np.array([a], np.int64), np.array([b], np.int64), 7)
    product = a * b
    mixed = ((product >> 64) ^ product) & ((1 << 48) - 1)
    assert fid.to_unsigned(int(got[0])) == (7 << 48) | mixed
