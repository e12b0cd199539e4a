"""A folder of data files with an index: what each is, which schema it has, its size and SHA-256."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

from monolith_conformance.runner import SUITE_VERSION
from monolith_ref.errors import StateError

__all__ = ["FORMAT", "VERSION", "Bundle", "schema_text"]

FORMAT = "monolith-ref data"
VERSION = 1
"""Grows when a file changes its form; new files and new fields do not change it."""


def schema_text(name: str) -> str:
    """The text of one JSON Schema."""
    return (files("monolith_conformance") / "export" / "schemas" / f"{name}.schema.json").read_text()


class Bundle:
    """Files written below ``folder``, which must be absent, empty, or an export of before (its files are replaced).

    Raises :class:`~monolith_ref.errors.StateError` where the folder holds something else.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entries: dict[str, dict[str, Any]] = {}
        self._schemas: set[str] = set()
        if folder.exists():
            self._remove_former()
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, path: str, data: bytes | str, kind: str, about: str, *, schema: str = "", **more: Any) -> None:
        """Write one file and note it; ``schema`` names that of a JSON file, or of each line of a JSONL file."""
        raw = data.encode() if isinstance(data, str) else data
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(raw)
        entry: dict[str, Any] = {"path": path, "kind": kind, "about": about}
        if schema:
            self._schemas.add(schema)
            entry["schema"] = f"schemas/{schema}.schema.json"
        entry |= {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest(), **more}
        self._entries[path] = entry

    def add_json(self, path: str, document: Any, kind: str, about: str, *, schema: str) -> None:
        """Write a document, readable by people as well."""
        self.add(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n", kind, about, schema=schema)

    def add_lines(self, path: str, lines: Iterable[str], kind: str, about: str, *, schema: str, **more: Any) -> None:
        """Write lines of JSON."""
        self.add(path, "".join(f"{line}\n" for line in lines), kind, about, schema=schema, **more)

    def finish(self, **more: Any) -> int:
        """Write the schemas and the index; returns the number of files."""
        for name in sorted({*self._schemas, "index"}):
            self.add(f"schemas/{name}.schema.json", schema_text(name), "schema", f"form of what the index calls {name}")
        index = {
            "format": FORMAT,
            "version": VERSION,
            "suite": SUITE_VERSION,
            "schema": "schemas/index.schema.json",
            **more,
            "files": [self._entries[path] for path in sorted(self._entries)],
        }
        (self.folder / "index.json").write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n")
        return len(self._entries) + 1

    def _remove_former(self) -> None:
        index = self.folder / "index.json"
        if not any(self.folder.iterdir()):
            return
        try:
            former = json.loads(index.read_text())
            if former["format"] != FORMAT:
                raise ValueError(former["format"])
            names = [str(entry["path"]) for entry in former["files"]]
        except (OSError, ValueError, KeyError, TypeError):
            raise StateError(f"{self.folder} is neither empty nor an export of before; choose another folder") from None
        root = self.folder.resolve()
        for name in names:
            path = (root / name).resolve()
            if path.is_relative_to(root):
                path.unlink(missing_ok=True)
        index.unlink()
