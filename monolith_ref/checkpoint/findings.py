"""What a look into files found: severity, code, file, record, byte offset, text. Rule: checkpoints 5.4."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from monolith_ref.checkpoint.damage import CodedError
from monolith_ref.errors import CheckpointError, CheckpointGapError

__all__ = ["ERRORS", "WARNINGS", "Finding", "Findings"]

ERRORS = frozenset(
    [
        "no_files",
        "missing_shard",
        "shard_count_differs",
        "missing_meta",
        "bad_length_crc",
        "bad_data_crc",
        "truncated_record",
        "bad_block",
        "block_too_large",
        "truncated_block",
        "malformed_message",
        "missing_id",
        "duplicate_id",
        "meta_count_short",
        "duplicate_table",
        "wrong_width",
        "wrong_optimizer",
        "bad_cell",
        "bad_offset",
        "splits_differ",
        "manifest_malformed",
        "manifest_mismatch",
        "broken_chain",
    ]
)
WARNINGS = frozenset(
    [
        "trailing_bytes",
        "surplus_records",
        "unsorted_tables",
        "unknown_field",
        "mixed_widths",
        "leftover_temporary",
        "time_beyond_u32",
        "non_finite",
        "large_payload",
    ]
)
SHOWN = 10
"""Findings of one code in one file that are listed; the last one counts the rest."""


@dataclass(frozen=True)
class Finding:
    """One finding; ``record`` and ``offset`` are None where it is about a file or a set."""

    severity: Literal["error", "warning"]
    code: str
    file: str
    record: int | None
    offset: int | None
    text: str


@dataclass
class Findings:
    """All findings of one look, and what was looked at."""

    prefix: str
    kind: str = ""
    files: int = 0
    records: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    found: list[Finding] = field(default_factory=list)
    _counts: dict[tuple[str, str], int] = field(default_factory=dict)
    _listed: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(
        self,
        code: str,
        file: Path | str,
        text: str,
        place: tuple[int | None, int | None] = (None, None),
        more: int = 0,
    ) -> None:
        """Note a finding (``more``: others of its kind that are not listed)."""
        severity: Literal["error", "warning"] = "error" if code in ERRORS else "warning"
        key = (code, str(file))
        self._counts[key] = self._counts.get(key, 0) + 1 + more
        self._listed[key] = self._listed.get(key, 0) + 1
        if self._listed[key] <= SHOWN:
            self.found.append(Finding(severity, code, str(file), *place, text))

    def add_error(self, error: CheckpointError, file: Path) -> None:
        """Note an error that reading raised."""
        code = error.code if isinstance(error, CodedError) else "malformed_message"
        if isinstance(error, CheckpointGapError):
            code = "broken_chain"
        text = str(error)
        where = error.path or str(file)
        for part in (error.path, None if error.record is None else f"record {error.record}"):
            text = text.removeprefix(f"{part}").removeprefix(", ") if part else text
        if error.offset is not None:
            text = text.removeprefix(f"byte {error.offset}")
        self.add(code, where, text.removeprefix(": "), (error.record, error.offset))

    @property
    def listed(self) -> list[Finding]:
        """The findings, the last of each kind with a count of those that are not listed."""
        last = {(finding.code, finding.file): k for k, finding in enumerate(self.found)}
        listed = []
        for k, finding in enumerate(self.found):
            key = (finding.code, finding.file)
            hidden = self._counts[key] - min(self._listed[key], SHOWN)
            if last[key] == k and hidden:
                finding = replace(finding, text=f"{finding.text} (and {hidden:,} more)")
            listed.append(finding)
        return listed

    @property
    def errors(self) -> int:
        """Number of errors, those that are not listed included."""
        return sum(count for (code, _file), count in self._counts.items() if code in ERRORS)

    @property
    def warnings(self) -> int:
        """Number of warnings, those that are not listed included."""
        return sum(count for (code, _file), count in self._counts.items() if code not in ERRORS)

    def to_json(self) -> dict[str, Any]:
        """A plain object."""
        return {
            "prefix": self.prefix,
            "kind": self.kind,
            "files": self.files,
            "records": self.records,
            "rows": self.rows,
            "errors": self.errors,
            "warnings": self.warnings,
            "findings": [asdict(finding) for finding in self.listed],
        }
