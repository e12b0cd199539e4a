"""The oracle's record files: the original writer's bytes, and every fault told apart from an end."""

from __future__ import annotations

from importlib.resources import files as resources
from pathlib import Path

import pytest
from monolith_conformance.oracle import files
from monolith_conformance.oracle.dump_wire import BadDump, canonical

RECORDS = Path(str(resources("monolith_conformance") / "golden" / "records"))


def test_plain_records_are_the_original_writers_bytes() -> None:
    data = (RECORDS / "MonolithHashTable_demo-00000-of-00002").read_bytes()
    payloads = files.payloads_of(data)
    assert len(payloads) == 2
    assert b"".join(piece for payload in payloads for piece in files.frame(payload)) == data


def test_compressed_records_are_read() -> None:
    found = files.read_multi(RECORDS / "MonolithMultiHashTable_0")
    assert {name: len(rows) for name, rows in found.items()} == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize("cut", range(1, 28))
def test_a_cut_is_a_fault_or_a_clean_end(cut: int) -> None:
    data = b"".join(files.frame(b"0123456789ab"))
    assert len(data) == 28
    if 28 - cut <= 11:
        assert files.payloads_of(data[: 28 - cut]) == []
    else:
        with pytest.raises(files.DamagedFile):
            files.payloads_of(data[: 28 - cut])


def test_blocks_are_cut_where_a_piece_does_not_fit() -> None:
    payloads = [bytes([k]) * 100_000 for k in range(5)]
    data = files.in_blocks(payloads)
    assert files.payloads_of(files.blocks_of(data)) == payloads
    sizes, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        sizes.append(len(files.blocks_of(data[at : at + 4 + length])))
        at += 4 + length
    # Two records fit; the header of a third one does, its payload does not.
    assert sizes == [200_044, 200_032, 100_004]


def test_a_set_with_a_gap_is_refused(tmp_path: Path) -> None:
    files.write_single(tmp_path / "set", [b"a", b"b", b"c"], 3)
    (tmp_path / "set-00001-of-00003").unlink()
    with pytest.raises(files.DamagedFile, match="shards"):
        files.read_single(tmp_path / "set")


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x07", b"\x0a\x05a", b"\x0c", b"\x0b", b"\x12\x02\xff\xff"])
def test_what_is_no_dump_is_refused(data: bytes) -> None:
    with pytest.raises(BadDump):
        canonical(data)
