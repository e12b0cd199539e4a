"""Joining MovieLens-100K out of a wheel, here a small one of the same shape."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from monolith_ref.training.input.mapping import load_map
from monolith_ref.training.input.source import open_logs
from monolith_ref.training.movielens import main

HEADERS = {
    "inter": "user_id:token item_id:token rating:float timestamp:float",
    "user": "user_id:token age:token gender:token occupation:token zip_code:token",
    "item": "item_id:token movie_title:token_seq release_year:token class:token_seq",
}
ROWS = {
    "inter": ["1|7|4|10", "2|8|3|11", "1|8|5|12"],
    "user": ["1|24|M|writer|01", "2|53|F|other|02"],
    "item": ['7|A "b"|1995|Comedy Drama', "8|C||Crime"],
}


def text_of(suffix: str) -> str:
    header = HEADERS[suffix].replace(" ", "\t")
    return "\n".join([header, *(row.replace("|", "\t") for row in ROWS[suffix])]) + "\n"


TABLES = {suffix: text_of(suffix) for suffix in HEADERS}


def wheel(tmp_path: Path, tables: dict[str, str]) -> Path:
    path = tmp_path / "recbole-1.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for suffix, text in tables.items():
            archive.writestr(f"recbole/dataset_example/ml-100k/ml-100k.{suffix}", text)
    return path


def test_tables_are_joined_and_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "data" / "ml.tsv"
    assert main(["--wheel", str(wheel(tmp_path, TABLES)), str(output)]) == 0
    assert "3 ratings" in capsys.readouterr().out
    assert [path.name for path in output.parent.iterdir()] == ["ml.tsv"]
    input_map = load_map(Path(__file__).parents[3] / "docs" / "examples" / "movielens.toml")
    data = open_logs([output], input_map, batch_size=2).data
    assert data.label.tolist() == [1, 0, 1]
    assert [column.name for column in input_map.columns] == [
        "user_id", "item_id", "age", "gender", "occupation", "class", "release_year",
    ]  # fmt: skip
    assert data.ragged["class"].lengths().tolist() == [2, 1, 1]
    assert data.ragged["release_year"].lengths().tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"user": TABLES["user"].replace("\n2\t", "\n3\t")}, "rating 1 names user 2"),
        ({"item": TABLES["item"] + "9\tD\n"}, "cells"),
        ({"inter": None}, "has no recbole"),
    ],
)
def test_other_wheels_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, str | None], message: str
) -> None:
    tables = {name: text for name, text in {**TABLES, **change}.items() if text is not None}
    output = tmp_path / "ml.tsv"
    assert main(["--wheel", str(wheel(tmp_path, tables)), str(output)]) == 2
    assert message in capsys.readouterr().err
    assert not output.exists()


def test_a_file_that_is_no_wheel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "recbole.whl"
    path.write_bytes(b"nothing")
    assert main(["--wheel", str(path), str(tmp_path / "ml.tsv")]) == 2
    assert "error" in capsys.readouterr().err
