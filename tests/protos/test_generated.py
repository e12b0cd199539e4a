"""The generated code is what its sources give, and names nothing that another library could own."""

from __future__ import annotations

import importlib
from pathlib import Path

import monolith_protos
import pytest
from google.protobuf import descriptor_pool
from monolith_protos import generate, hash_table_pb2

SOURCES = sorted(Path(monolith_protos.__file__).parent.glob("*.proto"))


def test_checked_in_code_is_fresh():
    pytest.importorskip("grpc_tools")
    assert generate.stale() == []


def test_staleness_is_noticed(monkeypatch, tmp_path):
    pytest.importorskip("grpc_tools")
    package = tmp_path / "monolith_protos"
    package.mkdir()
    for source in SOURCES:
        (package / source.name).write_bytes(source.read_bytes())
    monkeypatch.setattr(generate, "HERE", package)
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    proto = package / "initializer.proto"
    proto.write_text(proto.read_text().replace("minval = 2", "minval = 4"))
    (package / "orphan_pb2.py").write_text("")
    assert generate.stale() == ["initializer_pb2.py", "orphan_pb2.py"]
    assert generate.main(["--check"]) == 1
    assert generate.main(["--wrong"]) == 2


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_packages_are_our_own(source):
    module = importlib.import_module(f"monolith_protos.{source.stem}_pb2")
    descriptor = module.DESCRIPTOR
    assert descriptor.package.split(".")[0] == "monolith_ref"
    assert descriptor.name == f"monolith_protos/{source.name}"


def test_original_names_stay_free():
    pool = descriptor_pool.Default()
    for name in ("monolith.hash_table.EntryDump", "tensorflow.Example"):
        with pytest.raises(KeyError):
            pool.FindMessageTypeByName(name)


def test_entry_dump_wire_example():
    entry = hash_table_pb2.EntryDump(id=1, num=[0.5, -0.5], last_update_ts_sec=1622716114)
    entry.opt.dump.add().sgd.SetInParent()
    wire = "090100000000000000150000003f15000000bf1a040a02120020d2dde28506"
    assert entry.SerializeToString().hex() == wire
    zeros = hash_table_pb2.EntryDump(id=0, last_update_ts_sec=0)
    assert zeros.SerializeToString().hex() == "0900000000000000002000"
