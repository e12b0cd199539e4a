"""Damaged, hostile and strange files, made from recipes: ``corrupted.json`` and ``flips.json``."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from monolith_conformance.dumps.recipes import derived
from monolith_conformance.dumps.results import Table
from monolith_ref.errors import DumpError
from monolith_ref.model_dump import Recorder, parse_dump, read_dump
from monolith_ref.model_dump.canonical import canonical_bytes
from monolith_ref.model_dump.plain import plain_message
from monolith_ref.model_dump.verify import verify
from monolith_ref.model_dump.wire_findings import wire_findings

__all__ = ["derive", "replay_corrupted", "replay_flips"]

CANARY = "model_dump_pickle_ran"
SECONDS = 10.0
"""No case may take long; this is what a loaded machine needs for the slowest, many times over."""


def derive(case: Mapping[str, Any], folder: Path) -> bytes:
    """The bytes of a case; ``folder`` holds the files that cases are made from."""
    return derived(case, lambda name: (folder / name).read_bytes())


def _kind_of(call: Callable[[], Any]) -> str:
    try:
        call()
    except DumpError as error:
        return error.kind
    return "ok"


def replay_corrupted(folder: Path, document: Mapping[str, Any], table: Table) -> None:
    """All cases of a document; ``folder`` holds the files that they are made from."""
    for case in document["cases"]:
        try:
            data = derive(case, folder)
        except (DumpError, OSError, IndexError, KeyError) as error:
            table.add("corrupted", case["name"], [f"the recipe cannot be followed: {error}"])
            continue
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "case.pb"
            path.write_bytes(data)
            begin = time.monotonic()
            table.add("corrupted", case["name"], _case_problems(case, data, path))
            took = time.monotonic() - begin
        ran = Path(CANARY).exists()
        table.add("corrupted, nothing executed", case["name"], ["data of the file was executed"] if ran else [])
        table.add("corrupted, in time", case["name"], [f"{took:.1f} s"] if took > SECONDS else [])


def _case_problems(case: Mapping[str, Any], data: bytes, path: Path) -> list[str]:
    out = []

    def expect(what: str, got: Any, want: Any) -> None:
        if got != want:
            out.append(f"{what}: got {got!r:.300}, expected {want!r:.300}")

    expect("size", len(data), case["size"])
    expect("sha256", hashlib.sha256(data).hexdigest(), case["sha256"])
    read = _kind_of(lambda: read_dump(path))
    expect("read", read, case["read"])
    recorder = Recorder()
    load = _kind_of(lambda: recorder.load(path))
    expect("load", load, case["load"])
    report = verify(path)
    codes = sorted(item.code for item in report.findings)
    expect("verify ok", report.ok, case["verify"]["ok"])
    if read != "ok":
        expect("verify", read in codes, True)
    else:
        expect("verify", codes, sorted(case["verify"]["findings"]))
        message = read_dump(path).message
        found = plain_message(message)
        for key, value in case.get("message", {}).items():
            expect(f"message.{key}", found.get(key), value)
        if "canonical_sha256" in case:
            got = hashlib.sha256(canonical_bytes(message)).hexdigest()
            expect("canonical form", got, case["canonical_sha256"])
    if "restore_params" in case and load == "ok":
        try:
            outcome: Any = recorder.restore_params()
            outcome = None if outcome is None else sorted(outcome)
        except DumpError as error:
            outcome = error.kind
        expect("restore_params", outcome, case["restore_params"])
    if "load" in case.get("original_newest", {}):
        expect("original load", _original_load(path), case["original_newest"]["load"])
    return out


def _original_load(path: Path) -> str:
    try:
        Recorder(compat="original").load(path)
    except DecodeError:
        return "DecodeError"
    return "ok"


def replay_flips(folder: Path, document: Mapping[str, Any], table: Table) -> None:
    """All single-bit flips of a document."""
    original = (folder / document["from"]).read_bytes()
    for flip in document["flips"]:
        data = bytearray(original)
        data[flip["offset"]] ^= int(flip["with"], 16)
        table.add("flips", f"byte {flip['offset']} ^ {flip['with']}", _flip_problems(flip, bytes(data)))


def _flip_problems(flip: Mapping[str, Any], data: bytes) -> list[str]:
    out = []
    canonical = None
    codes: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "flip.pb"
        path.write_bytes(data)
        read = _kind_of(lambda: read_dump(path))
    if read in ("ok", "no_train"):
        canonical = hashlib.sha256(canonical_bytes(parse_dump(data))).hexdigest()
        codes = sorted(item.code for item in wire_findings(data))
    if read != flip["read"]:
        out.append(f"read: got {read}, expected {flip['read']}")
    if canonical != flip.get("canonical_sha256"):
        out.append(f"canonical form: got {canonical}, expected {flip.get('canonical_sha256')}")
    if "findings" in flip:
        want = sorted(item["code"] if isinstance(item, dict) else item for item in flip["findings"])
        if codes != want:
            out.append(f"findings: got {codes}, expected {want}")
    return out
