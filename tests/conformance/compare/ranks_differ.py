"""Run by ``test_command`` under mpiexec: each rank asks for another seed."""

from __future__ import annotations

import os
import sys

from monolith_ref.cli.app import run

if __name__ == "__main__":
    rank = os.environ.get("PMI_RANK", "0")
    sys.exit(run(["compare", "--steps", "1", "--seed", rank, "--model-dir", sys.argv[1]]))
