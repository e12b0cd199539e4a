"""What was asked and what was expected, as data: the smallest thing that shows a failure, in any language.

A transcript is a list of steps, each a request and, where the case judged the reply, what it should have been. It is
written as JSON lines (the encoding of the protocol) and can be replayed against any backend.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from monolith_protos import testee_pb2

from monolith_conformance.accuracy import EXACT, Accuracy
from monolith_conformance.testee.jsonlines import from_json, to_json
from monolith_ref.errors import FormatError

__all__ = ["Mismatch", "Step", "Transcript", "compare_results"]

JUDGED = ("flags", "floats", "ints", "entries", "blob")


@dataclass(frozen=True)
class Mismatch:
    """The first place where a reply is not what it should be.

    Attributes
    ----------
    step : int
        Number of the request in its transcript.
    what : str
        Field of the result and index within it, or what kind of reply came instead.
    actual, expected : str
        Both, as bit patterns with their decimal value where they are floats.
    ulps : int or None
        Distance on the float32 number line.
    """

    step: int
    what: str
    actual: str
    expected: str
    ulps: int | None = None

    def __str__(self) -> str:
        far = f" ({self.ulps} ulp)" if self.ulps is not None else ""
        return f"request {self.step}, {self.what}: {self.actual}, expected {self.expected}{far}"


@dataclass
class Step:
    """One request, the fields of the expected result (None: not judged) and the reply that came.

    ``refused``: the request must be answered by an error, of whatever kind.
    """

    request: testee_pb2.Request
    expected: testee_pb2.Result | None = None
    judged: tuple[str, ...] = ()
    refused: bool = False
    reply: testee_pb2.Reply | None = None


@dataclass
class Transcript:
    """All steps of one case (of its last example, where it tries many)."""

    steps: list[Step] = field(default_factory=list)

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def save(self, path: Path, **header: object) -> None:
        """Write as JSON lines: a header, then ``{"request": …, "expected": …, "judged": […], "refused": …}`` a step."""
        lines = [json.dumps({"format": "monolith-ref transcript", "version": 1, **header}, sort_keys=True)]
        lines += self.lines()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")

    def lines(self) -> list[str]:
        """One line of JSON a step, without replies."""
        return [_line(step) for step in self.steps]

    @classmethod
    def from_lines(cls, lines: Iterable[str]) -> Transcript:
        """What :meth:`lines` gave. Raises ValueError, KeyError or TypeError where a line is none."""
        return cls([_step(json.loads(line)) for line in lines])

    @classmethod
    def load(cls, path: Path) -> tuple[Transcript, dict[str, object]]:
        """A transcript and its header. Raises :class:`~monolith_ref.errors.FormatError` naming the line."""
        lines = path.read_text().splitlines()
        try:
            header = json.loads(lines[0])
            if header.get("format") != "monolith-ref transcript":
                raise ValueError("not a transcript")
        except (ValueError, IndexError, AttributeError) as error:
            raise FormatError(f"the first line is no header of a transcript: {error}", path=str(path)) from None
        transcript = cls()
        for number, line in enumerate(lines[1:], 2):
            try:
                transcript.steps.append(_step(json.loads(line)))
            except (ValueError, KeyError, TypeError) as error:
                raise FormatError(f"line {number}: {error}", path=str(path), record=number) from None
        return transcript, header


def _line(step: Step) -> str:
    parts = [f'"request":{to_json(step.request)}']
    if step.expected is not None:
        parts.append(f'"expected":{to_json(step.expected)}')
        parts.append(f'"judged":{json.dumps(step.judged)}')
    if step.refused:
        parts.append('"refused":true')
    return "{" + ",".join(parts) + "}"


def _step(data: dict[str, object]) -> Step:
    request = testee_pb2.Request()
    from_json(json.dumps(data["request"]), request)
    step = Step(request, refused=bool(data.get("refused", False)))
    if "expected" in data:
        step.expected = testee_pb2.Result()
        from_json(json.dumps(data["expected"]), step.expected)
        judged = data.get("judged", JUDGED)
        step.judged = tuple(str(name) for name in judged) if isinstance(judged, Iterable) else JUDGED
    return step


def compare_results(
    number: int,
    reply: testee_pb2.Reply,
    expected: testee_pb2.Result,
    judged: Iterable[str],
    accuracy: Accuracy = EXACT,
) -> Mismatch | None:
    """The first difference between a reply and the expected result, in the ``judged`` fields; None where equal.

    Floats are compared by bits, or as near as the accuracy profile asks; any NaN equals any NaN. Everything else is
    compared by value.
    """
    kind = reply.WhichOneof("kind")
    if kind != "result":
        shown = " ".join(str(getattr(reply, kind)).split()) if kind else ""
        return Mismatch(number, "reply", f"{kind or 'nothing'} {shown}".strip(), "a result")
    for name in judged:
        found, wanted = getattr(reply.result, name), getattr(expected, name)
        if name == "floats":
            mismatch = _compare_floats(number, found, wanted, accuracy)
        elif name == "blob":
            mismatch = None if found == wanted else Mismatch(number, name, found.hex(), wanted.hex())
        elif name == "entries":
            mismatch = _compare_entries(number, list(found), list(wanted), accuracy)
        else:
            mismatch = _compare_lists(number, name, list(found), list(wanted))
        if mismatch is not None:
            return mismatch
    return None


def _compare_floats(number: int, found: bytes, wanted: bytes, accuracy: Accuracy) -> Mismatch | None:
    if len(found) != len(wanted):
        return Mismatch(number, "floats", f"{len(found) / 4:g} floats", f"{len(wanted) / 4:g} floats")
    difference = accuracy.first_difference(np.frombuffer(found, "<f4"), np.frombuffer(wanted, "<f4"))
    if difference is None:
        return None
    return Mismatch(number, f"floats[{difference.index}]", difference.actual, difference.expected, difference.ulps)


def _compare_entries(number: int, found: list[bytes], wanted: list[bytes], accuracy: Accuracy) -> Mismatch | None:
    """Entries are compared by content: any NaN equals any NaN, and a default may be written or left out."""
    from monolith_conformance.entries import canonical_entry, first_entry_difference

    if len(found) != len(wanted):
        return Mismatch(number, "entries", f"{len(found)} rows", f"{len(wanted)} rows")
    for index, (a, b) in enumerate(zip(found, wanted, strict=True)):
        if a != b and canonical_entry(a) != canonical_entry(b):
            difference = first_entry_difference(a, b, accuracy)
            if difference is not None:
                path, actual, expected, far = difference
                return Mismatch(number, f"entries[{index}]{path}", actual, expected, far)
    return None


def _compare_lists(number: int, name: str, found: list[object], wanted: list[object]) -> Mismatch | None:
    if len(found) != len(wanted):
        return Mismatch(number, name, f"{len(found)} items", f"{len(wanted)} items")
    for index, (a, b) in enumerate(zip(found, wanted, strict=True)):
        if a != b:
            return Mismatch(number, f"{name}[{index}]", _shown(a), _shown(b))
    return None


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
