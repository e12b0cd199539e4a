"""What maps of logs say: hashing, labels, and everything that can be wrong with a map."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monolith_ref.errors import ArgumentError, ConfigError
from monolith_ref.training.input.hashing import fids_of_texts, fnv1a64, hash_texts
from monolith_ref.training.input.label import parse_label
from monolith_ref.training.input.mapping import load_map, make_map

MAP = make_map(["user", {"name": "genres", "separator": " "}], "rating >= 4")

Write = Callable[[str, str | bytes], Path]


# Hashing.


def test_hashes_of_the_specification() -> None:
    assert [hex(h)[2:] for h in hash_texts(["", "a", "196", "été"]).tolist()] == [
        "c3817c016ba4ff30",
        "5f29c2aadd9b8527",
        "deda7bbc87fe7a56",
        "912898b890924257",
    ]


@settings(derandomize=True, max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=20), max_size=12))
def test_fnv_equals_the_loop(texts: list[bytes]) -> None:
    def one(text: bytes) -> int:
        h = 0xCBF29CE484222325
        for byte in text:
            h = ((h ^ byte) * 0x100000001B3) & (2**64 - 1)
        return h

    assert fnv1a64(texts).tolist() == [one(text) for text in texts]


def test_fids_carry_slot_and_48_bits_of_the_hash() -> None:
    (fid,) = fids_of_texts(["196"], 5).tolist()
    assert fid == (5 << 48) | 0x7BBC87FE7A56
    with pytest.raises(ArgumentError, match="slot"):
        fids_of_texts(["a"], 1 << 15)


# Labels.


def evaluate(text: str, **columns: list[float] | list[str]) -> list[float]:
    rows = len(next(iter(columns.values())))
    expression = parse_label(text)
    return expression.evaluate(lambda name, kind: np.array(columns[name], float if kind == "number" else object), rows).tolist()  # fmt: skip # noqa: E501


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a >= 4", [0, 1, 1]),
        ("a > 4", [0, 0, 1]),
        ("a<=4.0", [1, 1, 0]),
        ("4 < a", [0, 0, 1]),
        ("a == 3 or a == 5", [1, 0, 1]),
        ("not a == 3", [0, 1, 1]),
        ("a >= 4 and b < 0", [0, 1, 0]),
        ("not (a >= 4 and b < 0) and a != 3", [0, 0, 1]),
        ("a", [3, 4, 5]),
        ("`a`", [3, 4, 5]),
        ("b > -1e-1", [1, 0, 1]),
        ("c == 'x'", [1, 0, 0]),
        ('c != "x"', [0, 1, 1]),
        ("(a > 3) == (b > 0)", [0, 0, 1]),
    ],
)
def test_label_expressions(text: str, expected: list[float]) -> None:
    assert evaluate(text, a=[3, 4, 5], b=[1, -1, 1], c=["x", "y", "4"]) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "4", "a >=", "a >= 4 4", "a = 4", "(a", "a >= 4 >= 2", "'x'", "a and 'x'", "c > 'x'", "a ; b", "1 == 'x'",
        "__import__('os')", "a.__class__()", "a + 1", "not", "a if b else c", "- a",
    ],
)  # fmt: skip
def test_label_expressions_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="label"):
        parse_label(text)


# Maps.


def test_maps_from_toml(write: Write) -> None:
    path = write(
        "map.toml",
        'label = "rating >= 4"\n[[columns]]\nname = "user"\n[[columns]]\nname = "genres"\nslot = 9\nseparator = "|"\n',
    )
    loaded = load_map(path)
    assert [(c.name, c.slot, c.separator) for c in loaded.columns] == [("user", 1, None), ("genres", 9, "|")]
    assert loaded.digest() != MAP.digest()
    assert loaded.digest() == load_map(path).digest()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label = 'a'", "columns is missing"),
        ("columns = ['a']", "label is missing"),
        ("columns = ['a']\nlabel = 'b'\nslots = 1", "unknown key 'slots'"),
        ("columns = ['a', 'a']\nlabel = 'b'", "same name"),
        ("columns = [{name = 'a', slot = 2}, 'b']\nlabel = 'b'", "same slot"),
        ("columns = [{name = 'a', slot = 0}]\nlabel = 'b'", "slot must be"),
        ("columns = [{name = 'a', slot = true}]\nlabel = 'b'", "slot must be"),
        ("columns = [{name = 'a', sep = ' '}]\nlabel = 'b'", "nearest known one is 'separator'"),
        ("columns = [{name = 'a', separator = ''}]\nlabel = 'b'", "separator"),
        ("columns = [{slot = 2}]\nlabel = 'b'", "name"),
        ("columns = []\nlabel = 'b'", "non-empty"),
        ("columns = ['a']\nlabel = 'b >'", "label expression"),
        ("columns = [", "not TOML"),
    ],
)
def test_maps_that_are_wrong_name_file_and_key(write: Write, text: str, message: str) -> None:
    path = write("map.toml", text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_map(path)
    assert str(caught.value).startswith(str(path))


def test_absent_map(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_map(tmp_path / "none.toml")
