"""What a replay came to, by kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

__all__ = ["Failure", "Table"]


@dataclass(frozen=True)
class Failure:
    """One check that did not come out: its kind, which case, and how."""

    kind: str
    case: str
    problem: str


@dataclass
class Table:
    """Passed and failed checks per kind, in the order in which the kinds came up; ``told`` is called after each."""

    passed: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    told: Callable[[], object] = lambda: None

    @property
    def ok(self) -> bool:
        """Whether something was checked and nothing failed."""
        return bool(self.passed) and not self.failures

    def add(self, kind: str, case: str, problems: Iterable[str]) -> None:
        """Count one check; any problem makes it a failed one."""
        found = list(problems)
        self.passed.setdefault(kind, 0)
        self.failed.setdefault(kind, 0)
        if found:
            self.failed[kind] += 1
            self.failures += [Failure(kind, case, problem) for problem in found]
        else:
            self.passed[kind] += 1
        self.told()

    def equal(self, kind: str, case: str, got: object, want: object) -> None:
        """Count one comparison."""
        self.add(kind, case, [] if got == want else [first_difference(got, want)])

    def lines(self) -> list[str]:
        """The table as text."""
        width = max([len(kind) for kind in self.passed] + [4])
        out = [f"{'kind':<{width}}  passed  failed"]
        out += [f"{kind:<{width}}  {self.passed[kind]:>6}  {self.failed[kind]:>6}" for kind in self.passed]
        out.append(f"{'all':<{width}}  {sum(self.passed.values()):>6}  {sum(self.failed.values()):>6}")
        return out


def first_difference(got: object, want: object, path: str = "") -> str:
    """Where two values differ first, by path."""
    if isinstance(got, dict) and isinstance(want, dict):
        for key in [*want, *(key for key in got if key not in want)]:
            if key not in got:
                return f"{path}.{key}: missing, expected {want[key]!r:.300}"
            if key not in want:
                return f"{path}.{key}: {got[key]!r:.300} where nothing is expected"
            if got[key] != want[key]:
                return first_difference(got[key], want[key], f"{path}.{key}")
    if isinstance(got, list) and isinstance(want, list):
        for place, (left, right) in enumerate(zip(got, want, strict=False)):
            if left != right:
                return first_difference(left, right, f"{path}[{place}]")
        return f"{path}: {len(got)} items, expected {len(want)}"
    return f"{path or '.'}: got {got!r:.300}, expected {want!r:.300}"
