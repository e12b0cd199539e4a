"""Which cases hold which section of the rules: each section has some, or a reason for having none."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import NamedTuple

__all__ = ["Section", "coverage", "holes"]


class Section(NamedTuple):
    """One numbered section: beginnings of the ids of its cases, or why it has none."""

    cases: tuple[str, ...]
    reason: str


@functools.cache
def coverage() -> Mapping[str, Section]:
    """Every section by page and number, as in ``tables 5``."""
    text = (files("monolith_conformance") / "cases" / "coverage.json").read_text(encoding="utf-8")
    return {name: Section(tuple(e.get("cases", ())), e.get("reason", "")) for name, e in json.loads(text).items()}


def holes(case_ids: Iterable[str], case_sections: Iterable[str]) -> list[str]:
    """What is wrong with the list, given the cases that there are and the sections that they name."""
    ids, found = list(case_ids), []
    for name, section in coverage().items():
        if bool(section.cases) == bool(section.reason):
            found.append(f"{name}: cases or a reason, one of them")
        found += [
            f"{name}: no case begins with {prefix}"
            for prefix in section.cases
            if not any(case_id.startswith(prefix) for case_id in ids)
        ]
    named = {name for text in case_sections for name in _names(text)}
    return found + [f"a case names {name}, which is no section" for name in sorted(named - coverage().keys())]


def _names(text: str) -> list[str]:
    """The sections of a case's text: ``checkpoints 4.1, 4.3`` are two of one page."""
    names, page = [], ""
    for part in text.split(","):
        words = part.split()
        page = words[0] if not words[0][0].isdigit() else page
        number = words[-1] if words[-1][0].isdigit() else ""
        names.append(f"{page} {number}".strip())
    return names
