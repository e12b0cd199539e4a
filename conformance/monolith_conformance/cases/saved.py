"""Transcripts as cases: what fuzzing found, or what a project keeps of its own, run like everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monolith_conformance.cases.case import Case, registered
from monolith_conformance.session import Session
from monolith_conformance.transcript import Transcript
from monolith_ref.errors import FormatError
from monolith_ref.quirks import SWITCHES

__all__ = ["saved_cases"]


def saved_cases(folder: Path) -> dict[str, Case]:
    """The case of every ``*.jsonl`` in ``folder``, by id; in order of names.

    The header of a transcript says what it is: ``id`` (its own, or that of the case that found it), ``profile``,
    ``needs``, ``quirks`` (all those in force when it was recorded: it is asked under the same), ``rule``, ``section``.

    Raises
    ------
    FormatError
        Where a file is no transcript, or two say the same id.
    """
    found: dict[str, Case] = {}
    for path in sorted(folder.glob("*.jsonl")):
        transcript, header = Transcript.load(path)
        case = _case(path, transcript, header)
        if case.id in found or case.id in registered():
            raise FormatError(f"case id {case.id!r} is used twice", path=str(path))
        found[case.id] = case
    return found


def _case(path: Path, transcript: Transcript, header: dict[str, Any]) -> Case:
    found_by = str(header.get("id", "core/saved/unnamed"))
    level, area = ([*found_by.split("/"), "saved"])[:2]

    quirks = frozenset(map(str, header.get("quirks", ())))

    def judge(session: Session) -> None:
        for step in transcript:
            session.play(step)

    return Case(
        id=f"{level}/{area}/{path.stem}",
        rule=str(header.get("rule", f"a saved transcript holds (found by {found_by})")),
        section=str(header.get("section", "")),
        judge=judge,
        needs=frozenset(header.get("needs", ())),
        quirks=quirks,
        without=frozenset(SWITCHES) - quirks if "quirks" in header else frozenset(),
        profiles=(str(header["profile"]),) if "profile" in header else ("ieee", "avx"),
        fresh=True,
    )
