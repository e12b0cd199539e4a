"""The example programs answer alike, in C, Rust and Python, over both encodings."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from monolith_conformance.testee.process import Program
from monolith_protos import hash_table_pb2, testee_pb2

SOURCES = Path(str(files("monolith_conformance") / "testees"))


def _built(language: str, folder: Path) -> tuple[list[str], str]:
    """Command and encoding of the example in that language; a skip where its compiler is absent."""
    target = str(folder / "testee")
    if language == "python":
        return [sys.executable, str(SOURCES / "testee.py")], "protobuf"
    compiler = {"c": "cc", "rust": "rustc"}[language]
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} on this machine")
    options = {"c": ["-O2", "-std=c99", "-ffp-contract=off", "-o", target], "rust": ["-O", "-o", target]}[language]
    source, libraries = {"c": ("testee.c", ["-lm"]), "rust": ("testee.rs", [])}[language]
    subprocess.run(
        [compiler, *options, str(SOURCES / source), *libraries], check=True, capture_output=True, timeout=120
    )
    return [target], "json"


@pytest.fixture(params=["c", "rust", "python"], scope="module")
def testee(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    command, encoding = _built(request.param, tmp_path_factory.mktemp("testee"))
    with Program(command, encoding) as process:
        process.hello("2026.11", "ieee", [])
        yield process


def _config(dim: int, rule: str, **settings: float) -> bytes:
    config = hash_table_pb2.EmbeddingHashTableConfig()
    segment = config.entry_config.segments.add()
    segment.dim_size = dim
    segment.init_config.zeros.SetInParent()
    chosen = getattr(segment.opt_config, rule)
    chosen.SetInParent()
    for name, value in settings.items():
        setattr(chosen, name, value)
    config.cuckoo.SetInParent()
    return config.SerializeToString()


def _create(process: Program, table: str, config: bytes) -> testee_pb2.Reply:
    request = testee_pb2.Request()
    request.create.table = table
    request.create.config = config
    return process.exchange(request)


def _op(process: Program, table: str, op: str, ids: list[int], floats: object = (), rate: float = 0.0):  # type: ignore[no-untyped-def]
    request = testee_pb2.Request()
    request.op.table = table
    request.op.op = op
    request.op.ids.extend(ids)
    request.op.floats = np.asarray(floats, "<f4").tobytes()
    request.op.rates = np.asarray([rate], "<f4").tobytes()
    return process.exchange(request)


def test_adagrad_with_duplicates_is_the_measured_example(testee: Program) -> None:
    # tables 2: one step per occurrence, in the order of the call.
    _create(testee, "adagrad", _config(2, "adagrad", initial_accumulator_value=0.1, weight_decay_factor=0.0))
    gradients = [[1, 0.1], [2, 0.2], [0.3, -0.7], [1e-8, 3]]
    _op(testee, "adagrad", "optimize", [5, 6, 5, 5], gradients, rate=0.1)
    reply = _op(testee, "adagrad", "lookup", [5, 6, -1])
    rows = [float(value).hex() for value in np.frombuffer(reply.result.floats, "<f4")]
    expected = ["-0x1.f72ea6p-4", "-0x1.2be090p-5", "-0x1.9492f6p-4", "-0x1.b5e17ep-5", "0x0p+0", "0x0p+0"]
    assert rows == [float.fromhex(value).hex() for value in expected]
    assert list(reply.result.ints) == [2]


def test_assign_then_add_keeps_the_sign_of_zero(testee: Program) -> None:
    _create(testee, "sgd", _config(1, "sgd"))
    _op(testee, "sgd", "assign", [-(2**63), 2**63 - 1, 0], [[-0.0], [1.5], [2.0]])
    _op(testee, "sgd", "assign_add", [2**63 - 1], [[0.25]])
    reply = _op(testee, "sgd", "lookup", [-(2**63), 2**63 - 1, 0])
    assert np.frombuffer(reply.result.floats, "<u4").tolist() == [0x80000000, 0x3FE00000, 0x40000000]
    assert list(_op(testee, "sgd", "size", []).result.ints) == [3]
    assert list(_op(testee, "sgd", "contains", [0, 1]).result.flags) == [True, False]


def test_many_rows_survive_growth(testee: Program) -> None:
    _create(testee, "many", _config(1, "sgd"))
    ids = [fid << 48 | fid * 7 for fid in range(3000)]
    _op(testee, "many", "assign", ids, [[fid] for fid in range(3000)])
    reply = _op(testee, "many", "lookup", ids)
    assert np.frombuffer(reply.result.floats, "<f4").tolist() == list(range(3000))


def test_what_it_lacks_is_refused_by_name(testee: Program) -> None:
    assert _create(testee, "adam", _config(1, "adam")).unsupported.capability.startswith("optimizer.")
    _create(testee, "plain", _config(1, "sgd"))
    assert _op(testee, "plain", "evict", []).unsupported.capability == "table.evict"
