"""Transcripts played again: against a backend under test, or against a wrong variant of the oracle."""

from __future__ import annotations

from monolith_conformance.accuracy import EXACT, Accuracy
from monolith_conformance.backend import Backend, BackendFault
from monolith_conformance.transcript import Mismatch, Step, Transcript, compare_results
from monolith_ref.quirks import Quirks

__all__ = ["judge_step", "replay_transcript"]


def judge_step(number: int, step: Step, accuracy: Accuracy = EXACT) -> Mismatch | None:
    """The first difference of a step's reply from what the step asks for."""
    assert step.reply is not None, "a reply comes first"
    if step.refused:
        kind = step.reply.WhichOneof("kind")
        return None if kind == "error" else Mismatch(number, "reply", str(kind), "an error")
    if step.expected is None:
        return None
    return compare_results(number, step.reply, step.expected, step.judged, accuracy)


def replay_transcript(
    backend: Backend, transcript: Transcript, profile: str, quirks: Quirks, accuracy: Accuracy = EXACT
) -> str:
    """The first difference from what the transcript expects, in words; empty where there is none."""
    try:
        backend.open(profile, quirks)
        for number, step in enumerate(transcript):
            step.request.seq = number + 1
            step.reply = backend.answer(step.request)
            mismatch = judge_step(number, step, accuracy)
            if mismatch is not None:
                return str(mismatch)
    except BackendFault as fault:
        return str(fault)
    finally:
        backend.close()
    return ""
