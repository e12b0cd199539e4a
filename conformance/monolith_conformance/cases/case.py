"""What a case is, and the register of all of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from monolith_conformance.session import Session
from monolith_ref.errors import ConfigError

__all__ = ["LEVELS", "Case", "case", "register", "registered"]

Level = Literal["core", "table", "filter", "checkpoint", "sync", "dump"]
Accuracy = Literal["rounded", "exact"]
LEVELS: tuple[Level, ...] = ("core", "table", "filter", "checkpoint", "sync", "dump")

_ID = re.compile(r"^(core|table|filter|checkpoint|sync|dump)/[a-z0-9_.-]+/[A-Za-z0-9_.-]+(\[[a-z0-9_=.,+-]+\])?$")


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes
    ----------
    id : str
        ``level/area/name[param=value]``.
    rule : str
        What it checks, one sentence.
    section : str
        Page and section of the specification.
    judge : callable
        Sends requests through a session and raises where a reply is wrong.
    needs : frozenset of str
        Capabilities without which the case is unsupported.
    quirks, without : frozenset of str
        Switches that must be on, and off, for its expectation to hold.
    profiles : tuple of str
        Rounding contracts under which its expectation holds.
    required : bool
        Whether conforming to the level asks for it.
    fresh : bool
        Whether the backend is started anew first (random streams at their beginning).
    generated : bool
        Whether it tries many examples; such a case cannot be listed as a known failure.
    full : bool
        Whether it is run by ``--full`` only: it takes long.
    accuracy : str
        ``rounded`` where floats come out of arithmetic, so that a run under a looser accuracy profile may be that far
        away; ``exact`` where values only travel.
    """

    id: str
    rule: str
    section: str
    judge: Callable[[Session], None]
    needs: frozenset[str] = frozenset()
    quirks: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    profiles: tuple[str, ...] = ("ieee", "avx")
    required: bool = True
    fresh: bool = False
    generated: bool = False
    full: bool = False
    accuracy: Accuracy = "rounded"

    @property
    def level(self) -> Level:
        """The level that the id begins with."""
        head = self.id.split("/", 1)[0]
        return next(level for level in LEVELS if level == head)

    @property
    def area(self) -> str:
        """Level and area: the row of a report's matrix."""
        return "/".join(self.id.split("/")[:2])


_REGISTER: dict[str, Case] = {}


def register(new: Case) -> Case:
    """Add a case; an id is used once."""
    if not _ID.match(new.id):
        raise ConfigError(f"case id {new.id!r} is not of the form level/area/name[param=value]")
    if new.id in _REGISTER:
        raise ConfigError(f"case id {new.id!r} is used twice")
    _REGISTER[new.id] = new
    return new


def registered() -> dict[str, Case]:
    """All cases registered so far."""
    return dict(_REGISTER)


def case(
    id: str,
    section: str,
    *,
    needs: Iterable[str] = (),
    quirks: Iterable[str] = (),
    without: Iterable[str] = (),
    profiles: tuple[str, ...] = ("ieee", "avx"),
    required: bool = True,
    fresh: bool = False,
    generated: bool = False,
    full: bool = False,
    accuracy: Accuracy = "rounded",
) -> Callable[[Callable[[Session], None]], Callable[[Session], None]]:
    """Register a function as a case; the first line of its docstring is the rule."""

    def decorate(judge: Callable[[Session], None]) -> Callable[[Session], None]:
        rule = (judge.__doc__ or "").strip().splitlines()[0]
        register(
            Case(
                id=id,
                rule=rule,
                section=section,
                judge=judge,
                needs=frozenset(needs),
                quirks=frozenset(quirks),
                without=frozenset(without),
                profiles=profiles,
                required=required,
                fresh=fresh,
                generated=generated,
                full=full,
                accuracy=accuracy,
            )
        )
        return judge

    return decorate
