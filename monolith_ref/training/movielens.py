"""Fetch MovieLens-100K and join its tables into one TSV with a typed header. Rule: job 1.

The data lie inside the ``recbole`` wheel, which pip downloads into a temporary folder; only the joined file is kept::

    python -m monolith_ref.training.movielens [--wheel recbole-*.whl] [data/ml-100k.tsv]

Columns: those of the ratings (user_id, item_id, rating, timestamp), of users (age, gender, occupation, zip_code)
and of items (movie_title, release_year, class: the genres, separated by blanks).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from monolith_ref.errors import EnvironmentMissing, FormatError, MonolithRefError

__all__ = ["join", "main"]

_FOLDER = "recbole/dataset_example/ml-100k/ml-100k"


def _table(archive: zipfile.ZipFile, suffix: str) -> tuple[list[str], list[list[str]]]:
    name = f"{_FOLDER}.{suffix}"
    try:
        text = archive.read(name).decode()
    except KeyError:
        raise FormatError(f"the wheel has no {name}", path=archive.filename) from None
    header, *rows = [line.split("\t") for line in text.replace("\r\n", "\n").split("\n") if line]
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise FormatError(f"{name}: {len(row)} cells, the header has {len(header)}", record=number)
    return header, rows


def join(wheel: Path, output: Path) -> int:
    """Write the joined TSV (as a whole or not at all); returns the number of ratings. FormatError for another
    wheel."""
    with zipfile.ZipFile(wheel) as archive:
        header, ratings = _table(archive, "inter")
        user_header, users = _table(archive, "user")
        item_header, items = _table(archive, "item")
    by_user = {row[0]: row[1:] for row in users}
    by_item = {row[0]: row[1:] for row in items}
    lines = ["\t".join([*header, *user_header[1:], *item_header[1:]])]
    for number, row in enumerate(ratings):
        if row[0] not in by_user or row[1] not in by_item:
            raise FormatError(f"rating {number} names user {row[0]} and item {row[1]}, one of which is unknown")
        lines.append("\t".join([*row, *by_user[row[0]], *by_item[row[1]]]))
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f"{output.name}.partial")
    partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    os.replace(partial, output)
    return len(ratings)


def _download(folder: str) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", folder, "recbole"]
    if subprocess.run(command, check=False).returncode:
        raise EnvironmentMissing("pip could not download recbole; is the package index reachable?")
    return next(Path(folder).glob("recbole-*.whl"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the command; returns the exit code."""
    parser = argparse.ArgumentParser(description="Fetch MovieLens-100K and join its tables into one TSV.")
    parser.add_argument("output", nargs="?", type=Path, default=Path("data/ml-100k.tsv"))
    parser.add_argument("--wheel", type=Path, help="a recbole wheel that is here already")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows = join(options.wheel or _download(folder), options.output)
    except (MonolithRefError, OSError, zipfile.BadZipFile) as error:
        print(f"movielens: error: {error}", file=sys.stderr)
        return 3 if isinstance(error, EnvironmentMissing) else 2
    print(f"{options.output}: {rows} ratings")
    return 0


if __name__ == "__main__":
    sys.exit(main())
