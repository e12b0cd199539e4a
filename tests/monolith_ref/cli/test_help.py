"""Every command explains itself: what it does, each option, and a line to copy."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from monolith_ref.cli.app import BUILT_IN, run

LEAVES = {
    "table": ("verify", "show", "diff", "convert"),
    "dump": ("show", "verify", "diff", "slice", "graph", "build"),
    "conform": ("run", "list", "explain", "replay", "report", "mutants", "dumps", "export", "vectors", "fuzz"),
    "compare": (),
    **{name: () for name in BUILT_IN if name not in ("table", "dump")},
}


def leaves() -> Iterator[tuple[str, ...]]:
    for name, below in LEAVES.items():
        if below:
            yield from ((name, one) for one in below)
        else:
            yield (name,)


@pytest.mark.parametrize("words", list(leaves()), ids=" ".join)
def test_help_ends_with_lines_to_copy(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"monolith-ref {' '.join(words)}" in text.partition("Example")[2], "no example"


@pytest.mark.parametrize("words", list(leaves()), ids=" ".join)
def test_examples_have_options_that_there_are(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "--help"]) == 0
    told, _, options = " ".join(capsys.readouterr().out.split()).partition("Options: ")
    examples = re.findall(rf"'([^']*monolith-ref {' '.join(words)}\b.*?)'[.;]", told.partition("Example")[2])
    assert examples
    asked = {option for example in examples for option in re.findall(r"(?<= )--[a-z-]+|(?<= )-[a-z](?= )", example)}
    asked -= {"-n"}  # of mpiexec
    assert asked <= set(re.findall(r"(?<!\w)--?[a-z][a-z-]*", options))


@pytest.mark.parametrize("group", [name for name, below in LEAVES.items() if below])
def test_every_command_of_a_group_is_listed_above(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([group]) == 0
    listed = capsys.readouterr().out.partition("Commands:")[2]
    names = {line.split()[0] for line in listed.splitlines() if line.startswith("  ") and not line.startswith("   ")}
    assert names == set(LEAVES[group])


def test_without_arguments_it_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in LEAVES)
    assert "Start here:" in text


def test_completion_offers_commands_and_options(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_MONOLITH_REF_COMPLETE", "complete_bash")
    for words, position, expected in (("monolith-ref ta", "1", "table"), ("monolith-ref table s", "2", "show")):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", position)
        with pytest.raises(SystemExit):
            run([])
        assert capfd.readouterr().out.split() == [expected]
