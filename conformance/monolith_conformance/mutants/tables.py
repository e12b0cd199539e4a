"""Wrong variants of the table: what operations do to rows, states, times and ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from monolith_conformance.mutants.mutant import Mutant, Replacement, edit, wrap
from monolith_conformance.oracle import rules
from monolith_ref.errors import ArgumentError

__all__ = ["MUTANTS", "TABLE", "of_table"]

TABLE = "oracle.table:OracleTable"
TRACES = ("table/trace/",)


def of_table(name: str, sentence: str, *replacements: Replacement, about: str = "optimize", **settings: Any) -> Mutant:
    settings.setdefault("killed_by", TRACES)
    return Mutant(name, sentence, replacements, about=frozenset({f"table.{about}"}), **settings)


def _of(op: str, name: str, sentence: str, *changes: tuple[str, str], **settings: Any) -> Mutant:
    settings.setdefault("about", op)
    return of_table(name, sentence, edit(f"{TABLE}.{op}", *changes), **settings)


def _refused(method: str, what: str) -> Replacement:
    """Calls with an id that has no row end in an error."""

    def build(original: Callable[..., Any]) -> Callable[..., Any]:
        def refusing(self: Any, ids: Sequence[int], *rest: Any, **named: Any) -> Any:
            if not all(self.has(fid) for fid in ids):
                raise ArgumentError(f"{what}: an id without a row")
            return original(self, ids, *rest, **named)

        return refusing

    return wrap(f"{TABLE}.{method}", build)


def _reset_by_length(update: Callable[..., Any]) -> Callable[..., Any]:
    """One optimizer object a rule: a row of another length than the last one's starts its state anew."""
    lengths: dict[str, int] = {}

    def changed(rule: str, config: Any, w: Any, state: Any, *rest: Any, **named: Any) -> Any:
        if lengths.setdefault(rule, len(w)) != len(w):
            lengths[rule], state = len(w), rules.initial(rule, config, len(w))
        return update(rule, config, w, state, *rest, **named)

    return changed


