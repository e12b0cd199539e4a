"""How a job of several ranks ends: together, quickly, with one message. Rule: sync_training 4, job 5."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["run_guarded"]


def run_guarded(main: Callable[[], int], debug: bool = False) -> int:
    """Run ``main`` and return the exit code for ``sys.exit``.

    Errors of ours on which all ranks agree are printed once, by rank 0, as one line ``monolith-ref: error: ...``
    (2 usage and input, 3 environment). An error on some ranks only is printed by them with their rank, any other
    exception with its traceback, and the whole job is aborted (4). Ctrl-C aborts all ranks.
    """
    raise NotImplementedError
