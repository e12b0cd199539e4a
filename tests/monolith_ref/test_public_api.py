"""The public names and their signatures, as recorded: a change of them is a decision, seen in the diff.

``python -m tests.monolith_ref.test_public_api`` records them anew.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import monolith_conformance

import monolith_ref

RECORD = Path(__file__).with_name("public_api.txt")


def _signature(name: str, thing: object) -> str:
    try:
        text = str(inspect.signature(thing))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return name
    # A set shows its members in an order that changes from process to process.
    text = re.sub(r"frozenset\(\{(.*?)\}\)", lambda found: f"{{{', '.join(sorted(found[1].split(', ')))}}}", text)
    # Default values that show an address or a module's whole name say nothing that lasts.
    return name + re.sub(r"<(?:function|class|object) ([^ >]+)[^>]*>", r"\1", text)


def _members(name: str, kind: type) -> Iterator[str]:
    for attribute, value in sorted(vars(kind).items()):
        if attribute.startswith("_"):
            continue
        plain = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
        if inspect.isfunction(plain):
            yield _signature(f"{name}.{attribute}", plain)
        else:
            yield f"{name}.{attribute}"


def public_api() -> list[str]:
    """One line for every public name, function, class and public member of a class."""
    lines = []
    for package in (monolith_ref, monolith_conformance):
        for name in sorted(package.__all__):
            thing = getattr(package, name)
            whole = f"{package.__name__}.{name}"
            lines.append(_signature(whole, thing) if callable(thing) else whole)
            if inspect.isclass(thing):
                lines += _members(whole, thing)
    return lines


def test_public_names_and_signatures_are_the_recorded_ones() -> None:
    assert public_api() == RECORD.read_text().splitlines(), "record them anew where the change is meant"


if __name__ == "__main__":
    RECORD.write_text("\n".join(public_api()) + "\n")
