"""Ids that have been published, and those of them that are retired: none is ever used for something else."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files

from monolith_ref.errors import StateError

__all__ = ["check_ids", "published_ids", "retired_ids"]


def _lines(name: str) -> list[str]:
    text = (files("monolith_conformance") / "export" / name).read_text()
    return [line.split("#")[0].strip() for line in text.splitlines() if line.split("#")[0].strip()]


def published_ids() -> list[str]:
    """Every case id that a version of the suite has had, up to the last release."""
    return _lines("published.txt")


def retired_ids() -> list[str]:
    """Published ids whose case is gone; the reason stands beside each in ``retired.txt``."""
    return _lines("retired.txt")


def check_ids(current: Iterable[str]) -> None:
    """Refuse a suite that lost a published id without retiring it, or brought a retired one back.

    Raises
    ------
    StateError
        Naming the ids.
    """
    here, retired = set(current), set(retired_ids())
    lost = sorted(set(published_ids()) - here - retired)
    if lost:
        raise StateError(f"published cases are gone: {', '.join(lost[:5])} ({len(lost)}); list them in retired.txt")
    back = sorted(here & retired)
    if back:
        raise StateError(f"retired ids are used again: {', '.join(back[:5])}; choose new ones")
