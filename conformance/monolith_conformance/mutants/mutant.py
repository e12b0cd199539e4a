"""What a mutant is: the oracle with one thing about it wrong, and the sentence that says which.

An entry replaces functions, methods or values of the oracle (or of the backend around it) while a request is being
answered. The oracle knows nothing of it: what the cases expect is computed by the unchanged one.
"""

from __future__ import annotations
import __future__

import functools
import importlib
import inspect
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from monolith_ref.errors import ConfigError

__all__ = ["Mutant", "Replacement", "applied", "edit", "swap", "wrap"]

ROOT = "monolith_conformance"


@dataclass(frozen=True)
class Replacement:
    """One attribute, and what takes its place.

    Attributes
    ----------
    target : str
        ``module:attribute`` below ``monolith_conformance``, as in ``oracle.table:OracleTable.evict``.
    build : callable
        The attribute as it is → what replaces it. Called once a process.
    """

    target: str
    build: Callable[[Any], Any]

    def place(self) -> tuple[Any, str, Any]:
        """(owner, name, original) of the target. Raises :class:`~monolith_ref.errors.ConfigError` where it is gone."""
        module, _, path = self.target.partition(":")
        *outer, name = path.split(".")
        try:
            owner = functools.reduce(getattr, outer, importlib.import_module(f"{ROOT}.{module}"))
            return owner, name, vars(owner)[name]
        except (ImportError, AttributeError, KeyError) as error:
            raise ConfigError(f"a mutant replaces {self.target}, which there is not ({error})") from None


@dataclass(frozen=True)
class Mutant:
    """One wrong variant.

    Attributes
    ----------
    name : str
        Lower-case words with hyphens; ``--backend mutant:NAME``.
    sentence : str
        What is wrong, as the end of "equals the rule with …".
    replacements : tuple of Replacement
        All of what is changed.
    killed_by : tuple of str
        Ids (or beginnings of ids) of the cases that must fail it; only those are run for it.
    about : frozenset of str
        Capabilities that it concerns: failures of cases that need one of them are compared with it.
    deviation : int or None
        Row of the list of deviations of a real port that it stands for.
    quirks, profile : str
        Under what the cases that kill it are run.
    survives : str
        Why no case can kill it, for a mutant that changes nothing visible; empty for all others.
    """

    name: str
    sentence: str
    replacements: tuple[Replacement, ...]
    killed_by: tuple[str, ...]
    about: frozenset[str] = frozenset()
    deviation: int | None = None
    quirks: str = "default"
    profile: str = "ieee"
    survives: str = ""


def swap(target: str, value: Any) -> Replacement:
    """``value`` in place of the target."""
    return Replacement(target, lambda original: value)


def wrap(target: str, wrapper: Callable[[Any], Any]) -> Replacement:
    """``wrapper(original)`` in place of the target."""
    return Replacement(target, wrapper)


def edit(target: str, *changes: tuple[str, str]) -> Replacement:
    """The target with pieces of its source replaced; each ``(old, new)`` must find ``old`` exactly once."""
    return Replacement(target, lambda original: _edited(target, original, changes))


def _edited(target: str, original: Any, changes: Sequence[tuple[str, str]]) -> Any:
    function: Any = original.fget if isinstance(original, property) else original
    source = textwrap.dedent(inspect.getsource(function))
    for old, new in changes:
        if source.count(old) != 1:
            raise ConfigError(f"a mutant changes {old!r} in {target}, which has it {source.count(old)} times")
        source = source.replace(old, new)
    code = compile(source, f"<mutant of {target}>", "exec", __future__.annotations.compiler_flag, dont_inherit=True)
    scope: dict[str, Any] = {}
    exec(code, function.__globals__, scope)
    return scope[function.__name__]


@functools.cache
def _built(replacement: Replacement) -> Any:
    return replacement.build(replacement.place()[2])


@contextmanager
def applied(replacements: Sequence[Replacement]) -> Iterator[None]:
    """The oracle with these replacements, for the length of the ``with``."""
    places = [(*replacement.place(), _built(replacement)) for replacement in replacements]
    try:
        for owner, name, _, changed in places:
            setattr(owner, name, changed)
        yield
    finally:
        for owner, name, original, _ in places:
            setattr(owner, name, original)
