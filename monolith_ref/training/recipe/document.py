"""A TOML document that is read key by key: every value is checked, and what nobody asked for is refused.

Errors begin with file and line (``train.toml:12``), or with the option that gave the value (``--set model.loss``).
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from monolith_ref.errors import ConfigError
from monolith_ref.training.recipe.lines import Path, line_numbers

__all__ = ["Document", "Section", "nearest"]

_NOTHING = object()


def nearest(name: str, names: Sequence[str]) -> str:
    """``; the nearest known one is 'x'``, or nothing where there are no names."""
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.0)
    return f"; the nearest known one is {near[0]!r}" if near else ""


def dotted(path: Path) -> str:
    """``model.slices[0].dim``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


class Document:
    """Values of a file, and of options that replace or add some.

    Attributes
    ----------
    name : str
        The file's path as errors say it.
    data : dict
    """

    def __init__(self, data: dict[str, Any], name: str = "configuration", lines: Mapping[Path, int] | None = None):
        self.data = data
        self.name = name
        self._lines = dict(lines or {})
        self._given: dict[Path, str] = {}

    @classmethod
    def read(cls, path: str | FilePath) -> Document:
        """A file; ConfigError where it cannot be read or is no TOML."""
        try:
            text = FilePath(path).read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
        except UnicodeDecodeError:
            raise ConfigError(f"{path}: not UTF-8 text") from None
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: not valid TOML: {error}") from None
        return cls(data, str(path), line_numbers(text))

    def override(self, key: str, text: str, option: str = "--set") -> None:
        """Put a value at a dotted key (``model.slices.0.dim``); ``text`` is a TOML value, or else a plain text."""
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        path: Path = tuple(int(part) if part.isdecimal() else part for part in key.split("."))
        place: Any = self.data
        for number, part in enumerate(path[:-1]):
            if isinstance(place, list) and isinstance(part, int) and part < len(place):
                place = place[part]
            elif isinstance(place, dict) and isinstance(part, str):
                place = place.setdefault(part, {})
            else:
                raise ConfigError(f"{option} {key}: there is no {dotted(path[: number + 1])}")
        last = path[-1]
        element = isinstance(place, list) and isinstance(last, int) and last < len(place)
        if not element and not (isinstance(place, dict) and isinstance(last, str) and last):
            raise ConfigError(f"{option} {key}: there is no {dotted(path)}")
        place[last] = value
        self._given[path] = f"{option} {key}"

    def where(self, path: Path) -> str:
        """Where the value at ``path`` came from; of what has no line of its own, where its table begins."""
        for end in range(len(path), 0, -1):
            if path[:end] in self._given:
                return self._given[path[:end]]
            if path[:end] in self._lines:
                return f"{self.name}:{self._lines[path[:end]]}"
        return self.name

    def error(self, path: Path, message: str) -> ConfigError:
        """A ConfigError that begins with the place of ``path``."""
        return ConfigError(f"{self.where(path)}: {message}")

    @property
    def root(self) -> Section:
        """The whole document as a section."""
        return Section(self, self.data, ())


