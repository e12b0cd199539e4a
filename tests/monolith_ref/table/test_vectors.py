"""Replay of the measured tables, filters, configurations and schedules, in both profiles."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import monolith_conformance
import pytest
from monolith_conformance.vectors.registry import Setting
from monolith_conformance.vectors.run import replay_file

GOLDEN = Path(monolith_conformance.__file__).parent / "golden" / "vectors"
CASES = {"entry_configs": 66, "learning_rates": 22, "filters": 21, "table_traces": 21}


@pytest.mark.parametrize("profile", ["ieee", "avx"])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("target", ["cpu", "oracle"])
def test_every_case_passes(name: str, profile: str, target: str) -> None:
    result = replay_file(GOLDEN / f"{name}.json", Setting(target=target, profile=profile))
    assert not result.problem
    assert [(o.case, o.note) for o in result.outcomes if o.status != "passed"] == []
    assert len(result.outcomes) == CASES[name]


def _replayed(tmp_path: Path, document: Any, target: str) -> list[str]:
    path = tmp_path / "unseen.json"
    path.write_text(json.dumps(document))
    return [outcome.status for outcome in replay_file(path, Setting(target=target)).outcomes]


@pytest.mark.parametrize("target", ["cpu", "oracle"])
def test_a_changed_bit_of_a_trace_fails(tmp_path: Path, target: str) -> None:
    document = json.loads((GOLDEN / "table_traces.json").read_text())
    case = next(c for c in document["cases"] if c["name"] == "adam8_0")
    document["cases"] = [case]
    assert _replayed(tmp_path, document, target) == ["passed"]
    broken = copy.deepcopy(document)
    saved = next(op for op in broken["cases"][0]["ops"] if op["op"] == "save" and op["result"]["rows"])
    word = saved["result"]["rows"][0]["opt"][0]["adam"]["v"][0]
    saved["result"]["rows"][0]["opt"][0]["adam"]["v"][0] = f"{int(word, 16) ^ 1:08x}"
    assert _replayed(tmp_path, broken, target) == ["failed"]


def test_cases_need_their_switches(tmp_path: Path) -> None:
    document = json.loads((GOLDEN / "table_traces.json").read_text())
    document["cases"] = [c for c in document["cases"] if c["quirks"]]
    for case in document["cases"]:
        case["quirks"] = []
    assert len(document["cases"]) == 4
    assert _replayed(tmp_path, document, "cpu") == ["failed"] * 4


def test_a_changed_message_or_rate_fails(tmp_path: Path) -> None:
    document = json.loads((GOLDEN / "entry_configs.json").read_text())
    document["cases"] = document["cases"][1:2]
    document["identity_strings"] = []
    document["table_names"] = []
    document["cases"][0]["hex"] = "0a0920012d000000003001"
    assert _replayed(tmp_path, document, "cpu") == ["failed"]
    rates = json.loads((GOLDEN / "learning_rates.json").read_text())
    rates["cases"] = rates["cases"][:1]
    rates["cases"][0]["plain"][3] = "0x1.0p+0"
    assert _replayed(tmp_path, rates, "cpu") == ["failed"]
    filters = json.loads((GOLDEN / "filters.json").read_text())
    filters = {"cases": filters["cases"][:1]}
    filters["cases"][0]["trace"][3][-1] ^= 1
    assert _replayed(tmp_path, filters, "cpu") == ["failed"]
