"""A wrong variant of the oracle as a backend: what the suite must find, and what it compares failures with."""

from __future__ import annotations

from monolith_protos import testee_pb2

from monolith_conformance.backends.oracle import OracleBackend
from monolith_conformance.mutants import Mutant, catalogue
from monolith_conformance.mutants.mutant import applied
from monolith_ref.errors import UnknownNameError
from monolith_ref.quirks import Quirks

__all__ = ["MutantBackend"]


class MutantBackend(OracleBackend):
    """The oracle with the replacements of one mutant in force while it answers, and only then."""

    def __init__(self, mutant: Mutant | str) -> None:
        if isinstance(mutant, str):
            if mutant not in catalogue():
                raise UnknownNameError(f"no mutant {mutant!r}; 'monolith-ref conform mutants --list' names them")
            mutant = catalogue()[mutant]
        self.mutant = mutant
        self.name = f"mutant:{mutant.name}"

    def open(self, profile: str, quirks: Quirks) -> testee_pb2.HelloReply:
        with applied(self.mutant.replacements):
            return super().open(profile, quirks)

    def answer(self, request: testee_pb2.Request) -> testee_pb2.Reply:
        with applied(self.mutant.replacements):
            return super().answer(request)
