"""Feature ids: 64 bits, a slot above a signature, in two layouts. Rule: entry 3.

==========  =====================  ==========================
..          v1                     v2
==========  =====================  ==========================
slot bits   54..63 (0..1023)       48..62 (0..32767), 63 is 0
signature   0..53                  0..47
==========  =====================  ==========================

Tables, expiry and filters always use the v2 slot. Ids come as ints in [-2^63, 2^64) or arrays of int64 or uint64: the
same bits either way. Array functions return the dtype that they were given.
"""

from __future__ import annotations

from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from monolith_ref.errors import ArgumentError, DtypeError
from monolith_ref.quirks import Quirks, as_quirks

__all__ = [
    "V1_MAX_SLOT",
    "V2_MAX_SLOT",
    "checked_fid_v1",
    "checked_fid_v2",
    "checked_v2_value",
    "extract_fid",
    "feature_combine",
    "make_fid_v1",
    "make_fid_v2",
    "replace_slot_v1",
    "replace_slot_v2",
    "slot_of_v1",
    "slot_of_v2",
    "switch_slot",
    "to_signed",
    "to_unsigned",
    "v1_to_v2",
]

V1_MAX_SLOT = 1023
V2_MAX_SLOT = 32767
_V1_BITS, _V2_BITS = 54, 48
_U64 = (1 << 64) - 1

IdArray = NDArray[Any]
FidT = TypeVar("FidT", int, NDArray[Any])


def to_unsigned(fid: int) -> int:
    """The bits of ``fid`` as a number in [0, 2^64). ArgumentError outside [-2^63, 2^64)."""
    value = int(fid)
    if not -(1 << 63) <= value < (1 << 64):
        raise ArgumentError(f"fid {value} is outside [-2^63, 2^64)")
    return value & _U64


def to_signed(fid: int) -> int:
    """The bits of ``fid`` as an int64. ArgumentError outside [-2^63, 2^64)."""
    value = to_unsigned(fid)
    return value - (1 << 64) if value >> 63 else value


def _array_bits(fids: IdArray) -> NDArray[np.uint64]:
    if fids.dtype == np.uint64:
        return fids
    if fids.dtype == np.int64:
        return fids.view(np.uint64)
    raise DtypeError(f"fids must be int64 or uint64, not {fids.dtype}")


def _shift(fid: Any, bits: int, mask: int) -> Any:
    if isinstance(fid, np.ndarray):
        return ((_array_bits(fid) >> np.uint64(bits)) & np.uint64(mask)).astype(np.int64)
    return (to_unsigned(fid) >> bits) & mask


@overload
def slot_of_v1(fid: int) -> int: ...
@overload
def slot_of_v1(fid: IdArray) -> NDArray[np.int64]: ...
def slot_of_v1(fid: Any) -> Any:
    """The v1 slot (bits 54..63, unsigned) of an int or an array; arrays give int64."""
    return _shift(fid, _V1_BITS, V1_MAX_SLOT)


@overload
def slot_of_v2(fid: int) -> int: ...
@overload
def slot_of_v2(fid: IdArray) -> NDArray[np.int64]: ...
def slot_of_v2(fid: Any) -> Any:
    """The v2 slot (bits 48..62; the sign bit is dropped) of an int or an array; arrays give int64."""
    return _shift(fid, _V2_BITS, V2_MAX_SLOT)


def _make(slot: int, signature: int, bits: int) -> int:
    return to_signed((((slot & _U64) << bits) & _U64) | (signature & ((1 << bits) - 1)))


def make_fid_v1(slot: int, signature: int) -> int:
    """A v1 fid as int64, unchecked: slots are taken modulo 1024, signatures modulo 2^54."""
    return _make(slot, signature, _V1_BITS)


def make_fid_v2(slot: int, signature: int) -> int:
    """A v2 fid as int64, unchecked: slot 32768 reaches the sign bit, signatures are taken modulo 2^48."""
    return _make(slot, signature, _V2_BITS)


def _replace(fid: Any, slot: int, bits: int, mask_bits: int) -> Any:
    high = (slot << bits) & _U64
    mask = (1 << mask_bits) - 1
    if isinstance(fid, np.ndarray):
        changed = (_array_bits(fid) & np.uint64(mask)) | np.uint64(high)
        return changed.view(fid.dtype)
    return to_signed(high | (to_unsigned(fid) & mask))


def replace_slot_v1(fid: FidT, slot: int) -> FidT:
    """``fid`` (an int, or an array) with its v1 slot replaced; ints come back as int64."""
    return _replace(fid, slot, _V1_BITS, _V1_BITS)  # type: ignore[no-any-return]


