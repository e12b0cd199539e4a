"""The JSON encoding: exact for every float and every id, strict about types, lenient about unknown names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from monolith_conformance.testee.jsonlines import floats_to_words, from_json, to_json, words_to_floats
from monolith_protos import testee_pb2

from monolith_ref.errors import FormatError

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(
    ids=st.lists(INT64), words=st.lists(st.integers(0, 2**32 - 1)), step=INT64, dedup=st.booleans(), blob=st.binary()
)
def test_a_request_survives(ids: list[int], words: list[int], step: int, dedup: bool, blob: bytes) -> None:
    request = testee_pb2.Request(seq=2**63)
    request.op.ids.extend(ids)
    request.op.floats = b"".join(word.to_bytes(4, "little") for word in words)
    request.op.global_step = step
    request.op.dedup = dedup
    request.op.entries.append(blob)
    back = testee_pb2.Request()
    from_json(to_json(request), back)
    assert back == request


def test_floats_are_bit_patterns_most_significant_digit_first() -> None:
    assert floats_to_words(bytes.fromhex("0000803f00000080")) == "3f800000 80000000"
    assert words_to_floats("3f800000 80000000") == bytes.fromhex("0000803f00000080")
    assert floats_to_words(b"") == ""


def test_bytes_that_are_no_whole_floats_travel_in_requests_only() -> None:
    request, back = testee_pb2.Request(), testee_pb2.Request()
    for data in (b"\0\0\x80?\1\2\3", b"\7", bytes(999)):
        request.op.floats = data
        from_json(to_json(request), back)
        assert back.op.floats == data
    assert '"3f800000 010203"' in to_json(testee_pb2.Request(op=testee_pb2.Op(floats=b"\0\0\x80?\1\2\3")))


def test_an_empty_member_is_present() -> None:
    reply = testee_pb2.Reply()
    from_json('{"seq": 1, "result": {}}', reply)
    assert reply.WhichOneof("kind") == "result"


def test_unknown_names_are_ignored() -> None:
    reply = testee_pb2.Reply()
    from_json('{"seq": 1, "result": {"later": [1]}, "comment": "x"}', reply)
    assert reply.seq == 1


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("nonsense", "JSON"),
        ("[]", "object"),
        ('{"seq": 1.5}', "seq"),
        ('{"seq": -1}', "seq"),
        ('{"result": []}', "result"),
        ('{"result": {"floats": "3f80"}}', "floats"),
        ('{"result": {"flags": [1]}}', r"flags\[0\]"),
        ('{"result": {"ints": ["x"]}}', r"ints\[0\]"),
        ('{"result": {"blob": "0g"}}', "blob"),
    ],
)
def test_what_does_not_fit_is_named(line: str, where: str) -> None:
    with pytest.raises(FormatError, match=where):
        from_json(line, testee_pb2.Reply())
