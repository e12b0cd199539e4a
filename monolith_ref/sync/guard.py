"""How a job of several ranks ends: together, quickly, with one message. Rule: sync_training 4, job 5."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import traceback
from collections.abc import Callable
from types import TracebackType

from monolith_ref.errors import EnvironmentMissing, MonolithRefError, SyncError
from monolith_ref.sync.world import current_communicator, launcher, open_communicator

__all__ = ["EXIT_ENVIRONMENT", "EXIT_FAULT", "EXIT_USAGE", "exit_code_of", "install_excepthook", "run_guarded"]

EXIT_USAGE, EXIT_ENVIRONMENT, EXIT_FAULT = 2, 3, 4

INTERRUPTED = "interrupted"

DEFAULT_TIMEOUT = 60.0
"""Seconds, where the job ends before a communicator was made from settings."""

PATIENCE = 10.0
"""Seconds that a rank with an error waits for others that may have the same one, before it speaks for itself."""


def exit_code_of(error: MonolithRefError) -> int:
    """The exit code that an error of ours stands for."""
    if isinstance(error, EnvironmentMissing):
        return EXIT_ENVIRONMENT
    return EXIT_FAULT if isinstance(error, SyncError) else EXIT_USAGE


def run_guarded(main: Callable[[], int], debug: bool = False) -> int:
    """Run ``main`` and return the exit code for ``sys.exit``.

    Errors of ours on which all ranks agree are printed once, by rank 0, as one line ``monolith-ref: error: ...``
    (2 usage and input, 3 environment, 4 ranks). An error on some ranks only is printed by them with their rank, any
    other exception with its traceback, and the whole job is aborted. Ctrl-C aborts all ranks. ``debug``: tracebacks
    of our own errors too. The code of a run that ends is the largest of all ranks.
    """
    message = ""
    try:
        code = main()
    except MonolithRefError as error:
        code, message = exit_code_of(error), str(error)
        if debug:
            traceback.print_exc()
    except KeyboardInterrupt:
        return _end_all(INTERRUPTED, EXIT_FAULT)
    except SystemExit as error:
        if isinstance(error.code, str):
            code, message = 1, error.code
        else:
            code = error.code if isinstance(error.code, int) else 0
    except BaseException:
        return _end_all(traceback.format_exc().rstrip(), EXIT_FAULT, crash=True)
    return _end_together(code, message)


def install_excepthook() -> None:
    """From now on an exception that nobody catches, in any thread, ends every rank."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        text = "".join(traceback.format_exception(kind, error, trace)).rstrip()
        interrupted = issubclass(kind, KeyboardInterrupt)
        _end_all(INTERRUPTED if interrupted else text, EXIT_FAULT, crash=not interrupted)

    def thread_hook(what: threading.ExceptHookArgs) -> None:
        if what.exc_type is not SystemExit and what.exc_value is not None:
            hook(what.exc_type, what.exc_value, what.exc_traceback)

    sys.excepthook = hook
    threading.excepthook = thread_hook


def _end_together(code: int, message: str) -> int:
    """Agree with the other ranks on how this ends; print what is to be printed."""
    made = current_communicator()
    started = launcher()
    if made is None and message and started is not None and started.ranks > 1:
        # Too early for main to have made one: the others may have come further.
        try:
            open_communicator("mpi", DEFAULT_TIMEOUT)
        except MonolithRefError:
            # There is no communicator to be had, and every rank finds that out by itself.
            if started.rank == 0:
                _say(message)
            return code
        made = current_communicator()
    if made is None:
        if message:
            _say(message)
        return code
    fingerprint = hashlib.sha256(message.encode()).digest()[:16]
    patience = PATIENCE if code or made.timeout <= 0 else made.timeout
    if code == 0 and made.timeout <= 0:
        patience = float("inf")
    outcomes = made.outcomes(code, fingerprint, patience)
    if outcomes is not None and all(outcome == outcomes[0] for outcome in outcomes):
        if message and made.rank == 0:
            _say(message)
        made.close()
        return code
    if message:
        _say(message, made.rank)
    if outcomes is None:
        if not message and code == 0:
            _say("the other ranks did not come to the end of the job", made.rank)
        made.abort(code or EXIT_FAULT)
    made.close()
    return max(other for other, _ in outcomes)


def _end_all(text: str, code: int, crash: bool = False) -> int:
    """Say what happened on this rank and end every rank; returns only where there are no others."""
    made = current_communicator()
    started = launcher()
    several = made is not None or (started is not None and started.ranks > 1)
    rank = made.rank if made is not None else started.rank if started is not None else 0
    speaks = made.claim_end() if made is not None else rank == 0
    if speaks or text != INTERRUPTED:
        _say(text, rank if crash and several else None, crash)
    if made is not None:
        made.abort(code)
    if several:
        # Others may be waiting for this rank inside MPI_Init.
        try:
            open_communicator("mpi", DEFAULT_TIMEOUT).abort(code)
        except MonolithRefError:
            return code
    return code


def _say(text: str, rank: int | None = None, crash: bool = False) -> None:
    """One write, so that lines of several ranks do not mix."""
    who = "" if rank is None else f"rank {rank}: "
    sys.stdout.flush()
    sys.stderr.flush()
    line = f"monolith-ref: {who}{'' if crash else 'error: '}{text}\n"
    os.write(2, line.encode(errors="backslashreplace"))