def replace_slot_v2(fid: FidT, slot: int) -> FidT:
    """``fid`` (an int, or an array) with its v2 slot replaced; ints come back as int64."""
    return _replace(fid, slot, _V2_BITS, _V2_BITS)  # type: ignore[no-any-return]


def switch_slot(fids: IdArray, slot: int, *, fid_version: int = 2, quirks: str | Quirks | None = None) -> IdArray:
    """The tensor operation that moves ids to another slot.

    Under ``wide_slot_mask`` the mask is one bit too wide, so that the lowest bit of the old slot is OR-ed in.
    Raises ArgumentError for a version other than 1 or 2.
    """
    bits = _version_bits(fid_version)
    wide = 1 if "wide_slot_mask" in as_quirks(quirks) else 0
    return _replace(fids, slot, bits, bits + wide)  # type: ignore[no-any-return]


def _version_bits(fid_version: int) -> int:
    if fid_version not in (1, 2):
        raise ArgumentError(f"fid_version must be 1 or 2, not {fid_version!r}")
    return _V1_BITS if fid_version == 1 else _V2_BITS


def feature_combine(
    first: IdArray, second: IdArray, slot: int, *, fid_version: int = 2, quirks: str | Quirks | None = None
) -> IdArray:
    """Crossed ids: both halves of the signed 128-bit product of the whole fids, XOR-ed, under ``slot``.

    Shapes must be equal; the result has the first array's dtype.
    """
    bits = _version_bits(fid_version)
    if "wide_slot_mask" in as_quirks(quirks):
        bits_mask = (1 << (bits + 1)) - 1
    else:
        bits_mask = (1 << bits) - 1
    a = _array_bits(first).view(np.int64).astype(object)
    b = _array_bits(second).view(np.int64).astype(object)
    product = a * b
    mixed = ((product >> 64) ^ product) & _U64
    high = (slot << bits) & _U64
    combined = ((mixed & bits_mask) | high).astype(np.uint64)
    return combined.view(first.dtype)  # type: ignore[no-any-return]


def v1_to_v2(fid: FidT) -> FidT:
    """The v2 form of a v1 fid (int or array). Signature bits 48..53 are lost; there is no way back."""
    if isinstance(fid, np.ndarray):
        raw = _array_bits(fid)
        low = raw & np.uint64((1 << _V2_BITS) - 1)
        return ((raw >> np.uint64(_V1_BITS)) << np.uint64(_V2_BITS) | low).view(fid.dtype)
    raw_int = to_unsigned(fid)
    return to_signed(((raw_int >> _V1_BITS) << _V2_BITS) | (raw_int & ((1 << _V2_BITS) - 1)))


def _checked(slot: int, limit: int) -> None:
    if not 0 <= slot <= limit:
        raise ArgumentError(f"slot should be less than {limit + 1}, while got {slot}")


def checked_fid_v1(slot: int, signature: int) -> int:
    """As :func:`make_fid_v1`, but ArgumentError for slots outside 0..1023. Signatures are masked."""
    _checked(slot, V1_MAX_SLOT)
    return make_fid_v1(slot, signature)


def checked_fid_v2(slot: int, signature: int) -> int:
    """As :func:`make_fid_v2`, but ArgumentError for slots outside 0..32767. Signatures are masked."""
    _checked(slot, V2_MAX_SLOT)
    return make_fid_v2(slot, signature)


def checked_v2_value(fid: int) -> int:
    """``fid`` as int64; ArgumentError (naming slot + 32768) where bit 63 is set."""
    value = to_unsigned(fid)
    if value >> 63:
        raise ArgumentError(f"slot should be less than 32768, while got {value >> _V2_BITS}")
    return value


_CITY_K2 = 0x9AE16A3B2F90404F


def _city_hash_8(data: int) -> int:
    """CityHash64 (1.1) of eight little-endian bytes."""

    def rotate(value: int, by: int) -> int:
        return ((value >> by) | (value << (64 - by))) & _U64

    mul = (_CITY_K2 + 16) & _U64
    a = (data + _CITY_K2) & _U64
    c = (rotate(data, 37) * mul + a) & _U64
    d = ((rotate(a, 25) + data) * mul) & _U64
    first = ((c ^ d) * mul) & _U64
    first ^= first >> 47
    second = ((d ^ first) * mul) & _U64
    second ^= second >> 47
    return (second * mul) & _U64


def extract_fid(value: int, slot: int, *, quirks: str | Quirks | None = None) -> int:
    """The v2 fid of a whole number: its CityHash64 as signature (masked one bit too wide under ``wide_slot_mask``)."""
    bits = _V2_BITS + (1 if "wide_slot_mask" in as_quirks(quirks) else 0)
    high = (slot << _V2_BITS) & _U64
    return to_signed(high | (_city_hash_8(to_unsigned(value)) & ((1 << bits) - 1)))
