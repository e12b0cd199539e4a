"""Transcripts played again: against a backend under test, or against a wrong variant of the oracle."""

from __future__ import annotations

from monolith_conformance.backend import Backend, BackendFault
from monolith_conformance.transcript import Transcript, compare_results
from monolith_ref.quirks import Quirks

__all__ = ["replay_transcript"]


def replay_transcript(backend: Backend, transcript: Transcript, profile: str, quirks: Quirks) -> str:
    """The first difference from what the transcript expects, in words; empty where there is none."""
    try:
        backend.open(profile, quirks)
        for number, step in enumerate(transcript):
            step.request.seq = number + 1
            reply = backend.answer(step.request)
            if step.expected is not None:
                mismatch = compare_results(number, reply, step.expected, step.judged)
                if mismatch is not None:
                    return str(mismatch)
    except BackendFault as fault:
        return str(fault)
    finally:
        backend.close()
    return ""
