"""What a search leaves behind, and goes on from: examples of hypothesis, found cases, the number of rounds."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from monolith_protos import testee_pb2

from monolith_conformance.cases.case import Case
from monolith_conformance.outcome import Outcome
from monolith_conformance.transcript import Step, Transcript
from monolith_ref.errors import FormatError

__all__ = ["Corpus", "Progress"]


@dataclass
class Progress:
    """How far a corpus has come: rounds begun, examples played at most, seconds spent."""

    rounds: int = 0
    examples: int = 0
    seconds: float = 0.0


class Corpus:
    """A folder: ``cases/*.jsonl`` are transcripts of findings, ``examples/`` is hypothesis's, ``progress.json`` counts.

    Raises :class:`~monolith_ref.errors.FormatError` where ``progress.json`` is none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cases = folder / "cases"
        self.cases.mkdir(parents=True, exist_ok=True)
        self._counts = folder / "progress.json"
        self.progress = Progress()
        if self._counts.exists():
            try:
                self.progress = Progress(**json.loads(self._counts.read_text()))
            except (ValueError, TypeError) as error:
                raise FormatError(f"not the progress of a search: {error}", path=str(self._counts)) from None

    def examples(self, case: Case) -> str:
        """Folder of the examples of one case."""
        return str(self.folder / "examples" / case.id.replace("/", "__"))

    def save_progress(self) -> None:
        """Write how far it has come, whole or not at all."""
        scratch = self._counts.with_suffix(".tmp")
        scratch.write_text(json.dumps(asdict(self.progress)) + "\n")
        scratch.replace(self._counts)

    def keep(self, outcome: Outcome, profile: str, quirks: tuple[str, ...]) -> Path:
        """Write a finding as a fixed case; the same requests give the same file again."""
        case = outcome.case
        assert outcome.transcript is not None, "a finding has a transcript"
        transcript = _from_the_beginning(outcome.transcript)
        text = "\n".join(transcript.lines()).encode()
        name = f"{case.area.split('/')[1]}-{hashlib.sha256(text).hexdigest()[:10]}"
        path = self.cases / f"{name}.jsonl"
        transcript.save(
            path,
            id=case.id,
            rule=case.rule,
            section=case.section,
            needs=sorted(case.needs),
            quirks=list(quirks),
            profile=profile,
            finding=str(outcome.mismatch or outcome.message),
        )
        return path


def _from_the_beginning(transcript: Transcript) -> Transcript:
    """The same requests as a session's first: numbered from 1, tables named in order of creation."""
    names: dict[str, str] = {}
    steps = []
    for number, step in enumerate(transcript, 1):
        request = testee_pb2.Request()
        request.CopyFrom(step.request)
        request.seq = number
        kind = request.WhichOneof("kind")
        message: Any = getattr(request, kind) if kind else request
        if getattr(message, "table", ""):
            message.table = names.setdefault(message.table, f"t{len(names) + 1}")
        steps.append(Step(request, step.expected, step.judged, step.refused))
    return Transcript(steps)
