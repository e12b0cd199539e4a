"""Transcripts: what was asked and expected, as data that survives a file, and bit comparison of replies."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from monolith_conformance.transcript import Step, Transcript, compare_results
from monolith_protos import testee_pb2

from monolith_ref.errors import FormatError


def _reply(*words: int) -> testee_pb2.Reply:
    return testee_pb2.Reply(seq=1, result=testee_pb2.Result(floats=struct.pack(f"<{len(words)}I", *words)))


def _wanted(*words: int) -> testee_pb2.Result:
    return testee_pb2.Result(floats=struct.pack(f"<{len(words)}I", *words))


def test_bits_decide() -> None:
    assert compare_results(0, _reply(0x3F800000), _wanted(0x3F800000), ["floats"]) is None
    mismatch = compare_results(4, _reply(0x3F800000, 0x3F800001), _wanted(0x3F800000, 0x3F800003), ["floats"])
    assert mismatch is not None
    assert (mismatch.step, mismatch.what, mismatch.ulps) == (4, "floats[1]", 2)
    assert mismatch.actual == "3f800001 (1.0000001)"


def test_zeros_differ_by_sign_and_every_nan_is_a_nan() -> None:
    assert compare_results(0, _reply(0x80000000), _wanted(0), ["floats"]) is not None
    assert compare_results(0, _reply(0x7FC00000), _wanted(0xFFC00001), ["floats"]) is None


def test_only_judged_fields_count() -> None:
    reply = _reply(1)
    reply.result.ints.append(5)
    assert compare_results(0, reply, testee_pb2.Result(ints=[5]), ["ints"]) is None
    assert compare_results(0, reply, testee_pb2.Result(), ["ints"]) is not None


def test_counts_and_kinds_are_differences() -> None:
    assert "1 floats" in str(compare_results(0, _reply(1), _wanted(1, 2), ["floats"]))
    refused = testee_pb2.Reply(seq=1, unsupported=testee_pb2.Unsupported(capability="x"))
    assert "unsupported" in str(compare_results(0, refused, _wanted(), ["floats"]))


def test_a_transcript_survives_its_file(tmp_path: Path) -> None:
    request = testee_pb2.Request(seq=1)
    request.op.op = "lookup"
    request.op.ids.extend([-1, 2**62])
    transcript = Transcript([Step(request, _wanted(0x80000000), ("floats",)), Step(request)])
    path = tmp_path / "deep" / "case.jsonl"
    transcript.save(path, id="table/x/y")
    loaded, header = Transcript.load(path)
    assert header["id"] == "table/x/y"
    assert [step.request for step in loaded] == [request, request]
    assert loaded.steps[0].expected == _wanted(0x80000000)
    assert loaded.steps[0].judged == ("floats",)
    assert loaded.steps[1].expected is None


@pytest.mark.parametrize("text", ["", "{}", '{"format": "monolith-ref transcript"}\n{"no": 1}'])
def test_what_is_no_transcript_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.jsonl").write_text(text)
    with pytest.raises(FormatError):
        Transcript.load(tmp_path / "x.jsonl")
