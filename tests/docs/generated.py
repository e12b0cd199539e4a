"""The tables of the documentation that are made from the code; ``python -m tests.docs.generated`` writes them anew.

A table lies between ``<!-- generated: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import typer
from monolith_kernels.rules import ALL

from monolith_ref import errors
from monolith_ref.cli.app import (
    EXIT_DIFFERENCES,
    EXIT_ENVIRONMENT,
    EXIT_FAULT,
    EXIT_OK,
    EXIT_USAGE,
    _application,
)
from monolith_ref.quirks import PRESETS, SWITCHES
from monolith_ref.training.settings_table import KEYS
from tests.docs.pages import DOCS

__all__ = ["TABLES", "filled"]

_PLACE = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.S)


def _rows(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _switches() -> str:
    rows = [
        [
            f"`{s.name}`",
            s.group,
            " ".join(f"`{p}`" for p, names in PRESETS.items() if s.name in names) or "none",
            s.summary,
        ]
        for s in SWITCHES.values()
    ]
    return _rows(["switch", "group", "on in", "what the original does"], rows)


def _number(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"


def _optimizers() -> str:
    rows = [
        [
            f"`{rule.name}`" + ("" if rule.buildable else " (extension)"),
            ", ".join(f"`{name}`" for name in (*rule.state, *rule.words)) or "none",
            ", ".join(f"{name} {_number(value)}" for name, value in rule.defaults.items()),
        ]
        for rule in ALL.values()
    ]
    return _rows(["rule", "state", "settings and their defaults"], rows)


def _settings() -> str:
    rows = [[f"`{key.name}`", f"`{key.default}`" if key.default else "", key.help] for key in KEYS.values()]
    return _rows(["setting", "default", "meaning"], rows)


def _commands() -> str:
    rows: list[list[str]] = []

    def walk(command: Any, name: str) -> None:
        inner = getattr(command, "commands", None)
        if inner is None:
            text = (command.help or "").split("\n\n")[0]
            rows.append([f"`{name}`", " ".join(text.split())])
        for word in inner or ():
            walk(inner[word], f"{name} {word}".strip())

    walk(typer.main.get_command(_application([])), "")
    return _rows(["command", "does"], rows)


def _exit_codes() -> str:
    meanings = {
        EXIT_OK: "all is well; all bits are equal",
        EXIT_DIFFERENCES: "differences, failed cases, errors in a file",
        EXIT_USAGE: "a wrong option, setting, configuration or input",
        EXIT_ENVIRONMENT: "something outside is missing: an MPI, a device, an optional package",
        EXIT_FAULT: "a fault: a rank raised, died or fell silent",
    }
    return _rows(["code", "meaning"], [[str(code), text] for code, text in meanings.items()])


def _errors() -> str:
    rows = []
    for name in errors.__all__:
        kind = getattr(errors, name)
        builtin = next(base.__name__ for base in kind.__mro__ if base.__module__ == "builtins")
        rows.append([f"`{name}`", f"`{builtin}`", (kind.__doc__ or "").split("\n")[0].rstrip(".")])
    return _rows(["error", "also a", "when"], rows)


TABLES: dict[str, Callable[[], str]] = {
    "switches": _switches,
    "optimizers": _optimizers,
    "settings": _settings,
    "commands": _commands,
    "exit-codes": _exit_codes,
    "errors": _errors,
}
"""What a page can ask for."""


def filled(text: str) -> str:
    """The page with its tables as they should be; KeyError for one that nobody makes."""
    return _PLACE.sub(lambda found: f"{found[1]}\n{TABLES[found['name']]()}\n{found[3]}", text)


def _write(path: Path) -> None:
    path.write_text(filled(path.read_text()))


if __name__ == "__main__":
    for page in DOCS.rglob("*.md"):
        _write(page)
