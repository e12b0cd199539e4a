"""Watches the engine step by step and holds every number against path B. Rule: sync_training 6.3.

Order of a step: looked-up rows, x, p (all ranks agree before any gradient is made); then loss, dx, reduced dense
gradients, the head with its accumulators, and after the update every touched row at its owner. Ranks agree after each
half: the first difference anywhere stops all of them with the ten first differences and their number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_conformance.compare.causes import Causes
from monolith_conformance.compare.difference import Difference, differing
from monolith_conformance.compare.digests import DataDigest, LossDigest, head_digest
from monolith_conformance.compare.head import EngineHead
from monolith_conformance.compare.path_b import PathB, StepTruth, owner_of
from monolith_conformance.compare.probe import LookedUp
from monolith_conformance.compare.results import Finding, StepRecord
from monolith_conformance.oracle.sync import StepValues
from monolith_conformance.oracle.sync_rules import take_rows
from monolith_ref.features.ragged import Batch
from monolith_ref.sync.communicator import Communicator
from monolith_ref.training.observer import ForwardResult, Observer, StepResult

__all__ = ["FIRST", "Comparer", "ComparisonStopped"]

FIRST = 10
"""How many differences are reported one by one."""

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]


class ComparisonStopped(Exception):
    """All ranks agree that the paths differ; carries the first differences of the step, explained."""

    def __init__(self, step: int, findings: Sequence[Finding], total: int) -> None:
        super().__init__(f"the paths differ in step {step}: {total} differences")
        self.step = step
        self.findings = list(findings)
        self.total = total


class Comparer(Observer):
    """An observer of the engine that knows what path B says.

    Attributes
    ----------
    records : list of StepRecord
        One per compared step, this rank's numbers; sums over ranks are made at the end.
    moved : bool [positions]
        Rows whose weights have changed bits at least once.
    final_comparisons : int
        Numbers compared after the last step, on this rank.
    """

    def __init__(
        self,
        communicator: Communicator,
        path_b: PathB,
        *,
        empty_rank0: bool = False,
        activations_only: bool = False,
        with_slot: bool = False,
    ) -> None:
        self.communicator = communicator
        self.path_b = path_b
        self.records: list[StepRecord] = []
        self.moved = np.zeros(path_b.universe.count, np.bool_)
        self.data = DataDigest(with_slot)
        self.losses = LossDigest()
        self._looked_up: LookedUp | None = None
        self._empty_rank0 = empty_rank0
        self._activations_only = activations_only
        self._differences: list[Difference] = []
        self._difference_count = 0
        self._causes = Causes(path_b, self._owners)
        self._engine: Any = None
        self._values: StepValues | None = None
        self._record = StepRecord(0)
        self._earlier_losses: list[str] = []
        self.final_comparisons = 0

    # what the engine calls ------------------------------------------------------------------------------------------

    def on_start(self, engine: Any) -> None:
        """Keep the engine: rows and variables are read from it."""
        self._engine = engine

    def on_batch(self, step: int, batch: Batch) -> None:
        """Path B's forward and backward of the same rows, before the engine looks anything up."""
        self._differences, self._difference_count = [], 0
        self._looked_up = None
        self._record = StepRecord(step, features=len(self.path_b.features))
        self._values = self.path_b.forward(batch)
        self._causes.begin(step, batch)

    def on_rows(self, looked_up: LookedUp) -> None:
        """The rows that this rank received for its ids, from :func:`~monolith_conformance.compare.probe.watch_rows`."""
        self._looked_up = looked_up

    def on_forward(self, forward: ForwardResult) -> None:
        """Looked-up rows, x and p."""
        started = perf_counter()
        values = self._truth()
        if self._looked_up is not None:
            self._compare_looked_up(self._looked_up)
        self._compare_columns("x", forward, forward.x, values.x)
        if not self._activations_only:
            for prediction in forward.predictions.values():
                self._compare_head("p", prediction, values.p)
        self._record.compare_seconds += perf_counter() - started
        self.agree()

    def on_step(self, result: StepResult) -> None:
        """Everything after the forward pass, then the totals of the step."""
        truth = self.path_b.update(result.step)
        started = perf_counter()
        self._causes.updated(truth)
        if not self._activations_only:
            self._compare_columns("dx", result.forward, result.dx, self._truth().dx)
            self._compare_array("loss", "loss", np.array([result.loss]), np.array([truth.reduced.loss]))
            self._compare_dense(result, truth)
            self._compare_rows(truth)
        self._keep(result, truth)
        self._record.compare_seconds += perf_counter() - started
        self.agree()
        self._causes.finished(truth)
        self.records.append(self._record)

    def loss_bits(self) -> list[str]:
        """Losses of all steps so far, as float32 bit patterns (8 hex digits each)."""
        return [*self._earlier_losses, *(f"{record.loss_bits:08x}" for record in self.records)]

    def resume(self, losses: Sequence[str], parts: Iterable[Batch]) -> None:
        """Take in the losses and the global batches of the steps that an earlier run made."""
        self._earlier_losses = list(losses)
        for bits in losses:
            self.losses.add(np.uint32(int(bits, 16)).view(np.float32))
        for batch in parts:
            self.data.add([batch])
        rows = self.path_b.oracle.rows
        self.moved |= (rows.w.view(np.uint32) != 0).any(axis=1)

    # comparisons ----------------------------------------------------------------------------------------------------

    def _truth(self) -> StepValues:
        assert self._values is not None
        return self._values

    def _compare_looked_up(self, looked_up: LookedUp) -> None:
        """Rows as this rank received them, before pooling: a wrong answer names its id."""
        for feature, fids, rows in looked_up:
            name = self.path_b.features[feature]
            positions = self.path_b.universe.positions(feature, fids)
            wanted = take_rows(self.path_b.oracle.rows.w, positions)
            wrong = differing(rows, wanted)
            self._count(feature, rows.size, len(wrong))
            width = wanted.shape[1]
            if len(wrong):
                which = np.unique(wrong // width)
                self._causes.looked_up(feature, positions[which], fids[which], rows[which], wanted[which])
            for flat in wrong[:FIRST]:
                i, element = divmod(int(flat), width)
                self._note(
                    "looked-up row", name, rows[i, element], wanted[i, element], fid=int(fids[i]), element=element
                )

    def _compare_columns(self, stage: str, forward: ForwardResult, engine: F32, oracle: F32) -> None:
        """x or dx: [rows, width], feature by feature."""
        dim = self.path_b.oracle.rows.w.shape[1]
        for feature, name in enumerate(self.path_b.features):
            first, width = forward.columns[name]
            got = engine[:, first : first + width]
            wanted = oracle[:, feature * dim : feature * dim + dim]
            wrong = differing(got, wanted)
            self._count(feature, wanted.size, len(wrong))
            for flat in wrong[:FIRST]:
                row, element = divmod(int(flat), dim)
                self._note(stage, name, got[row, element], wanted[row, element], row=row, element=element)
                self._causes.bag(stage, feature, row, got[row], wanted[row])

    def _compare_head(self, stage: str, engine: F32, oracle: F32) -> None:
        wrong = differing(engine, oracle)
        self._count(-1, oracle.size, len(wrong))
        for row in wrong[:FIRST]:
            self._note(stage, "prediction", engine.reshape(-1)[row], oracle[row], row=int(row))
        if len(wrong):
            self._causes.array(stage, "prediction", engine.reshape(oracle.shape), oracle)

    def _compare_array(self, stage: str, name: str, engine: F32, oracle: F32) -> None:
        engine = np.asarray(engine, np.float32)
        oracle = np.asarray(oracle, np.float32)
        if engine.size != oracle.size:
            raise AssertionError(f"{stage} {name}: {engine.shape} against {oracle.shape}")
        wrong = differing(engine, oracle)
        self._count(-1, oracle.size, len(wrong))
        for flat in wrong[:FIRST]:
            self._note(stage, name, engine.reshape(-1)[flat], oracle.reshape(-1)[flat], element=int(flat))
        if len(wrong):
            self._causes.array(stage, name, engine.reshape(oracle.shape), oracle)

    def _compare_dense(self, result: StepResult, truth: StepTruth) -> None:
        variables: Mapping[str, F32] = self._engine.variables
        slots: Mapping[str, Mapping[str, F32]] = self._engine.slots
        for i, layer in enumerate(self.path_b.oracle.layers):
            parts = (
                (f"dense_{i}/kernel", truth.reduced.dense[2 * i], layer.kernel, layer.kernel_accumulator),
                (f"dense_{i}/bias", truth.reduced.dense[2 * i + 1], layer.bias, layer.bias_accumulator),
            )
            for name, gradient, value, accumulator in parts:
                self._compare_array("dense gradient", name, result.dense_gradients[name], gradient)
                self._compare_array("dense variable", name, variables[name], value)
                self._compare_array("dense state", name, slots[name]["accumulator"], accumulator)

    def _compare_rows(self, truth: StepTruth) -> None:
        """Every row that any rank touched in this step, at its owner."""
        universe, rows = self.path_b.universe, self.path_b.oracle.rows
        positions = truth.before.positions
        fids = universe.fids(positions)
        owners = self._owners(fids)
        mine = np.flatnonzero(owners == self.communicator.rank)
        features = universe.features(positions)[mine]
        order = np.argsort(features, kind="stable")
        bounds = np.searchsorted(features[order], np.arange(len(self.path_b.features) + 1))
        for feature, name in enumerate(self.path_b.features):
            chosen = mine[order[bounds[feature] : bounds[feature + 1]]]
            if len(chosen) == 0:
                continue
            wanted = positions[chosen]
            ids = fids[chosen]
            store = self._store_of(name)
            numbers = store.target.to_host(store.find(store.target.asarray(ids)))
            absent = numbers < 0
            for fid in ids[absent][:FIRST]:
                self._note("row presence", name, 0, 1, fid=int(fid), presence=True)
                self._causes.absent(int(fid))
            self._difference_count += max(int(absent.sum()) - FIRST, 0)
            if absent.any():
                ids, wanted, chosen, numbers = ids[~absent], wanted[~absent], chosen[~absent], numbers[~absent]
            got = store.export(store.target.asarray(numbers), ids)
            w, accumulator = got.weights, got.state[0]["norm"]
            wanted_w, wanted_a = take_rows(rows.w, wanted), take_rows(rows.accumulator, wanted)
            for stage, engine, oracle in (("row weight", w, wanted_w), ("row accumulator", accumulator, wanted_a)):
                wrong = differing(engine, oracle)
                self._count(feature, oracle.size, len(wrong))
                for flat in wrong[:FIRST]:
                    i, element = divmod(int(flat), oracle.shape[1])
                    fid = int(ids[i])
                    self._note(stage, name, engine[i, element], oracle[i, element], fid=fid, element=element)
                    self._causes.row(fid, int(wanted[i]), w[i], accumulator[i])
            before = truth.before.w[chosen].view(np.uint32)
            changed = (np.ascontiguousarray(w).view(np.uint32) != before).any(axis=1)
            self.moved[wanted[changed]] = True
            self._record.moved += int(changed.sum())
            self._record.rows += len(wanted)

    def _owners(self, fids: I64) -> I64:
        return owner_of(fids, self.communicator.size, self._empty_rank0)

    def _store_of(self, feature: str) -> Any:
        for table in self._engine.tables:
            if feature in table.features:
                return self._engine.embeddings.tables[table.name]
        raise AssertionError(f"no table holds {feature}")

    # the last look at all rows --------------------------------------------------------------------------------------

    def begin_final(self, step: int) -> None:
        """What is noted from now on belongs to the state after the last step."""
        self._differences, self._difference_count = [], 0
        self._record = StepRecord(step - 1, features=len(self.path_b.features))

    def compare_final_rows(
        self, feature: int, positions: NDArray[np.int64], fids: NDArray[np.int64], w: F32, a: F32
    ) -> None:
        """All rows of a feature that this rank has."""
        self.moved[positions[(np.ascontiguousarray(w).view(np.uint32) != 0).any(axis=1)]] = True
        truth, name = self.path_b.oracle.rows, self.path_b.features[feature]
        for stage, engine, oracle in (
            ("row weight", w, take_rows(truth.w, positions)),
            ("row accumulator", a, take_rows(truth.accumulator, positions)),
        ):
            wrong = differing(engine, oracle)
            self._count(feature, oracle.size, len(wrong))
            self.final_comparisons += oracle.size
            for flat in wrong[:FIRST]:
                i, element = divmod(int(flat), oracle.shape[1])
                self._note(stage, name, engine[i, element], oracle[i, element], fid=int(fids[i]), element=element)
                self._causes.row(int(fids[i]), int(positions[i]), w[i], a[i])

    def note_presence(self, name: str, fid: int, *, here: bool) -> None:
        """A row that is here and must not be, or the reverse."""
        self._note("row presence", name, int(here), int(not here), fid=fid, presence=True)

    def note_count(self, engine: int, oracle: int) -> None:
        """The ranks together have another number of rows than path B."""
        self._note("row presence", "number of rows over all ranks", engine, oracle, presence=True)

    # bookkeeping ----------------------------------------------------------------------------------------------------

    def _count(self, feature: int, compared: int, different: int) -> None:
        self._record.compared[feature] += compared
        self._record.different[feature] += different
        # The first ones are counted when they are noted.
        self._difference_count += max(different - FIRST, 0)

    def _note(
        self,
        stage: str,
        name: str,
        engine: float | np.float32,
        oracle: float | np.float32,
        *,
        fid: int | None = None,
        row: int | None = None,
        element: int | None = None,
        presence: bool = False,
    ) -> None:
        self._difference_count += 1
        if len(self._differences) >= 4 * FIRST and stage != "looked-up row":
            return
        owner = None
        if fid is not None:
            owner = int(self._owners(np.array([fid]))[0])
        bits = [int(v) if presence else int(np.float32(v).view(np.uint32)) for v in (engine, oracle)]
        slot = None if fid is None else (fid >> 48) & 0x7FFF
        step, rank = self._record.step, self.communicator.rank
        self._differences.append(Difference(step, rank, stage, name, bits[0], bits[1], owner, fid, slot, row, element))

    def _keep(self, result: StepResult, truth: StepTruth) -> None:
        record = self._record
        record.loss = float(result.loss)
        record.loss_bits = int(np.float32(result.loss).view(np.uint32))
        record.batch_rows = sum(part.rows for part in truth.parts)
        record.distinct = len(truth.before.positions)
        record.occurrences = sum(len(c.values) for part in truth.parts for c in part.ragged.values())
        record.phases = dict(result.seconds)
        record.sent = {what: n for what, n in result.sent_bytes.items() if not what.startswith("compare:")}
        record.oracle_seconds = self.path_b.seconds
        self.losses.add(result.loss)
        if self.communicator.rank == 0:
            self.data.add(truth.parts)
        if not self._activations_only:
            digests = self.communicator.allgather_bytes(
                head_digest(EngineHead.layers(self._engine)).encode(), "compare: heads"
            )
            for rank, digest in enumerate(digests):
                if digest != digests[0] and rank == self.communicator.rank:
                    self._note("dense variable", "digest of the head differs from rank 0's", 0, 1)

    def agree(self) -> None:
        """Stop all ranks if any has found a difference."""
        total = int(self.communicator.sum_int64(np.array([self._difference_count], np.int64), "compare: agreement")[0])
        if total == 0:
            return
        local = sorted(self._differences, key=Difference.order)[:FIRST]
        findings = [Finding(d, self._causes.explain(d)) for d in local]
        text = json.dumps([finding.as_dict() for finding in findings]).encode()
        everyone: list[Finding] = []
        for data in self.communicator.allgather_bytes(text, "compare: differences"):
            everyone += [Finding.from_dict(entry) for entry in json.loads(data)]
        everyone.sort(key=lambda finding: finding.difference.order())
        self.records.append(self._record)
        raise ComparisonStopped(self._record.step, everyone[:FIRST], total)
