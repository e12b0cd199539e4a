"""A case needs what it says and no more is asked of it: a young port that has just that passes."""

from __future__ import annotations

from collections.abc import Iterator

from monolith_conformance.backend import Missing
from monolith_conformance.backends.filters import FilterSpec
from monolith_conformance.backends.oracle import OracleBackend
from monolith_conformance.cases import all_cases
from monolith_conformance.runner import run_cases
from monolith_protos import hash_table_pb2, testee_pb2

from monolith_ref.quirks import Quirks

SERVING = hash_table_pb2.EntryConfig.SERVING


def _of_table(message: testee_pb2.Create) -> Iterator[str]:
    config = hash_table_pb2.EmbeddingHashTableConfig.FromString(message.config)
    serving = config.entry_config.entry_type == SERVING
    for segment in config.entry_config.segments:
        compressor = segment.comp_config.WhichOneof("type")
        if serving or compressor not in (None, "fp32", "fp16"):  # Those two do nothing to a training row.
            yield f"compressor.{compressor}"
        if not serving and segment.opt_config.WhichOneof("type") and segment.init_config.WhichOneof("type"):
            yield f"optimizer.{segment.opt_config.WhichOneof('type')}"
            yield f"initializer.{segment.init_config.WhichOneof('type')}"
        if segment.opt_config.stochastic_rounding_float16:
            yield "optimizer.stochastic_rounding"
    if serving:
        yield "table.serving"
    if message.filter:
        yield "filter.admission"
        yield f"filter.{FilterSpec.parse(message.filter).kind}"


def used(request: testee_pb2.Request) -> set[str]:
    """What a backend must have to answer a request."""
    kind = request.WhichOneof("kind")
    if kind == "create":
        return set(_of_table(request.create))
    if kind == "op":
        return {f"table.{request.op.op}"} | ({"expiry"} if request.op.op == "evict" else set())
    if kind == "combine":
        return {f"combiner.{request.combine.kind}"}
    if kind == "filter":
        return {f"filter.{request.filter.kind}"}
    if kind == "sync":
        return {f"sync.{request.sync.reduction}"}
    if kind == "files":
        return {f"checkpoint.{request.files.op}"}
    return {f"dump.{request.dump.op}"} if kind == "dump" else set()


class Young(OracleBackend):
    """An oracle that has some capabilities, and refuses all else."""

    name = "young"

    def __init__(self, has: frozenset[str]) -> None:
        self._has = has

    def capabilities(self) -> list[str]:
        return sorted(self._has)

    def answer(self, request: testee_pb2.Request) -> testee_pb2.Reply:
        lacking = used(request) - self._has
        if lacking:
            reply = testee_pb2.Reply(seq=request.seq)
            reply.unsupported.capability = str(Missing(", ".join(sorted(lacking))))
            return reply
        return super().answer(request)


def test_every_case_passes_where_there_is_just_what_it_needs() -> None:
    bad = {}
    for case in all_cases().values():
        if not case.full and not case.generated:
            quirks = Quirks.parse("default").plus(*case.quirks).minus(*case.without)
            outcome = run_cases(Young(case.needs), [case], quirks=quirks, profile=case.profiles[0]).outcomes[case.id]
            if outcome.status != "passed":
                bad[case.id] = outcome.message or str(outcome.mismatch)
    assert bad == {}
