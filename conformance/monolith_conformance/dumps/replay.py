"""Replays a directory in the format of ``golden/model_dump``: files, scenarios, damaged files, flips."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

from monolith_conformance.dumps.damaged import replay_corrupted, replay_flips
from monolith_conformance.dumps.files import replay_file
from monolith_conformance.dumps.recorder_cases import replay_scenario
from monolith_conformance.dumps.results import Table
from monolith_ref.errors import DumpError
from monolith_ref.model_dump import read_dump

__all__ = ["run_dumps"]


def run_dumps(directory: str | PathLike[str], told: Callable[[], object] = lambda: None) -> Table:
    """Replay every document of a directory; what a document is, its content says. ``told`` is called after each check.

    Raises
    ------
    DumpError
        ``unreadable`` where there is no such directory, or nothing to replay in it.
    """
    folder = Path(directory)
    documents = sorted(folder.glob("*.json")) if folder.is_dir() else []
    files = sorted(folder.glob("*.pb")) if folder.is_dir() else []
    if not documents and not files:
        raise DumpError("there are no dump files or expectations in it", kind="unreadable", path=str(folder))
    table = Table(told=told)
    described = set()
    for path in documents:
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DumpError(f"not JSON ({error})", kind="unreadable", path=str(path)) from None
        try:
            described.add(_replay(folder, path, document, table))
        except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
            table.add("documents", path.name, [f"not in a known format: {error!r}"])
    for path in files:
        if path.name not in described:
            table.add("files without expectations", path.name, _round_trip(path))
    return table


def _replay(folder: Path, path: Path, document: dict[str, Any], table: Table) -> str | None:
    if "scenarios" in document:
        for scenario in document["scenarios"]:
            for column in ("clean", "original_newest"):
                if column in scenario:
                    problems = _guarded(document, scenario, column)
                    table.add(f"recorder, {column.replace('_', ' ')}", scenario["name"], problems)
    elif "cases" in document:
        replay_corrupted(folder, document, table)
    elif "flips" in document:
        replay_flips(folder, document, table)
    else:
        name = str(document.get("file", f"{path.stem}.pb"))
        replay_file(folder / name, document, table)
        return name
    return None


def _guarded(document: dict[str, Any], scenario: dict[str, Any], column: str) -> list[str]:
    try:
        return replay_scenario(document, scenario, column)
    except Exception as error:  # a call that the replay does not know is a failure of that scenario alone
        return [f"cannot be replayed: {error!r}"]


def _round_trip(path: Path) -> list[str]:
    try:
        dump = read_dump(path)
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "copy.pb"
            dump.write(copy)
            return [] if copy.read_bytes() == path.read_bytes() else ["read and written, it is not the same"]
    except DumpError as error:
        return [str(error)]
