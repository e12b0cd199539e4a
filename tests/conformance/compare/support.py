"""Jobs of the comparison without the command line: small, serial, in this process."""

from __future__ import annotations

from pathlib import Path

from monolith_conformance.compare.job import DEFAULTS, Job, Request, make_job
from monolith_conformance.compare.results import RunResult
from monolith_conformance.compare.run import run_one
from monolith_kernels.target import target

from monolith_ref.sync.communicator import Communicator, SerialCommunicator
from monolith_ref.training.settings import Settings

__all__ = ["SMALL", "job_of", "run_small"]

SMALL = {"steps": "2", "batch-size": "48"}
"""Enough rows for ids to repeat within a step and from step to step."""


def job_of(
    options: dict[str, str] | None = None, request: Request | None = None, communicator: Communicator | None = None
) -> Job:
    """A job with the settings of ``SMALL`` unless ``options`` say otherwise; the environment is not read."""
    settings = Settings.resolve({**SMALL, **(options or {})}, environment={}, defaults=DEFAULTS)
    return make_job(settings, request or Request(), communicator or SerialCommunicator())


def run_small(
    directory: Path,
    layout: str = "multi",
    options: dict[str, str] | None = None,
    request: Request | None = None,
    communicator: Communicator | None = None,
) -> RunResult:
    """Run one layout on the CPU."""
    job = job_of(options, request, communicator)
    return run_one(job, layout, target("cpu"), directory, lambda made, loss: None)
