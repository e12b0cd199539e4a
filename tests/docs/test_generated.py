"""What the documentation says of the code in tables is what the code says, and every public name has its place."""

from __future__ import annotations

import re
from pathlib import Path

import monolith_conformance
import pytest
from monolith_kernels.rules import ALL

import monolith_ref
from tests.docs.generated import TABLES, filled
from tests.docs.pages import DOCS, pages

PAGES = pages()
pytestmark = pytest.mark.skipif(not PAGES, reason="the documentation is not part of an installed package")


@pytest.mark.parametrize("path", [page.path for page in PAGES], ids=lambda path: path.name)
def test_tables_are_up_to_date(path: Path) -> None:
    text = path.read_text()
    assert filled(text) == text, "run: python -m tests.docs.generated"


def test_every_table_is_shown_somewhere() -> None:
    shown = {name for page in PAGES for name in re.findall(r"<!-- generated: ([a-z-]+) -->", page.path.read_text())}
    assert shown == set(TABLES)


def test_a_stale_table_is_seen() -> None:
    stale = "<!-- generated: exit-codes -->\n\n| code |\n<!-- end -->"
    assert filled(stale) != stale
    assert filled(filled(stale)) == filled(stale)


def test_every_rule_is_described() -> None:
    text = (DOCS / "rules.md").read_text()
    assert [name for name in ALL if f"**{name}**" not in text] == []


def test_every_public_name_is_in_the_reference() -> None:
    reference = "\n".join(path.read_text() for path in (DOCS / "api").glob("*.md"))
    written = set(
        re.findall(r"auto(?:class|function|data|exception|module):: (?:monolith_ref\.)?(\w+)$", reference, re.M)
    )
    # MonolithRefError comes with the module of errors, entry by its classes one by one.
    assert set(monolith_ref.__all__) - written - {"__version__", "MonolithRefError", "entry"} == set()
    assert [name for name in monolith_conformance.__all__ if f"monolith_conformance.{name}" not in reference] == []


def test_every_decision_is_in_the_index() -> None:
    index = (DOCS / "decisions" / "index.md").read_text()
    for path in (DOCS / "decisions").glob("[0-9]*.md"):
        assert f"({path.name})" in index, path.name
