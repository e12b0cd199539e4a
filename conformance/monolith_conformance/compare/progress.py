"""What rank 0 shows while it works: a bar on a terminal, else a line now and then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from monolith_conformance.compare.job import Job
from monolith_conformance.compare.run import Progress
from monolith_ref.progress import Bar

__all__ = ["progress_of"]


@contextmanager
def progress_of(job: Job, layout: str, target: str, quiet: bool) -> Iterator[Progress]:
    """What to call after every step; it writes to standard error."""
    if job.communicator.rank != 0 or quiet:
        yield lambda made, loss: None
        return
    name, every = f"{layout}, {target}", job.settings["training.log_every"]
    with Bar(name, job.steps) as bar:

        def tell(made: int, loss: float) -> None:
            if bar.shown:
                bar.update(made, what=f"{name}, loss {loss:.4g}")
            elif made % every == 0 and made < job.steps:
                bar.tell(f"{name}: step {made} of {job.steps}, loss {loss:.6g}")

        yield tell
