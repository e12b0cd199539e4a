"""Every code block of the documentation runs as it stands and prints what the page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import Block, Page, pages
from tests.docs.running import Runner, missing, same_output

PAGES = pages()
LANGUAGES = {"python", "console", "text", "toml", "yaml", "{toctree}", "{eval-rst}"}
"""Fences that pages may have; those of the first two are run."""

pytestmark = pytest.mark.skipif(not PAGES, reason="the documentation is not part of an installed package")


def _plain(page: Page) -> list[Block]:
    return [block for block in page.blocks if not block.needs and (block.runs or "file" in block.asks)]


def _special() -> list[object]:
    found = {(page.name, block.needs): page for page in PAGES for block in page.blocks if block.runs and block.needs}
    return [
        pytest.param(
            page, needs, id=f"{name}-{'-'.join(sorted(needs))}", marks=[pytest.mark.mpi] if "mpi" in needs else []
        )
        for (name, needs), page in found.items()
    ]


@pytest.mark.parametrize("page", [page for page in PAGES if _plain(page)], ids=lambda page: page.name)
def test_page(page: Page, tmp_path: Path) -> None:
    runner = Runner(page, tmp_path)
    for block in _plain(page):
        runner.run(block)


@pytest.mark.parametrize(("page", "needs"), _special())
def test_blocks_that_need_more(page: Page, needs: frozenset[str], tmp_path: Path) -> None:
    for reason in filter(None, map(missing, sorted(needs))):
        pytest.skip(reason)
    runner = Runner(page, tmp_path)
    for block in page.blocks:
        # What comes before in Python or as a file may be what the block builds upon; other commands are not.
        if block.needs == needs or (not block.needs and ("file" in block.asks or block.language == "python")):
            runner.run(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_block_escapes(page: Page) -> None:
    for block in page.blocks:
        where = f"{page.name}:{block.line}"
        assert block.language in LANGUAGES or "file" in block.asks, f"{where}: no language, or {block.language!r}"
        assert block.asks.get("skip", "why") != "", f"{where}: skipped without a reason"


def test_a_wrong_output_is_seen() -> None:
    assert same_output("a ... c\n", "a b\nb c  \n")
    assert not same_output("a ... c\n", "a b d\n")
    assert not same_output("1.5\n", "1.50\n")
