"""Which wrong variant answers as the failing backend does: the catalogue of mutants, other switches, another profile.

A variant explains a failure when it gives every reply of the failing case's transcript, the wrong one included, bit
for bit. What is tried is what concerns the capabilities that the case needs, and every switch of the rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from monolith_protos import testee_pb2

from monolith_conformance.backend import Backend, BackendFault
from monolith_conformance.backends.mutant import MutantBackend
from monolith_conformance.backends.oracle import OracleBackend
from monolith_conformance.cases.case import Case
from monolith_conformance.explain.trial import Budget
from monolith_conformance.mutants import Mutant, catalogue
from monolith_conformance.transcript import JUDGED, Transcript, compare_results
from monolith_ref.quirks import SWITCHES, Quirks

__all__ = ["Variant", "equals", "matching", "variants_for"]


@dataclass(frozen=True)
class Variant:
    """The oracle with something wrong about it: the sentence that names it, and how to open it."""

    sentence: str
    mutant: Mutant | None
    profile: str
    quirks: Quirks

    def backend(self) -> Backend:
        """A backend that answers as this variant."""
        return OracleBackend() if self.mutant is None else MutantBackend(self.mutant)


def variants_for(case: Case, profile: str, quirks: Quirks) -> Iterator[Variant]:
    """The variants that a failure of this case is compared with, the likeliest first."""
    for mutant in catalogue().values():
        if (mutant.about & case.needs or case.id.startswith(mutant.killed_by)) and not mutant.survives:
            yield Variant(f"equals the rule with {mutant.sentence}", mutant, profile, quirks)
    other = "avx" if profile == "ieee" else "ieee"
    yield Variant(f"equals the rule under profile {other}", None, other, quirks)
    for name in SWITCHES:
        toggled = Quirks(frozenset(quirks) ^ {name})
        state = "off" if name in quirks else "on"
        yield Variant(f"equals the rule with the switch {name} {state}", None, profile, toggled)


def equals(variant: Variant, transcript: Transcript) -> bool:
    """Whether a variant gives every reply that the transcript recorded."""
    backend = variant.backend()
    try:
        backend.open(variant.profile, variant.quirks)
        for number, step in enumerate(transcript):
            if step.reply is None:
                return False
            request = testee_pb2.Request()
            request.CopyFrom(step.request)
            request.seq = number + 1
            if not _same(backend.answer(request), step.reply):
                return False
    except BackendFault:
        return False
    return True


def matching(
    case: Case, transcript: Transcript, profile: str, quirks: Quirks, budget: Budget, most: int = 3
) -> list[str]:
    """Sentences of the variants that answer as recorded, at most ``most`` of them."""
    if equals(Variant("", None, profile, quirks), transcript):
        return ["equals the rule: what the case expects is at fault"]
    found: list[str] = []
    for variant in variants_for(case, profile, quirks):
        if budget.spent or len(found) == most:
            break
        if equals(variant, transcript):
            found.append(variant.sentence)
    return found


def _same(reply: testee_pb2.Reply, recorded: testee_pb2.Reply) -> bool:
    kind = reply.WhichOneof("kind")
    if kind != recorded.WhichOneof("kind"):
        return False
    return kind != "result" or compare_results(0, reply, recorded.result, JUDGED) is None
