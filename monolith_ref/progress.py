"""How far something has come: one bar on standard error, where that is a terminal, and nothing anywhere else."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["Bar"]


class Bar:
    """A bar while a ``with`` statement runs; it is taken away at the end.

    Parameters
    ----------
    what : str
        What is being done, in a word or two.
    total : int, optional
        How much there is to do; without it the bar tells only that work goes on, and for how long.
    wanted : bool
        False (``--json``, ``--quiet``, a rank other than 0): never shown.
    """

    def __init__(self, what: str, total: int | None = None, *, wanted: bool = True) -> None:
        self._what, self._total, self._done = what, total, 0
        self._wanted, self._in_bytes = wanted, False
        self._bar: Any = None
        self._task: Any = None

    @property
    def shown(self) -> bool:
        """Whether there is a bar on a terminal now."""
        return self._bar is not None

    def __enter__(self) -> Bar:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Show the bar, where somebody can see it."""
        if self.shown or not self._wanted or not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        words = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[amount]}", markup=False)
        columns = (words[0], BarColumn(), words[1], TimeElapsedColumn(), TimeRemainingColumn())
        # What a command prints on standard output may go into a file: it is not to be taken for the terminal's.
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
        self._task = self._bar.add_task(self._what, total=self._total, completed=self._done, amount=self._amount())
        self._bar.start()

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def advance(self, amount: int = 1, total: int | None = None, what: str | None = None) -> None:
        """So much more is done; ``what`` is being done now."""
        self.update(self._done + amount, total, what)

    def update(self, done: int | None = None, total: int | None = None, what: str | None = None) -> None:
        """So much is done in all, of so much; what is None stays as it is."""
        self._done = self._done if done is None else done
        self._total = self._total if total is None else total
        if self._bar is not None:
            self._bar.update(
                self._task, completed=self._done, total=self._total, description=what, amount=self._amount()
            )

    def begin(self, what: str, total: int | None = None, *, in_bytes: bool = False) -> None:
        """Something else begins, with an amount of its own: of things, or of bytes."""
        self._what, self._total, self._done, self._in_bytes = what, total, 0, in_bytes
        if self._bar is not None:
            self._bar.refresh()
            self._bar.remove_task(self._task)
            self._task = self._bar.add_task(what, total=total, amount=self._amount())

    def print(self, text: str) -> None:
        """A line on standard output, above the bar where both are on one terminal."""
        if self._bar is not None and sys.stdout.isatty():
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, flush=True)

    def tell(self, text: str) -> None:
        """A line on standard error, above the bar where there is one."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def _amount(self) -> str:
        if self._total is None and not self._done:
            return ""
        parts = [self._done] if self._total is None else [self._done, self._total]
        return " of ".join(f"{part / 1e6:,.1f} MB" if self._in_bytes else f"{part:,}" for part in parts)
