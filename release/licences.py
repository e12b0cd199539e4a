"""The software bill of materials of an installation, and whether its licences may be shipped beside Apache-2.0.

    python -m release.licences [--output sbom.cdx.json]

Walks the requirements of ``monolith-ref`` (and of the extras named by ``--extra``) through the metadata of what is
installed, and writes CycloneDX 1.5. Exit code 1: a licence is unknown or not on the list below.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

ALLOWED = re.compile(
    r"apache|bsd|mit\b|mit-|\bisc\b|psf|python software foundation|mpl-2|mozilla public license 2|hpnd|zlib|unlicense"
    r"|mpich|0bsd|cc0|nvidia|public domain",
    re.IGNORECASE,
)
"""Permissive licences, and those that ask for their own files only. NVIDIA's toolkit wheels may be depended upon."""


def requirements(found: Distribution, extras: Iterable[str]) -> list[str]:
    """Names that a distribution requires: always, or for one of these extras; other markers are taken as true."""
    names = []
    for line in found.requires or []:
        requirement, _, marker = line.partition(";")
        asked = re.search(r"extra\s*==\s*['\"]([\w.-]+)['\"]", marker)
        if asked is None or asked.group(1) in extras:
            names.append(re.split(r"[\s<>=!~\[(]", requirement.strip(), maxsplit=1)[0])
    return names


def closure(root: str, extras: list[str]) -> dict[str, Distribution]:
    """Every installed distribution that ``root`` needs, itself included, by normalised name."""
    reached: dict[str, Distribution] = {}
    waiting = [(root, extras)]
    while waiting:
        name, asked = waiting.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in reached:
            continue
        try:
            reached[key] = distribution(name)
        except PackageNotFoundError:
            continue  # its marker does not hold here
        waiting += [(other, []) for other in requirements(reached[key], asked)]
    return dict(sorted(reached.items()))


def licence_of(found: Distribution) -> str:
    """What the metadata says: the SPDX expression, else the classifiers, else the first line of the licence field."""
    expression = found.metadata.get("License-Expression")
    if expression:
        return str(expression)
    classifiers = [
        line.rpartition("::")[2].strip()
        for line in found.metadata.get_all("Classifier") or []
        if line.startswith("License ::") and line.count("::") > 1
    ]
    return " AND ".join(classifiers) or (found.metadata.get("License") or "").strip().partition("\n")[0] or "unknown"


def bill(found: dict[str, Distribution]) -> dict[str, Any]:
    """The CycloneDX document."""
    components = [
        {
            "type": "library",
            "name": name,
            "version": one.version,
            "purl": f"pkg:pypi/{name}@{one.version}",
            "licenses": [{"license": {"name": licence_of(one)}}],
        }
        for name, one in found.items()
    ]
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components}


def main() -> None:
    """Entry of ``python -m release.licences``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extra", action="append", default=["mpi"], help="an extra to include (may be repeated)")
    parser.add_argument("--output", type=Path, help="file for the bill of materials")
    options = parser.parse_args()
    found = closure("monolith-ref", options.extra)
    if options.output:
        options.output.write_text(json.dumps(bill(found), indent=1) + "\n")
    refused = {name: licence_of(one) for name, one in found.items() if not ALLOWED.search(licence_of(one))}
    for name, one in found.items():
        print(f"{'REFUSED' if name in refused else 'ok':8} {name} {one.version}: {licence_of(one)}")
    if refused:
        raise SystemExit(f"{len(refused)} licences are not on the list: {', '.join(refused)}")


if __name__ == "__main__":
    main()