class Section:
    """One table of a document. Ask for every key that it may have, then call :meth:`done`."""

    def __init__(self, document: Document, values: dict[str, Any], path: Path) -> None:
        self.document = document
        self.values = values
        self.path = path
        self._known: list[str] = []

    def error(self, message: str, key: str | None = None) -> ConfigError:
        """A ConfigError at a key of this table, or at the table."""
        return self.document.error(self.path if key is None else (*self.path, key), message)

    def name_of(self, key: str) -> str:
        """The key with its path, for messages."""
        return dotted((*self.path, key))

    def has(self, key: str) -> bool:
        """Is the key given? (It is a known one from now on.)"""
        self._note(key)
        return key in self.values

    def _note(self, key: str) -> None:
        if key not in self._known:
            self._known.append(key)

    def _get(self, key: str, default: Any, wanted: str, *types: type) -> Any:
        self._note(key)
        value = self.values.get(key, _NOTHING)
        if value is _NOTHING:
            if default is _NOTHING:
                raise self.error(f"{self.name_of(key)} is missing: {wanted} is expected")
            return default
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise self.error(f"{self.name_of(key)} must be {wanted}, not {value!r}", key)
        return value

    def any(self, key: str, default: Any = None) -> Any:
        """The value as it is."""
        return self._get(key, default, "a value", object)

    def text(self, key: str, default: Any = _NOTHING) -> Any:
        """A non-empty text."""
        value = self._get(key, default, "a text", str)
        if value == "":
            raise self.error(f"{self.name_of(key)} must not be empty", key)
        return value

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""
        return bool(self._get(key, default, "true or false", bool))

    def whole(self, key: str, default: Any = _NOTHING, low: int = 0, high: int | None = None) -> Any:
        """A whole number in a range."""
        wanted = f"a whole number from {low}" + (f" to {high}" if high is not None else "")
        value = self._get(key, default, wanted, int)
        if value is not default and (value < low or (high is not None and value > high)):
            raise self.error(f"{self.name_of(key)} must be {wanted}, not {value!r}", key)
        return value

    def number(self, key: str, default: Any = _NOTHING) -> Any:
        """A finite number, as float."""
        value = self._get(key, default, "a number", int, float)
        if value is default:
            return default
        if not abs(float(value)) < float("inf"):
            raise self.error(f"{self.name_of(key)} must be a finite number, not {value!r}", key)
        return float(value)

    def choice(self, key: str, words: Sequence[str], default: Any = _NOTHING) -> Any:
        """One of some words."""
        value = self._get(key, default, f"one of {', '.join(words)}", str)
        if value is not default and value not in words:
            raise self.error(f"{self.name_of(key)}: there is no {value!r}{nearest(value, words)}", key)
        return value

    def texts(self, key: str, default: Any = _NOTHING) -> tuple[str, ...]:
        """A text, or a list of them."""
        value = self._get(key, default, "a text or a list of texts", str, list, tuple)
        parts = (value,) if isinstance(value, str) else tuple(value)
        if not all(isinstance(part, str) and part for part in parts):
            raise self.error(f"{self.name_of(key)} must be a text or a list of texts, not {value!r}", key)
        return parts

    def wholes(self, key: str, default: Any = _NOTHING, low: int = 1) -> tuple[int, ...]:
        """A list of whole numbers."""
        value = self._get(key, default, "a list of whole numbers", list, tuple)
        for part in value:
            if isinstance(part, bool) or not isinstance(part, int) or part < low:
                raise self.error(f"{self.name_of(key)} must hold whole numbers from {low}, not {part!r}", key)
        return tuple(value)

    def numbers(self, key: str, count: int, default: Any = _NOTHING) -> Any:
        """A list of ``count`` finite numbers."""
        value = self._get(key, default, f"a list of {count} numbers", list)
        if value is default:
            return default
        if len(value) != count or any(isinstance(v, bool) or not isinstance(v, int | float) for v in value):
            raise self.error(f"{self.name_of(key)} must be a list of {count} numbers, not {value!r}", key)
        return tuple(float(v) for v in value)

    def section(self, key: str) -> Section:
        """A table; an empty one where it is not given."""
        value = self._get(key, {}, "a table", dict)
        return Section(self.document, value, (*self.path, key))

    def sections(self, key: str) -> list[Section]:
        """An array of tables; empty where it is not given."""
        value = self._get(key, [], "an array of tables", list)
        for number, each in enumerate(value):
            if not isinstance(each, dict):
                raise self.document.error((*self.path, key, number), f"{self.name_of(key)} must hold tables")
        return [Section(self.document, each, (*self.path, key, number)) for number, each in enumerate(value)]

    def done(self, *others: str) -> None:
        """Refuse keys that nobody asked for (``others`` are somebody else's)."""
        for key in self.values:
            if key not in self._known and key not in others:
                hint = nearest(key, [*self._known, *others])
                raise self.error(f"unknown key {self.name_of(key)!r}{hint}", key)
