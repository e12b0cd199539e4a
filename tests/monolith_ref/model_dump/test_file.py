"""Files: byte-identical rewrites, the canonical form, clear errors, replacement as a whole; both protobuf runtimes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from monolith_protos import model_dump_pb2

from monolith_ref.errors import DumpError
from monolith_ref.model_dump import Dump, parse_dump, read_dump
from monolith_ref.model_dump.canonical import canonical_bytes
from monolith_ref.model_dump.file import replace_file
from tests.monolith_ref.model_dump.support import DUMPS, SMALL, golden

ROUND_TRIPS = """
import hashlib, json, sys
from pathlib import Path
from google.protobuf.internal import api_implementation
from monolith_ref.model_dump import read_dump, parse_dump
from monolith_ref.model_dump.canonical import canonical_bytes
from monolith_ref.model_dump.jsonform import build, to_json
out = {}
for name in sys.argv[1:]:
    raw = Path(name).read_bytes()
    dump = read_dump(name)
    canonical = canonical_bytes(dump.message)
    out[Path(name).name] = [
        dump.to_bytes() == raw,
        hashlib.sha256(canonical).hexdigest(),
        canonical_bytes(parse_dump(canonical)) == canonical,
        build(json.loads(json.dumps(to_json(raw)))) == raw,
    ]
print(json.dumps([api_implementation.Type(), out]))
"""


@pytest.mark.parametrize("runtime", ["upb", "python"])
def test_both_runtimes_agree_in_processes_of_their_own(runtime: str) -> None:
    from tests.monolith_ref.model_dump.support import GOLDEN

    environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": runtime}
    files = [str(GOLDEN / name) for name in DUMPS]
    done = subprocess.run(
        [sys.executable, "-c", ROUND_TRIPS, *files], env=environment, capture_output=True, text=True, check=True
    )
    used, found = json.loads(done.stdout)
    assert used == runtime
    for name in DUMPS:
        expected = json.loads((GOLDEN / name).with_suffix(".json").read_text())["canonical_sha256"]
        assert found[name] == [True, expected, True, True], name


def test_an_edited_file_is_written_in_canonical_form(tmp_path: Path) -> None:
    path = tmp_path / "model_dump"
    path.write_bytes(golden("odd_encoding.pb"))
    dump = read_dump(path)
    assert dump.to_bytes() == golden("odd_encoding.pb")
    dump.message.run_config = "{}"
    assert dump.changed
    dump.write(path)
    assert path.read_bytes() == canonical_bytes(dump.message)
    assert read_dump(path).message == dump.message


def test_a_nan_alone_is_no_change() -> None:
    message = model_dump_pb2.ModelDump()
    message.model_dump["train"].SetInParent()
    message.table_configs.add(learning_rates=[float("nan")])
    raw = message.SerializeToString()
    assert not Dump(parse_dump(raw), raw).changed


def test_unknown_fields_survive_at_every_level() -> None:
    raw = golden("foreign_fields.pb")
    message = parse_dump(raw)
    message.run_config = "{}"
    message.model_dump["train"].features[0].expire_time = 3
    again = parse_dump(canonical_bytes(message))
    assert canonical_bytes(again) == canonical_bytes(message)
    assert len(canonical_bytes(message)) == len(raw) - len('{"num_ps": 0}') + len("{}")


def test_a_map_entry_with_an_unknown_field_keeps_its_place() -> None:
    entry = b"\x0a\x05train\x12\x00\x18\x07"
    message = parse_dump(b"\x0a" + bytes([len(entry)]) + entry)
    assert list(message.model_dump) == ["train"]
    assert canonical_bytes(message) == b"\x0a\x09\x0a\x05train\x12\x00"


@pytest.mark.parametrize(
    ("raw", "kind", "offset", "text"),
    [
        (b"", "empty_file", None, "empty"),
        (b"\x12\x05ab", "malformed", 1, "run_config"),
        (b"\x1a\x03\x0a\x01\xff", "malformed", 4, "table_configs[0].name"),
        (SMALL + b"\x1a\x04\x0a\x00\x22\x09", "malformed", len(SMALL) + 5, "table_configs[0].learning_rates"),
        (SMALL + b"\x0f", "malformed", len(SMALL), "wire type 7"),
        (SMALL + b"\x00\x01", "malformed", len(SMALL), "field number 0"),
        (SMALL + b"\x12" + b"\xff" * 11, "malformed", len(SMALL) + 1, "10 bytes"),
        (b"\x12\x02{}", "no_train", None, "train"),
    ],
)
def test_errors_name_offset_and_field(tmp_path: Path, raw: bytes, kind: str, offset: int | None, text: str) -> None:
    path = tmp_path / "model_dump"
    path.write_bytes(raw)
    with pytest.raises(DumpError) as caught:
        read_dump(path)
    assert caught.value.kind == kind
    assert caught.value.offset == offset
    assert caught.value.path == str(path)
    assert text in str(caught.value)


def test_a_missing_file_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(DumpError) as caught:
        read_dump(tmp_path / "none")
    assert caught.value.kind == "unreadable"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "model_dump"
    path.write_bytes(b"old")

    def chunks() -> object:
        yield b"new"
        raise RuntimeError("disk")

    with pytest.raises(RuntimeError):
        replace_file(path, chunks())  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model_dump"]


KILLED = """
import os, signal, sys
from monolith_ref.model_dump import parse_dump, Dump
from monolith_ref.model_dump import file as module
step, path = sys.argv[1], sys.argv[2]
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
message = parse_dump(open(path, "rb").read())
message.run_config = '{"new": 1}'
if step == "write":
    def chunks(message):
        data = module.canonical_bytes(message)
        yield data[: len(data) // 2]
        die()
    module.canonical_chunks = chunks
else:
    setattr(module.os, step, die)
Dump(message).write(path)
"""


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_killed_writer_leaves_the_old_file(tmp_path: Path, step: str) -> None:
    path = tmp_path / "model_dump"
    path.write_bytes(golden("train_only_local.pb"))
    done = subprocess.run([sys.executable, "-c", KILLED, step, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == golden("train_only_local.pb")
