"""The conversation of the guide, in hex and in JSON, is what the framing code reads and writes."""

from __future__ import annotations

import re
from pathlib import Path

from monolith_conformance.backends.oracle import OracleBackend
from monolith_conformance.testee.framing import ENCODINGS
from monolith_conformance.testee.jsonlines import from_json, to_json
from monolith_protos import testee_pb2

from monolith_ref.quirks import Quirks

GUIDE = (Path(__file__).resolve().parents[3] / "docs" / "testee.md").read_text()


def _frames() -> list[tuple[str, bytes]]:
    block = next(b for b in re.findall(r"```text\n(.*?)```", GUIDE, re.S) if b.startswith("> "))
    parts = re.split(r"^([<>]) .*$", block, flags=re.M)[1:]
    return [(who, bytes.fromhex(text)) for who, text in zip(parts[::2], parts[1::2], strict=True)]


def _body(data: bytes) -> bytes:
    buffer = bytearray(data)
    body = ENCODINGS["protobuf"].take(buffer)
    assert body is not None
    assert not buffer
    return body


def test_every_frame_is_whole_and_written_alike() -> None:
    frames = _frames()
    assert [who for who, _ in frames] == [*list("><" * 5), ">"]
    for who, data in frames:
        message = testee_pb2.Request() if who == ">" else testee_pb2.Reply()
        message.ParseFromString(_body(data))
        assert ENCODINGS["protobuf"].write(message) == data


def test_the_replies_are_the_oracles() -> None:
    backend, frames = OracleBackend(), _frames()
    backend.open("ieee", Quirks.parse("default"))
    for (_, asked), (_, answered) in zip(frames[2:8:2], frames[3:8:2], strict=True):
        reply = backend.answer(testee_pb2.Request.FromString(_body(asked)))
        assert reply == testee_pb2.Reply.FromString(_body(answered))


def test_the_lines_of_json_say_the_same() -> None:
    lines = [line for line in GUIDE.splitlines() if line.startswith('{"seq"')]
    for line, (who, data) in zip(lines, _frames()[4:8], strict=True):
        message = testee_pb2.Request() if who == ">" else testee_pb2.Reply()
        from_json(line, message)
        assert message == type(message).FromString(_body(data))
        assert to_json(message) == line
