"""``monolith-ref plan`` from words to output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monolith_ref.cli.app import run


def test_table_remarks_and_notes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "--ranks", "1,2,4096"]) == 0
    out = capsys.readouterr().out
    assert "4,096" in out
    assert "table.layout=merged" in out
    assert "No times" in out


def test_json_and_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "plan.html"
    assert run(["plan", "--ranks", "2,16", "--reduction", "exact", "--zipf", "1.1", "--json", "--html", str(page)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["ranks"] for one in found["predictions"]] == [2, 16]
    sent = found["predictions"][0]["sent_bytes"]
    assert sent["total"] == pytest.approx(sum(sent[name] for name in sent if name not in ("total", "minimum")))
    assert set(found["predictions"][0]["memory_bytes_of_a_rank"]) >= {"rows", "index", "buffers", "total"}
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == 3
    assert "http" not in text.replace("http://www.w3.org", "")


def test_measured_and_saved_constants_give_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = str(tmp_path / "m.json")
    words = ["plan", "--ranks", "1,4", "--batch-size", "32", "--features", "2", "--json"]
    assert run([*words, "--measure", "--save-measurement", saved]) == 0
    first = json.loads(capsys.readouterr().out)["predictions"]
    assert run([*words, "--measurement", saved]) == 0
    assert json.loads(capsys.readouterr().out)["predictions"] == first
    assert first[0]["step_seconds"]["total"] > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ranks", "2,x"], "--ranks must be whole numbers"),
        (["--reduction", "median"], "--reduction must be sequential, sum, mean or exact, not 'median'"),
        (["--ids-per-row", "a-b"], "--ids-per-row must be a number or a range"),
        (["--reduction", "exact", "--grad-wire", "f16"], "unrounded"),
        (["--bandwidth", "0"], "--bandwidth"),
        (["--save-measurement", "x"], "needs --measure"),
        (["--measure", "--measurement", "x"], "exclude each other"),
        (["--measurement", "nowhere.json"], "cannot be read"),
    ],
)
def test_bad_words(words: list[str], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", *words]) == 2
    assert message in capfd.readouterr().err
