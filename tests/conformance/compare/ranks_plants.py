"""Run by ``test_plants`` under mpiexec: every kind in both layouts, one JSON line each from rank 0."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from monolith_conformance.compare.job import Request
from monolith_conformance.compare.plants import KINDS

from monolith_ref.sync.launch import make_communicator
from tests.conformance.compare.support import run_small


def main() -> None:
    communicator = make_communicator("mpi")
    for kind in KINDS:
        for layout in ("multi", "merged"):
            directory = Path(tempfile.gettempdir()) / "never-written"
            result = run_small(directory, layout, {"steps": "3"}, Request(plant=kind), communicator)
            if communicator.rank == 0:
                findings = [finding.as_dict() for finding in result.findings]
                line = {"kind": kind, "layout": layout, "verdict": result.verdict, "findings": findings}
                print(json.dumps({**line, "differences": result.differences}), flush=True)
    communicator.close()


if __name__ == "__main__":
    main()
