"""Wrong variants of admission: thresholds, counts, cells, and the ring of splits."""

from __future__ import annotations

from typing import Any

from monolith_conformance.mutants.mutant import Mutant, Replacement, edit

__all__ = ["MUTANTS"]

FILTERS = "oracle.filters"


def _filter(name: str, kind: str, sentence: str, *replacements: Replacement, **settings: Any) -> Mutant:
    settings.setdefault("killed_by", ("filter/",))
    return Mutant(name, sentence, replacements, about=frozenset({f"filter.{kind}"}), **settings)


def _of(
    target: str, name: str, sentence: str, *changes: tuple[str, str], kind: str = "hash", **settings: Any
) -> Mutant:
    return _filter(name, kind, sentence, edit(f"{FILTERS}:{target}", *changes), **settings)


def _sliding(method: str, name: str, sentence: str, *changes: tuple[str, str], **settings: Any) -> Mutant:
    return _of(f"OracleSlidingFilter.{method}", name, sentence, *changes, kind="sliding", **settings)


_SIGNATURE = "(fid >> 17) & ((1 << width) - 1)"

MUTANTS: tuple[Mutant, ...] = (
    _of("_Counting.should_be_filtered", "admits-everything", "no admission at all",
        ("self.add(fid, count) < threshold", "self.add(fid, count) < 0"), deviation=30),
    _of("_Counting.should_be_filtered", "admits-one-late", "an id kept out once more", ("< threshold", "<= threshold")),
    _of("_Counting.should_be_filtered", "admits-one-early", "the present call counted before it is judged",
        ("self.add(fid, count) < threshold", "self.add(fid, count) + count < threshold")),
    _of("_Counting.should_be_filtered", "counts-without-threshold", "ids counted where there is no threshold",
        ("if threshold <= 0:", "if threshold <= 0 and self.add(fid, count) >= 0:"), killed_by=("filter/",)),
    _of("_Counting.should_be_filtered", "judges-without-counting", "a call that counts nothing",
        ("self.add(fid, count)", "self.get(fid)")),
    _of("_Cells.bump", "count-to-fourteen", "counts that end at 14", ("15 if old + count >= 15",
        "14 if old + count >= 14")),
    _of("_Cells.bump", "count-wraps", "counts that wrap at 16", ("(15 if old + count >= 15 else old + count)",
        "(old + count & 15)")),
    _of("_Cells.bump", "count-by-one", "one counted a call, however many it reports", ("count = min(count, 15)",
        "count = min(count, 1)")),
    _of("_Cells.bump", "returns-count-after", "the count after the call", ("return old", "return self.cells[at] & 15")),
    _of("_Cells.probe", "probe-one-short", "a probe that gives up one cell early", ("range(self.probes)",
        "range(self.probes - 1)")),
    _of("_Cells.probe", "probe-one-long", "a probe that gives up one cell late", ("range(self.probes)",
        "range(min(self.probes + 1, 64))")),
    _of("_Cells.probe", "probe-free-only", "a probe that ends at free cells only",
        ("cell == 0 or cell >> 4 == self.signature(fid)", "cell == 0")),
    _of("_Cells.probe", "probe-wraps", "a probe that wraps at the end of the cells",
        ("cell = self.cells[position + step]", "cell = self.cells[(position + step) % self.total_size]"),
        ("return position + step", "return (position + step) % self.total_size")),
    _of("_Cells.probe", "position-of-capacity", "positions modulo the capacity", ("hashed % self.total_size",
        "hashed % self.capacity")),
    _of("_Cells.signature", "signature-from-bit-16", "a signature from bit 16 on", (_SIGNATURE,
        "(fid >> 16) & ((1 << width) - 1)")),
    _of("_Cells.signature", "signature-from-hash", "a signature from the hash", (_SIGNATURE,
        "splitmix64(fid & U64) >> (64 - width)")),
    _of("splitmix64", "hash-is-identity", "the id as its own hash", ("return z ^ (z >> 31)", "return fid & U64")),
    _of("splitmix64", "hash-other-shift", "a hash with another last shift", ("return z ^ (z >> 31)",
        "return z ^ (z >> 33)")),
    _of("OracleHashFilter.__init__", "fill-rate-of-two", "a fill rate of 2", ("fill_rate: float = 1.5",
        "fill_rate: float = 2.0")),
    _of("OracleHashFilter.add", "failed-probe-keeps-out", "a full neighbourhood that keeps ids out", ("return 15",
        "return 0")),
    _of("OracleHashFilter.add", "zero-takes-a-cell", "a count of 0 that takes a cell",
        ('if count == 0 and "filter_zero_count" not in self.quirks:', "if False:"),
        quirks="default -filter_zero_count"),
    _sliding("add", "sliding-zero-takes-a-cell", "a count of 0 that takes a cell",
             ('if count == 0 and "filter_zero_count" not in self.quirks:', "if False:"),
             quirks="default -filter_zero_count"),
    _of("OracleHashFilter.get", "unknown-reads-fifteen", "15 for an id that was never counted",
        ("15 if at < 0 else self.split.cells[at] & 15",
        "15 if at < 0 or not self.split.cells[at] else self.split.cells[at] & 15")),
    _sliding("__init__", "sliding-no-least-capacity", "capacities below 300 taken as they are", ("max(capacity, 300)",
        "max(capacity, 30)")),
    _sliding("__init__", "sliding-four-splits", "four splits at least, not five", ("max(split_num, 5)",
        "max(split_num, 4)")),
    _sliding("__init__", "sliding-split-of-k", "the capacity divided by all splits", ("self.capacity // (self.k - 1)",
        "self.capacity // self.k")),
    _sliding("__init__", "sliding-fill-rate", "a fill rate of 1.5 in the splits", ("1.2, 16, 16", "1.5, 16, 16")),
    _sliding("__init__", "sliding-long-probes", "probes of 64 cells in the splits", ("1.2, 16, 16", "1.2, 16, 64")),
    _sliding("_forward", "sliding-looks-at-head-only", "ids sought in the head alone", ("range(2)", "range(1)")),
    _sliding("_backward", "sliding-forgets", "no look back", ("return split.cells[at] & 15", "return 0")),
    _sliding("_backward", "sliding-window-too-long", "one split more in the backward window", ("self.k - 2",
        "self.k - 1"),
             survives="the split that is looked at beyond the window is the one after the head, kept clear; what "
             "overflowed into it is found there by the forward search already"),
    _sliding("_backward", "sliding-window-too-short", "one split fewer in the backward window", ("self.k - 2",
        "self.k - 3")),
    _sliding("_backward", "sliding-oldest-first", "the oldest split asked first",
        ("for step in range(1, min(self.head_increment, self.k - 2) + 1):",
        "for step in range(min(self.head_increment, self.k - 2), 0, -1):")),
    _sliding("add", "sliding-starts-anew", "a count that starts anew in every split",
        ("split.bump(at, fid, old + count)", "split.bump(at, fid, count)")),
    _sliding("add", "sliding-clears-nothing", "splits that are never cleared",
        ("self.splits[(self.head + 1) % self.k].clear()", "pass")),
    _sliding("add", "sliding-clears-head", "the new head cleared in place of the one after",
        ("self.splits[(self.head + 1) % self.k].clear()", "self.splits[self.head].clear()")),
    _sliding("add", "sliding-head-stays", "a head that never moves", ("if self.splits[self.head].full:", "if False:")),
    _of("_Cells.full", "full-at-capacity", "a split full at its capacity, not one before", ("self.capacity - 1",
        "self.capacity"), kind="sliding"),
)  # fmt: skip
