"""What a check found, and the whole of it."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Finding", "Report"]


@dataclass(frozen=True)
class Finding:
    """One fact about a file: severity (``error`` or ``warning``), code, place, and a text for people."""

    severity: str
    code: str
    where: str
    what: str


@dataclass
class Report:
    """Findings in order, and how much was looked at."""

    findings: list[Finding] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return all(finding.severity != "error" for finding in self.findings)

    def error(self, code: str, where: str, what: str) -> None:
        """Add an error."""
        self.findings.append(Finding("error", code, where, what))

    def warning(self, code: str, where: str, what: str) -> None:
        """Add a warning."""
        self.findings.append(Finding("warning", code, where, what))

    def count(self, what: str, number: int = 1) -> None:
        """Note that something was looked at."""
        self.checked[what] = self.checked.get(what, 0) + number
