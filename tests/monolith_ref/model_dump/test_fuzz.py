"""Damaged bytes: an error with offset and field path or a message, in bounded memory; never a crash."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from monolith_protos import model_dump_pb2

from monolith_ref.errors import DumpError
from monolith_ref.model_dump import Recorder, parse_dump
from monolith_ref.model_dump.canonical import canonical_bytes
from monolith_ref.model_dump.verify import verify_bytes
from tests.monolith_ref.model_dump.support import DUMPS, golden


def damaged(generator: random.Random, data: bytes) -> bytes:
    """A few random edits of bytes."""
    out = bytearray(data)
    for _ in range(generator.choice([1, 1, 2, 4])):
        place = generator.randrange(len(out))
        kind = generator.randrange(5)
        if kind == 0:
            out[place] ^= 1 << generator.randrange(8)
        elif kind == 1:
            out[place] = generator.randrange(256)
        elif kind == 2 and len(out) > 20:
            del out[place : place + generator.randrange(1, 8)]
        elif kind == 3:
            out[place:place] = bytes(generator.randrange(256) for _ in range(generator.randrange(1, 6)))
        else:
            out += out[place : place + 40]
    return bytes(out)


def parsed_or_told(data: bytes) -> model_dump_pb2.ModelDump | None:
    """The message, or None after the error was found to be a clear one."""
    error = None
    try:
        return parse_dump(data)
    except DumpError as caught:
        error = caught
    assert error.kind == "malformed"
    assert error.offset is not None
    assert 0 <= error.offset <= len(data)
    assert "(in " in str(error)
    return None


@pytest.mark.parametrize("name", DUMPS)
def test_damage_is_told_or_harmless(name: str, tmp_path: Path) -> None:
    generator = random.Random(name)
    raw = golden(name)
    path = tmp_path / "model_dump"
    for _ in range(250 if len(raw) < 2000 else 60):
        data = damaged(generator, raw)
        message = parsed_or_told(data)
        if message is None:
            continue
        canonical = canonical_bytes(message)
        if canonical:
            assert canonical_bytes(parse_dump(canonical)) == canonical
        report = verify_bytes(data)
        path.write_bytes(data)
        try:
            recorder = Recorder()
            recorder.load(path)
            recorder.restore_params()
        except DumpError:
            assert not report.ok


BOMBS = """
import resource, sys
limit = 600 << 20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
from monolith_ref.model_dump.verify import verify_bytes
from monolith_ref.model_dump.pickles import read_pickle
from monolith_ref.model_dump.literals import parse_literal
from monolith_protos import model_dump_pb2
from monolith_ref.errors import DumpError
head = b"\\x0a\\x07\\x0a\\x05train"
files = [
    head + b"\\xa3\\x06" * 200000,
    head + b"\\x12\\xff\\xff\\xff\\xff\\x07",
    head + b"\\x0a" * 100000,
    b"\\x0a\\x80\\x80\\x80\\x80\\x08",
]
for data in files:
    assert not verify_bytes(data).ok
pickles = [
    b"(" * 2000000 + b".",
    b"\\x80\\x04" + b"N\\x94" * 2000000 + b".",
    b"\\x8b\\xff\\xff\\xff\\x7f.",
    b"B\\xff\\xff\\xff\\xff.",
    b"r\\xff\\xff\\xff\\xff.",
    b"]" + b"2" * 2000000 + b".",
]
for data in pickles:
    try:
        read_pickle(data)
    except DumpError as error:
        assert error.kind == "malformed_pickle"
    else:
        raise SystemExit("read")
for text in ("[" * 1000000, "'" + "\\\\x4" * 100000, "(" * 60 + ")" * 60, "9" * 1000000):
    try:
        parse_literal(text)
    except DumpError:
        pass
    else:
        raise SystemExit("read")
print("bounded")
"""


@pytest.mark.parametrize("runtime", ["upb", "python"])
def test_hostile_bytes_stay_within_bounds(runtime: str) -> None:
    environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": runtime, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", BOMBS], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout == "bounded\n", done.stderr[-2000:]
