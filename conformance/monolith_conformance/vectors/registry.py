"""Which replayer runs which file: the place where other parts of the suite plug theirs in.

A replayer is a generator over a file's cases, decorated with the file names that it takes::

    @replays("filters")
    def replay_filters(document, setting):
        for case in document["cases"]:
            yield from judged(case["name"], "filters", lambda: run_case(case, setting))

Modules with replayers are listed in ``MODULES`` and imported on first use.
"""

from __future__ import annotations

import fnmatch
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["MODULES", "Outcome", "Replayer", "Setting", "judged", "replayer_for", "replays"]

Status = Literal["passed", "failed", "unsupported"]


@dataclass(frozen=True)
class Setting:
    """How cases are run.

    Attributes
    ----------
    target : str
        ``"cpu"``, ``"cuda"`` or ``"oracle"`` (the suite's own truth instead of the engine).
    profile : str
        ``"ieee"`` or ``"avx"``.
    presets : tuple of str
        Presets of switches under which cases without ``quirks`` are run, besides with no switch at all. Cases with
        ``quirks`` run with exactly those on.
    """

    target: str = "cpu"
    profile: str = "ieee"
    presets: tuple[str, ...] = ("default", "original", "clean")

    def switch_sets(self, quirks: Any) -> list[tuple[str, str]]:
        """(label, text for ``Quirks.parse``) of every set of switches that a case has to be run with."""
        if quirks:
            text = "clean " + " ".join(f"+{name}" for name in quirks)
            return [("+" + "+".join(quirks), text)]
        return [(preset, preset) for preset in self.presets]


@dataclass(frozen=True)
class Outcome:
    """What became of one case: ``rule`` is the group it is counted under, ``note`` explains anything but a pass."""

    case: str
    rule: str
    status: Status
    note: str = ""


Replayer = Callable[[dict[str, Any], Setting], Iterator[Outcome]]

MODULES = [
    "monolith_conformance.vectors.row_cases",
    "monolith_conformance.vectors.row_entries",
    "monolith_conformance.vectors.feature_cases",
    "monolith_conformance.vectors.table_cases",
    "monolith_conformance.vectors.filter_cases",
    "monolith_conformance.vectors.config_cases",
]
"""Modules that register replayers; one that is not there is skipped."""

_REPLAYERS: list[tuple[str, Callable[[dict[str, Any]], bool] | None, Replayer]] = []


def replays(*names: str, when: Callable[[dict[str, Any]], bool] | None = None) -> Callable[[Replayer], Replayer]:
    """Register a replayer for files whose stem matches one of ``names`` (shell patterns).

    ``when(document)`` makes it also take files of any name whose content it recognises.
    """

    def register(replayer: Replayer) -> Replayer:
        for name in names:
            _REPLAYERS.append((name, None, replayer))
        if when is not None:
            _REPLAYERS.append(("*", when, replayer))
        return replayer

    return register


def _load() -> None:
    for module in MODULES:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise


def replayer_for(stem: str, document: Any) -> Replayer | None:
    """The replayer of a file, by its stem first and by its content else; None for an unknown kind."""
    _load()
    if not isinstance(document, dict):
        return None
    for pattern, when, replayer in _REPLAYERS:
        if when is None and fnmatch.fnmatchcase(stem, pattern):
            return replayer
    for _, when, replayer in _REPLAYERS:
        if when is not None and when(document):
            return replayer
    return None


def judged(case: str, rule: str, run: Callable[[], str]) -> Iterator[Outcome]:
    """One outcome of ``run()``, which returns "" for a pass and else the first difference.

    ``UnsupportedError`` counts as unsupported; any other exception is a failure that names it.
    """
    from monolith_ref.errors import UnsupportedError

    try:
        note = run()
    except UnsupportedError as error:
        yield Outcome(case, rule, "unsupported", str(error))
    except Exception as error:
        yield Outcome(case, rule, "failed", f"{type(error).__name__}: {error}")
    else:
        yield Outcome(case, rule, "failed" if note else "passed", note)
