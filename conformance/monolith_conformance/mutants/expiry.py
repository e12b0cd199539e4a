"""Wrong variants of expiry: the limit, whose limit it is, and what time it is."""

from __future__ import annotations

from typing import Any

from monolith_conformance.mutants.mutant import Mutant, edit

__all__ = ["MUTANTS"]


def _stale(name: str, sentence: str, *changes: tuple[str, str], method: str = "stale", **settings: Any) -> Mutant:
    settings.setdefault("killed_by", ("table/trace/", "table/expiry/"))
    return Mutant(
        name, sentence, (edit(f"oracle.table:OracleTable.{method}", *changes),), about=frozenset({"expiry"}), **settings
    )


_SLOT = "(fid >> 48) & 0x7FFF"
_AGE = "reference - time >= days * DAY"

MUTANTS: tuple[Mutant, ...] = (
    _stale("expiry-beyond-the-limit", "rows kept at exactly the limit", (_AGE, "reference - time > days * DAY"),
        deviation=23),
    _stale("expiry-one-limit", "the default limit for every slot", (f"self.days.get({_SLOT}, self.default_days)",
        "self.default_days"), deviation=23),
    _stale("expiry-in-seconds", "limits in seconds", (_AGE, "reference - time >= days")),
    _stale("expiry-of-23-hours", "a day of 23 hours", (_AGE, "reference - time >= days * (DAY - 3600)")),
    _stale("expiry-whole-days", "ages in whole days",
           (_AGE, "reference // DAY - time // DAY >= days")),
    _stale("expiry-by-latest-update", "ages against the table's latest update where a time is given", (_AGE,
        "self.max_ts - time >= days * DAY")),
    _stale("expiry-age-without-sign", "the absolute value of an age", (_AGE, "abs(reference - time) >= days * DAY")),
    _stale("expiry-age-unsigned", "an unsigned age, huge for rows of the future", (_AGE,
        "(reference - time) % 2**32 >= days * DAY")),
    _stale("expiry-slot-of-16-bits", "slots of sixteen bits, the sign among them", (_SLOT, "(fid >> 48) & 0xFFFF"),
        deviation=25),
    _stale("expiry-slot-of-old-layout", "the slot of the old layout, the upper ten bits", (_SLOT,
        "(fid >> 54) & 0x3FF"), deviation=25),
    _stale("expiry-unlisted-stay", "rows of unlisted slots that never expire", (", self.default_days)", ", 1 << 40)")),
    _stale("expiry-zero-is-never", "a limit of 0 days that keeps rows for ever", (_AGE,
        "days > 0 and reference - time >= days * DAY")),
    _stale("expiry-first-of-slot", "the first limit of a slot that is listed twice",
           ("entry in expiry.slot_expire_times", "entry in reversed(expiry.slot_expire_times)"), method="__init__"),
    _stale("expiry-counts-kept", "the number of rows that stay", ("return len(gone)", "return len(self.rows)"),
        method="evict"),
    _stale("expiry-removes-first-only", "one stale row a call", ("for fid in gone:", "for fid in gone[:1]:"),
        method="evict"),
)  # fmt: skip
