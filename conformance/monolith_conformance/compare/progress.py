"""What rank 0 shows while it works: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from monolith_conformance.compare.job import Job
from monolith_conformance.compare.run import Progress

__all__ = ["progress_of"]


@contextmanager
def progress_of(job: Job, layout: str, target: str, quiet: bool) -> Iterator[Progress]:
    """What to call after every step; it writes to standard error."""
    if job.communicator.rank != 0 or quiet:
        yield lambda made, loss: None
        return
    if not sys.stderr.isatty():
        every = job.settings["training.log_every"]

        def line(made: int, loss: float) -> None:
            if made % every == 0 and made < job.steps:
                print(f"{layout}, {target}: step {made} of {job.steps}, loss {loss:.6g}", file=sys.stderr, flush=True)

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"{layout}, {target}", total=job.steps)

        def advance(made: int, loss: float) -> None:
            bar.update(task, completed=made, description=f"{layout}, {target}, loss {loss:.4g}")

        yield advance
