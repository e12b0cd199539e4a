"""Rows as serialised EntryDump messages and back, with protobuf alone: the suite's own reading of the format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from monolith_protos import hash_table_pb2, optimizer_pb2

from monolith_conformance.accuracy import EXACT, Accuracy
from monolith_conformance.oracle.table import Row
from monolith_ref.errors import ArgumentError

__all__ = ["canonical_entry", "entry_of", "first_entry_difference", "row_of"]


def entry_of(row: Row, rules: Sequence[str], *, with_id: bool = True) -> bytes:
    """The message of a row: id (where asked for), embedding, one dump element a segment, time.

    ``rules`` names the optimizer of each segment; moving_average has no element.
    """
    entry = hash_table_pb2.EntryDump(num=np.asarray(row.num, np.float32).tolist())
    if with_id:
        entry.id = row.id
    entry.opt.SetInParent()
    for rule, state in zip(rules, row.opt, strict=True):
        if rule != "moving_average":
            _put_state(getattr(entry.opt.dump.add(), rule), state)
    entry.last_update_ts_sec = int(row.ts)
    return entry.SerializeToString()


def _put_state(message: Any, state: Mapping[str, Any]) -> None:
    message.SetInParent()
    for name, value in state.items():
        if message.DESCRIPTOR.fields_by_name[name].is_repeated:
            getattr(message, name).extend(np.asarray(value, np.float32).tolist())
        else:
            setattr(message, name, value.item() if isinstance(value, np.generic) else value)


def row_of(data: bytes, rules: Sequence[str]) -> Row:
    """The row of a message. Raises :class:`~monolith_ref.errors.ArgumentError` where it is none of these segments."""
    try:
        entry = hash_table_pb2.EntryDump.FromString(data)
    except DecodeError as error:
        raise ArgumentError(f"no EntryDump: {error}") from None
    stateful = [rule for rule in rules if rule != "moving_average"]
    found = [dump.WhichOneof("type") for dump in entry.opt.dump]
    if found and found != stateful:
        raise ArgumentError(f"optimizer dumps {found}, expected {stateful}")
    dumps = iter(entry.opt.dump)
    states = [_state(rule, next(dumps)) if rule != "moving_average" and found else {} for rule in rules]
    return Row(entry.id, np.array(entry.num, np.float32), states, entry.last_update_ts_sec)


def _state(rule: str, dump: optimizer_pb2.SingleOptimizerDump) -> dict[str, Any]:
    message = getattr(dump, rule)
    state: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.is_repeated:
            state[field.name] = np.array(value, np.float32)
        elif field.type == field.TYPE_FLOAT:
            state[field.name] = np.float32(value)
        else:
            state[field.name] = value
    return state


def canonical_entry(data: bytes) -> bytes:
    """An entry with every NaN made one NaN and fields in order, for comparison; other bytes stay as they are."""
    try:
        entry = hash_table_pb2.EntryDump.FromString(data)
    except DecodeError:
        return data
    _make_one_nan(entry)
    return entry.SerializeToString(deterministic=True)


def _make_one_nan(message: Any) -> None:
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for part in value if field.is_repeated else [value]:
                _make_one_nan(part)
        elif field.type == field.TYPE_FLOAT and field.is_repeated:
            for index, number in enumerate(value):
                if number != number:
                    value[index] = float("nan")
        elif field.type == field.TYPE_FLOAT and value != value:
            setattr(message, field.name, float("nan"))


def first_entry_difference(
    actual: bytes, expected: bytes, accuracy: Accuracy = EXACT
) -> tuple[str, str, str, int | None] | None:
    """(path, actual, expected, ulps) of the first field in which two entries differ.

    None where, under a looser accuracy profile, all of their floats are near enough.
    """
    try:
        pair = [hash_table_pb2.EntryDump.FromString(data) for data in (actual, expected)]
    except DecodeError:
        return "", actual.hex() or "nothing", expected.hex() or "nothing", None
    if not actual or not expected:
        return "", "no row" if not actual else "a row", "no row" if not expected else "a row", None
    found = _message_difference("", pair[0], pair[1], accuracy)
    if found is None and accuracy == EXACT:
        return "", actual.hex(), expected.hex(), None
    return found


def _message_difference(path: str, a: Any, b: Any, accuracy: Accuracy) -> tuple[str, str, str, int | None] | None:
    for field in a.DESCRIPTOR.fields:
        x, y, where = getattr(a, field.name), getattr(b, field.name), f"{path}.{field.name}"
        if field.is_repeated:
            if len(x) != len(y):
                return where, f"{len(x)} items", f"{len(y)} items", None
            pairs = [(f"{where}[{i}]", p, q) for i, (p, q) in enumerate(zip(x, y, strict=True))]
        elif field.type == field.TYPE_MESSAGE and a.HasField(field.name) != b.HasField(field.name):
            return where, "present" if a.HasField(field.name) else "absent", "the other", None
        else:
            pairs = [(where, x, y)]
        for place, p, q in pairs:
            found = _value_difference(field, place, p, q, accuracy)
            if found is not None:
                return found
    return None


def _value_difference(
    field: Any, place: str, p: Any, q: Any, accuracy: Accuracy
) -> tuple[str, str, str, int | None] | None:
    if field.type == field.TYPE_MESSAGE:
        return _message_difference(place, p, q, accuracy)
    if field.type == field.TYPE_FLOAT:
        difference = accuracy.first_difference(np.array([p], np.float32), np.array([q], np.float32))
        return None if difference is None else (place, difference.actual, difference.expected, difference.ulps)
    return None if p == q else (place, str(p), str(q), None)
