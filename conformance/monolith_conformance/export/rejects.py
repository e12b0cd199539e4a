"""Files that a reader must refuse, and one that it must overlook: made from the golden files by small damages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from monolith_conformance.dumps.damaged import derive
from monolith_conformance.export.bundle import Bundle

__all__ = ["RECORD_DAMAGES", "Damage", "add_rejects", "damaged_bytes"]

DEMO = "MonolithHashTable_demo-00000-of-00002"
MULTI = "MonolithMultiHashTable_0-00000-of-00002"
FILTER = "hash_filter_0-00000-of-00007"


class Damage(NamedTuple):
    """One damaged record file: ``flip`` turns bits of a byte around (negative: from the end), ``keep`` cuts."""

    name: str
    source: str
    why: str
    flip: tuple[int, int] | None = None
    keep: int | None = None


RECORD_DAMAGES = (
    Damage("length_crc", DEMO, "the checksum of the first record's length is wrong", flip=(8, 1)),
    Damage("length", DEMO, "the length of the first record is another than its checksum says", flip=(0, 4)),
    Damage("data_crc", DEMO, "one bit of the first record's content is turned around", flip=(14, 0x10)),
    Damage("footer", DEMO, "the checksum of the last record's content is wrong", flip=(-1, 0x80)),
    Damage("cut_data", DEMO, "the file ends within the first record's content", keep=20),
    Damage("cut_footer", DEMO, "the file ends within the last record's checksum", keep=-1),
    Damage("multi_block", MULTI, "one bit of a compressed block is turned around", flip=(40, 0x04)),
    Damage("multi_cut", MULTI, "the file ends within a compressed block", keep=-7),
    Damage("filter_data", FILTER, "one bit of a filter's cells is turned around", flip=(60, 0x01)),
)


def damaged_bytes(damage: Damage) -> bytes:
    """The content of a damaged file."""
    data = bytearray((files("monolith_conformance") / "golden" / "records" / damage.source).read_bytes())
    if damage.flip is not None:
        place, mask = damage.flip
        data[place] ^= mask
    if damage.keep is not None:
        del data[damage.keep :]
    return bytes(data)


def add_rejects(bundle: Bundle) -> None:
    """``reject/records`` and ``reject/model_dump``, with a list that says of each what a reader must do."""
    listed: list[dict[str, Any]] = []
    for damage in RECORD_DAMAGES:
        path = f"reject/records/{damage.name}/{damage.source}"
        bundle.add(path, damaged_bytes(damage), "reject", damage.why)
        listed.append({"path": path, "must": "refuse", "why": damage.why, "from": f"golden/records/{damage.source}"})
    leftover = f"reject/records/leftover/.tmp-0123456789abcdef-{DEMO}"
    good = (files("monolith_conformance") / "golden" / "records" / DEMO).read_bytes()
    bundle.add(leftover, good[:50], "reject", "half a file under a temporary name, as a killed writer leaves it")
    listed.append(
        {
            "path": leftover,
            "must": "overlook",
            "why": "a temporary name is no part of a checkpoint, whatever it holds",
            "from": f"golden/records/{DEMO}",
        }
    )
    listed += _dumps(bundle)
    bundle.add_json("reject/rejects.json", {"files": listed}, "reject", "what each is and must do", schema="rejects")


def _dumps(bundle: Bundle) -> list[dict[str, Any]]:
    folder = Path(str(files("monolith_conformance") / "golden" / "model_dump"))
    document: Mapping[str, Any] = json.loads((folder / "corrupted.json").read_text())
    listed = []
    for case in document["cases"]:
        path = f"reject/model_dump/{case['name']}.pb"
        why = case.get("why") or case["name"].replace("_", " ")
        bundle.add(path, derive(case, folder), "reject", why)
        must = "read" if case["read"] == "ok" else "refuse"
        entry = {"path": path, "must": must, "why": why, "kind": case["read"]}
        if case.get("from"):
            entry["from"] = f"golden/model_dump/{case['from']}"
        listed.append(entry)
    return listed
