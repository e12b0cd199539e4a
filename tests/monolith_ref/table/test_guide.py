"""The guide's example runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import monolith_ref

GUIDE = Path(monolith_ref.__file__).parents[1] / "docs" / "tables.md"


@pytest.mark.skipif(not GUIDE.exists(), reason="the guide is not part of an installed package")
def test_the_example() -> None:
    found = re.search(r"```python\n(.*?)```", GUIDE.read_text(), re.S)
    assert found
    names: dict[str, Any] = {}
    exec(found.group(1), names)
    rows = names["table"].lookup([7, 8])
    assert (rows[0] < 0).all()
    assert rows[1].tolist() == [0.0] * 8


def test_names_of_the_guide_are_public() -> None:
    for name in ("MultiHashTable", "SlidingHashFilter", "EvictionPolicy", "slot_thresholds", "PartitionedHashTable"):
        assert getattr(monolith_ref, name).__name__ == name