def _lost_from(position: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def build(lookup: Callable[..., Any]) -> Callable[..., Any]:
        def changed(self: Any, ids: Sequence[int]) -> Any:
            found, rows = lookup(self, ids)
            rows[position:] = 0
            return found, rows

        return changed

    return build


_READS = (
    of_table(
        "lookup-of-unknown-fails",
        "an error for a call that reads an unknown id",
        _refused("lookup", "lookup"),
        about="lookup",
        deviation=20,
    ),
    _of(
        "read",
        "lookup-creates",
        "rows made by reading unknown ids",
        ("return np.zeros(self.dim, F)", "self._row(fid)"),
        about="lookup",
    ),
    _of(
        "lookup",
        "lookup-counts-distinct",
        "found ids counted once each",
        ("sum(self.has(fid) for fid in ids)", "sum(self.has(fid) for fid in set(ids))"),
    ),
    of_table(
        "lookup-loses-past-a-million",
        "rows past the millionth of a call read as zero",
        wrap(f"{TABLE}.lookup", _lost_from(1_000_000)),
        about="lookup",
        deviation=28,
    ),
    _of("contains", "contains-everything-once-asked", "any id contained", ("self.has(fid)", "True")),
    _of("size", "size-off-by-one", "a row too many in the size", ("len(self.rows)", "len(self.rows) + 1")),
)

_ASSIGN = (
    _of(
        "assign",
        "assign-first-wins",
        "the first of several equal ids in an assign",
        ("if not admitted:", "if not admitted or fid in seen:"),
        ("kept = [", "seen: set[int] = set()\n    kept = ["),
        ("self._put(row, value)", "seen.add(fid)\n        self._put(row, value)"),
    ),
    _of(
        "assign",
        "assign-resets-state",
        "optimizer state that an assign makes anew",
        ("row = self._row(fid)", "self.rows.pop(fid, None)\n        row = self._row(fid)"),
    ),
    _of(
        "assign",
        "assign-keeps-time",
        "an assign that sets no time",
        ("row.time = when", "row.time = row.time"),
        deviation=24,
    ),
    _of(
        "assign",
        "assign-never-goes-back",
        "times that only grow",
        ("row.time = when", "row.time = max(row.time, when)"),
        killed_by=("table/time/",),
    ),
    _of(
        "assign_add",
        "assign-add-keeps-time",
        "an assign_add that sets no time",
        ("row.time = when", "row.time = row.time"),
        deviation=24,
    ),
    _of(
        "assign_add",
        "assign-add-assigns",
        "an assign_add to an unknown id that assigns",
        (
            "row = self._row(fid)",
            "fresh = not self.has(fid)\n        row = self._row(fid)\n"
            "        if fresh:\n            row.weights = row.weights * F(0)",
        ),
        killed_by=(*TRACES, "core/initializer/"),
    ),
    _of(
        "assign_add",
        "assign-add-last-wins",
        "the last of several equal ids in an assign_add",
        ("row = self._row(fid)", "if fid in ids[number + 1 :]:\n            continue\n        row = self._row(fid)"),
    ),
)

_OPTIMIZE = (
    of_table(
        "optimize-of-unknown-fails",
        "an error for a gradient of an unknown id",
        _refused("optimize", "optimize"),
        deviation=21,
    ),
    _of(
        "optimize",
        "optimize-of-unknown-dropped",
        "gradients of unknown ids dropped",
        ("if not admitted:", "if not admitted or not self.has(fid):"),
        deviation=21,
    ),
    _of(
        "optimize",
        "optimize-keeps-time",
        "an optimize that sets no time",
        (
            "row.weights, row.state, row.time = weights[0], states[0], when",
            "row.weights, row.state = weights[0], states[0]",
        ),
        deviation=24,
    ),
    _of("optimize", "optimize-always-sums", "duplicates always summed before the step", ("if dedup:", "if True:")),
    _of(
        "optimize",
        "optimize-never-sums",
        "one step a duplicate where the sum was asked for",
        ("if dedup:", "if False:"),
        deviation=29,
    ),
    _of(
        "optimize",
        "optimize-last-duplicate",
        "the last duplicate's gradient in place of the sum",
        ("sums[fid] + grad if fid in sums else grad.copy()", "grad.copy()"),
        killed_by=("table/duplicates/",),
    ),
    _of(
        "optimize",
        "optimize-mean-of-duplicates",
        "the mean of the duplicates in place of their sum",
        ("np.array(list(sums.values()), F)", "np.array([sums[k] / F(times[k]) for k in sums], F)"),
        killed_by=("table/duplicates/",),
    ),
    _of(
        "optimize",
        "optimize-sums-in-double",
        "duplicates summed in double precision",
        ("sums[fid] = sums[fid] + grad", "sums[fid] = sums[fid].astype(np.float64) + grad"),
        killed_by=("table/duplicates/",),
    ),
    _of(
        "optimize",
        "optimize-last-row-wins",
        "only the last of several equal ids applied",
        ("if not admitted:", "if not admitted or list(ids).count(fid) > 1 and ids[-1] != fid:"),
    ),
    of_table(
        "one-rate-a-table",
        "the first segment's rate for every segment",
        edit("oracle.rows:OracleRows.optimize", ("g, rates[number], seen", "g, rates[0], seen")),
        killed_by=("core/segments/",),
        deviation=14,
    ),
    of_table(
        "rates-in-reverse",
        "the rates of the segments in reverse order",
        edit("oracle.rows:OracleRows.optimize", ("g, rates[number], seen", "g, rates[-1 - number], seen")),
        killed_by=("core/segments/",),
    ),
    of_table(
        "state-reset-by-length",
        "a state that starts anew when rows of another length come by",
        wrap("oracle.rules:update", _reset_by_length),
        killed_by=("core/segments/",),
        deviation=16,
    ),
    of_table(
        "global-step-ignored",
        "a global step of 0 whatever the call says",
        edit(f"{TABLE}.optimize", ("grad[None], rates, step)", "grad[None], rates, 0)")),
        killed_by=("core/optimizer.batch_softmax/",),
    ),
    of_table(
        "state-of-first-segment-only",
        "state kept for the first segment only",
        edit(
            "oracle.rows:OracleRows.optimize",
            ("return out, after", "return out, [[row[0], *old[1:]] for row, old in zip(after, states)]"),
        ),
        killed_by=("core/segments/",),
    ),
)

_REST = (
    _of(
        "reinitialize",
        "reinitialize-keeps-state",
        "a reinitialize that keeps optimizer state",
        ("self.rows[fid] = self._fresh()",
        "kept, self.rows[fid] = self.rows[fid].state, self._fresh()\n        self.rows[fid].state = kept"),
    ),
    _of(
        "reinitialize",
        "reinitialize-status-inverted",
        "a status of 1 for inserted rows",
        ("1 if known else 0", "0 if known else 1"),
    ),
    _of(
        "reinitialize",
        "reinitialize-draws-once",
        "one draw for a row that reinitialize inserts",
        ("    self._row(fid)\n", "    pass\n"),
    ),
    _of("clear", "clear-keeps-rows", "a clear that only forgets times", ("self.rows.clear()", "self.max_ts = 0")),
    _of("dump", "save-by-unsigned-id", "rows saved by unsigned id", ("sorted(self.rows)",
        "sorted(self.rows, key=lambda fid: fid % 2**64)"), about="save"),
    _of("dump", "save-skips-time-zero", "rows of time 0 left out of a save",
        ("for fid in sorted(self.rows)]", "for fid in sorted(self.rows) if self.rows[fid].time]"), about="save"),
    _of("entry", "save-without-time", "rows saved without their time",
        ("for state in row.state], row.time)", "for state in row.state], 0)"), about="save"),
    _of("restore", "restore-clears", "a restore that empties the table first", ("latest = 0",
        "latest = 0\n    self.rows.clear()")),
    _of("restore", "restore-first-wins", "the first of several equal rows in a restore",
        ("latest = 0", "latest, seen = 0, set()"),
        ("row = self._row(saved.id)",
        "if saved.id in seen:\n            continue\n        seen.add(saved.id)\n        row = self._row(saved.id)")),
    _of("restore", "restore-fills-with-zeros", "zeros where a restored row is short",
        ("row.weights = row.weights.copy()", "row.weights = row.weights * F(0)")),
    _of("restore", "restore-without-state", "state that a restore leaves as it was", ("state.update(dump)", "pass")),
    _of("restore", "restore-without-time", "rows restored with time 0", ("row.time = saved.ts % (1 << 32)",
        "row.time = 0")),
    _of("restore", "restore-draws-nothing", "restored rows that draw no initial values",
        ("row = self._row(saved.id)",
        "bits = self.arithmetic.stream._bits\n        before = bits.state\n"
         "        row = self._row(saved.id)\n        bits.state = before")),
    _of("restore", "restore-serving-time", "serving rows restored with their time", ("row.time = 0",
        "row.time = saved.ts % (1 << 32)")),
    _of("restore", "restore-latest-of-last", "the last row's time as the greatest one",
        ("latest = max(latest, saved.ts)", "latest = saved.ts")),
    _of("is_zero", "skip-zero-exact", "only rows of zeros skipped as zero",
        ("total < F(2.0**-126) or np.isinf(total)", "total == 0"), about="assign"),
    _of("assign", "skip-zero-ignored", "zero rows kept", ("if self.skip_zero and", "if False and")),
    _of("assign", "skip-zero-keeps-old", "a zero row that leaves the old one", ("self.rows.pop(fid, None)\n",
        "pass\n")),
    _of("assign_add", "skip-zero-in-add", "an assign_add that erases rows of zeros",
        ("row.weights = row.weights + value",
        "row.weights = row.weights + value\n"
         "            if self.skip_zero and self.is_zero(self.read(fid)):\n                self.rows.pop(fid)"),
        killed_by=("table/trace/edge_skip_zero",)),
    of_table("times-signed", "times read as signed 32-bit numbers",
           edit(f"{TABLE}._time", ("return time\n", "return (time + (1 << 31)) % (1 << 32) - (1 << 31)\n")),
           about="save",
           quirks="default +wrap_timestamps"),
    of_table("times-in-float", "times that went through float32",
           edit(f"{TABLE}._time", ("return time\n", "return int(np.float32(time))\n")), about="save"),
    of_table("entries-with-id", "rows looked up with their id",
           edit("backends.oracle:_Table.lookup_entry", ("with_id=False", "with_id=True")), about="lookup_entry"),
)  # fmt: skip

MUTANTS: tuple[Mutant, ...] = (*_READS, *_ASSIGN, *_OPTIMIZE, *_REST)
