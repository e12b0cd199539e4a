"""Links inside the documentation lead somewhere, and every page can be reached."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, Page, pages

PAGES = pages()
pytestmark = pytest.mark.skipif(not PAGES, reason="the documentation is not part of an installed package")

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")


def _prose(page: Page) -> str:
    text = re.sub(r"^( *)(`{3,})[^`\n]*\n.*?^ *\2$", "", page.path.read_text(), flags=re.S | re.M)
    return re.sub(r"`[^`\n]*`", "", text)


def _anchors(path: Path) -> set[str]:
    heads = re.findall(r"^#+ +(.+)$", path.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Page) -> None:
    for found in _LINK.finditer(_prose(page)):
        target, _, anchor = found["target"].partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = (page.path.parent / target).resolve() if target else page.path
        assert path.exists(), f"{page.name}: {found['target']}"
        if anchor and path.suffix == ".md":
            assert anchor in _anchors(path), f"{page.name}: {found['target']}"


def test_every_page_is_in_a_table_of_contents() -> None:
    listed: set[Path] = {DOCS / "index.md"}
    for page in PAGES:
        entries = [
            re.sub(r".*<(.*)>$", r"\1", line)
            for block in page.blocks
            if block.language == "{toctree}"
            for line in block.text.splitlines()
            if line and not line.startswith(":")
        ]
        listed.update(path for entry in entries for path in page.path.parent.glob(f"{entry}.*"))
    there = {page.path for page in PAGES} | set(DOCS.rglob("*.ipynb"))
    assert there - listed - {ROOT / "README.md"} == set()
