"""How bytes depart from the canonical form of their message, and the bytes again from both.

A departure says of one message body (``path``) which record stands at which offset of the file: ``part`` names the
record (``features[2]``, ``attr{T}``, ``?[0]`` for the first unknown field), and ``hex`` is its head (tag and length,
where the content is the message's own) or all of it, where the message does not hold its content: a value that was
overwritten, a number in a longer encoding, parts that were merged. An empty ``hex`` says that the record is not there.
``count`` records follow each other as in the canonical form. A body whose records are the canonical ones has none.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.message import DecodeError, Message

from monolith_ref.model_dump.canonical import canonical_bytes
from monolith_ref.model_dump.parsing import parse_whole_entries
from monolith_ref.model_dump.record_names import (
    ENTRY,
    Departure,
    Entry,
    Named,
    Value,
    below_path,
    canonical_records,
    name_records,
)
from monolith_ref.model_dump.schema import Descriptor, Field
from monolith_ref.model_dump.wire import (
    LENGTH,
    Record,
    WireFault,
    encode_varint,
    field_wire_type,
    known_field,
    read_varint,
    scan,
)

__all__ = ["Departure", "Groups", "apply_departures", "find_departures", "group_departures"]

Normal = Callable[[Message], Any]


# Finding -------------------------------------------------------------------------------------------------------------


def find_departures(raw: bytes, message: Message, path: str, base: int) -> list[Departure]:
    """Departures of ``raw`` from the canonical form of ``message``; offsets are counted from ``base``."""
    out: list[Departure] = []
    _find(raw, 0, len(raw), canonical_bytes(message), message, message.DESCRIPTOR, path, base, out)
    return out


def _find(
    raw: bytes,
    start: int,
    end: int,
    body: bytes,
    value: Value,
    descriptor: Descriptor,
    path: str,
    base: int,
    out: list[Departure],
) -> None:
    if raw[start:end] == body:
        return
    canonical = canonical_records(body, value, descriptor)
    places = {item.part: place for place, item in enumerate(canonical)}
    found = list(name_records(raw, scan(raw, start, end), descriptor))
    last = {part: place for place, (part, _, _) in enumerate(found)}
    unpacked = _unpacked_fields(raw, found, body, canonical)
    listing: list[tuple[int, Departure]] = []
    inner: list[tuple[Record, Named]] = []
    for place, (part, record, field) in enumerate(found):
        target = places.get(part)
        head = raw[record.start : record.body]
        entry = Departure(path, part, base + record.start, raw[record.start : record.end].hex())
        split = field is not None and (field.number in unpacked or (_merges(field) and _times(found, part) > 1))
        if target is None or last[part] != place or split or not _same_content(raw, record, body, canonical[target]):
            listing.append((-1, entry))
            continue
        named = canonical[target]
        if record.wire_type == LENGTH and record.end > record.body:
            entry = Departure(path, part, base + record.start, head.hex())
        listing.append((target, entry))
        if named.child is not None:
            inner.append((record, named))
    if not _is_canonical(listing, canonical, body):
        out.extend(_runs(listing, canonical, body))
        # A map entry may lack its key or value, which the canonical form has.
        out.extend(Departure(path, item.part, base + end, "") for item in canonical if item.part not in last)
    for record, named in inner:
        assert named.field is not None
        assert named.child is not None
        content = body[named.record.body : named.record.end]
        below = below_path(path, value, named)
        _find(raw, record.body, record.end, content, named.child, named.field.message_type, below, base, out)


def _times(found: list[tuple[str, Record, Field | None]], part: str) -> int:
    return sum(1 for name, _, _ in found if name == part)


def _merges(field: Field) -> bool:
    """Whether a second record of the field is merged into the first."""
    return field.message_type is not None and not field.is_repeated


def _unpacked_fields(
    raw: bytes,
    found: list[tuple[str, Record, Field | None]],
    body: bytes,
    canonical: list[Named],
) -> set[int]:
    """Repeated numbers that are cut into other records than the canonical ones, or written otherwise."""
    theirs: dict[int, list[bytes]] = {}
    ours: dict[int, list[bytes]] = {}
    for _, record, field in found:
        if field is not None and field.is_repeated and field_wire_type(field) != LENGTH:
            theirs.setdefault(record.number, []).append(raw[record.body : record.end])
    for item in canonical:
        if item.record.number in theirs and item.field is not None:
            ours.setdefault(item.record.number, []).append(body[item.record.body : item.record.end])
    return {number for number, contents in theirs.items() if ours.get(number) != contents}


def _same_content(raw: bytes, record: Record, body: bytes, named: Named) -> bool:
    """Whether the message holds the content of a record; the inside of messages is looked at later."""
    if record.wire_type != named.record.wire_type:
        return False
    if named.child is not None:
        return True
    return raw[record.body : record.end] == body[named.record.body : named.record.end]


def _head(body: bytes, named: Named) -> str:
    record = named.record
    whole = record.wire_type != LENGTH or record.end == record.body
    return body[record.start : record.end if whole else record.body].hex()


def _tag_of(hex_text: str, wire_type: int) -> bytes:
    """The tag bytes of a head: its length may differ where the inside departs, and follows from the content."""
    data = bytes.fromhex(hex_text)
    return data[: read_varint(data, 0, len(data), 5)[1]] if wire_type == LENGTH else data


def _plain_head(entry: Departure, named: Named, body: bytes) -> bool:
    """Whether a head is the canonical one, but for a length that follows from the content."""
    mine = _head(body, named)
    if entry.hex == mine:
        return True
    if named.record.wire_type != LENGTH or named.child is None:
        return False
    data = bytes.fromhex(entry.hex)
    tag = _tag_of(entry.hex, LENGTH)
    if tag != _tag_of(mine, LENGTH):
        return False
    length = read_varint(data, len(tag), len(data))[0]
    return data[len(tag) :] == encode_varint(length)


def _is_canonical(listing: list[tuple[int, Departure]], canonical: list[Named], body: bytes) -> bool:
    if [target for target, _ in listing] != list(range(len(canonical))):
        return False
    return all(_plain_head(entry, canonical[target], body) for target, entry in listing)


def _runs(listing: list[tuple[int, Departure]], canonical: list[Named], body: bytes) -> Iterable[Departure]:
    """The listing with canonical stretches taken together."""
    place = 0
    while place < len(listing):
        target, entry = listing[place]
        count = 1
        if target >= 0:
            while place + count < len(listing):
                following, other = listing[place + count]
                if following != target + count or not _plain_head(other, canonical[following], body):
                    break
                count += 1
        yield Departure(entry.path, entry.part, entry.offset, entry.hex, count)
        place += count


# Applying ------------------------------------------------------------------------------------------------------------


class Groups:
    """Departures by the body that they belong to."""

    def __init__(self, departures: Iterable[Departure] = ()) -> None:
        self.by_path: dict[str, list[Departure]] = {}
        for item in departures:
            self.by_path.setdefault(item.path, []).append(item)
        self.order = sorted(self.by_path)

    def touch(self, path: str) -> bool:
        """Whether the body at ``path``, or one inside of it, departs."""
        plain = path.removesuffix(ENTRY)
        if not plain:
            return bool(self.order)
        if plain in self.by_path or f"{plain}{ENTRY}" in self.by_path:
            return True
        place = bisect_left(self.order, f"{plain}.")
        return place < len(self.order) and self.order[place].startswith(f"{plain}.")


def group_departures(departures: Iterable[Departure]) -> Groups:
    """Departures by the body that they belong to."""
    return Groups(departures)


def apply_departures(message: Message, path: str, groups: Groups, normal: Normal) -> bytes:
    """The bytes of ``message`` with its departures; those that no longer fit an edited message are left out.

    Parameters
    ----------
    normal : callable
        A message as a comparable value: bodies are taken only where they read as the message does.
    """
    if not groups.touch(path):
        return canonical_bytes(message)
    return _apply(canonical_bytes(message), message, message.DESCRIPTOR, path, groups, normal)


def _apply(
    body: bytes,
    value: Value,
    descriptor: Descriptor,
    path: str,
    groups: Groups,
    normal: Normal,
) -> bytes:
    canonical = canonical_records(body, value, descriptor)
    contents = []
    for named in canonical:
        content = body[named.record.body : named.record.end]
        if named.child is not None:
            assert named.field is not None
            below = below_path(path, value, named)
            if groups.touch(below):
                content = _apply(content, named.child, named.field.message_type, below, groups, normal)
        contents.append(content)
    plain = b"".join(_record(body, named, content) for named, content in zip(canonical, contents, strict=True))
    listed = groups.by_path.get(path)
    if not listed:
        return plain
    departed = _listed(body, canonical, contents, listed)
    return departed if _reads_as(departed, plain, value, descriptor, normal) else plain


def _record(body: bytes, named: Named, content: bytes, head: bytes = b"") -> bytes:
    """One record with its canonical head, or with a given one whose length is corrected."""
    record = named.record
    if record.wire_type != LENGTH:
        return head or body[record.start : record.end]
    given = head or body[record.start : record.body]
    tag_end = read_varint(given, 0, len(given), 5)[1]
    length, behind = read_varint(given, tag_end, len(given))
    if length == len(content) and behind == len(given):
        return given + content
    return given[:tag_end] + encode_varint(len(content)) + content


def _listed(body: bytes, canonical: list[Named], contents: list[bytes], listed: list[Departure]) -> bytes:
    places = {item.part: place for place, item in enumerate(canonical)}
    written: set[int] = set()
    covered: set[int] = set()
    out = bytearray()
    for entry in listed:
        data = bytes.fromhex(entry.hex)
        first = places.get(entry.part)
        begin = first
        if not _is_head(data):
            out += data
            # Its content stands here in full: the canonical record of that name is not added at the end.
            covered.add(-1 if first is None else first)
            begin = None if first is None else first + 1
        if first is None or begin is None:
            continue
        for place in range(begin, min(first + entry.count, len(canonical))):
            if place not in written:
                written.add(place)
                out += _record(body, canonical[place], contents[place], data if place == first else b"")
    for place in range(len(canonical)):
        if place not in written and place not in covered:
            out += _record(body, canonical[place], contents[place])
    return bytes(out)


def _is_head(data: bytes) -> bool:
    """Whether these bytes are the head of a record with content elsewhere."""
    try:
        tag, at = read_varint(data, 0, len(data), 5)
        if tag & 7 != LENGTH:
            return False
        length, behind = read_varint(data, at, len(data))
    except WireFault:
        return False
    return behind == len(data) and length > 0


def _reads_as(departed: bytes, plain: bytes, value: Value, descriptor: Descriptor, normal: Normal) -> bool:
    if isinstance(value, Entry):
        # An entry is read inside of a map; as a body of its own its two records tell.
        return _entry_values(departed, descriptor) == _entry_values(plain, descriptor)
    try:
        read = parse_whole_entries(type(value), departed)
    except DecodeError:
        return False
    return bool(normal(read) == normal(value))


def _entry_values(body: bytes, descriptor: Descriptor) -> dict[int, bytes] | None:
    """Last value of key and value in a map entry, by number, in canonical encoding; parts of messages are joined."""
    out: dict[int, bytes] = {}
    try:
        for record in scan(body, 0, len(body)):
            field = known_field(descriptor, record)
            if field is None:
                continue
            content = body[record.body : record.end]
            if field.message_type is not None:
                content = out.get(record.number, b"") + content
            elif record.wire_type != LENGTH:
                content = encode_varint(read_varint(content, 0, len(content))[0])
            out[record.number] = content
    except WireFault:
        return None
    for number in (1, 2):
        if descriptor.fields_by_number[number].message_type is not None:
            data = out.get(number, b"")
            out[number] = canonical_bytes(_read_type(descriptor.fields_by_number[number].message_type, data))
        else:
            default = b"" if field_wire_type(descriptor.fields_by_number[number]) == LENGTH else b"\0"
            out.setdefault(number, default)
    return out


def _read_type(descriptor: Descriptor, data: bytes) -> Message:
    from google.protobuf.message_factory import GetMessageClass

    return parse_whole_entries(GetMessageClass(descriptor), data)
