"""Every setting: key, type, default, where its value came from. Rule: sync_training 3, job 6.

Precedence: command line > ``MONOLITH_REF_<KEY>`` > the original's variable > configuration file > default.
Nothing is read at import.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from monolith_ref.errors import ConfigError, UnknownNameError
from monolith_ref.sync.agreement import configuration_digest
from monolith_ref.training.settings_original import NO_EFFECT, Found, read_original_variables
from monolith_ref.training.settings_table import KEYS, key_of_option, variable_of

__all__ = ["Settings", "toml_text"]

PREFIX = "MONOLITH_REF_"
DEFAULT = "default"


class Settings:
    """Resolved, validated, immutable values.

    ``settings["sync.timeout"]`` gives a value of the key's own type (None: not set); ``origin(key)`` tells where it
    came from.
    """

    def __init__(self, texts: Mapping[str, tuple[str, str]], ignored: Mapping[str, str] | None = None) -> None:
        """From key -> (text, origin); use :meth:`resolve`."""
        self._values: dict[str, Any] = {}
        self._origins = {key: origin for key, (_, origin) in texts.items()}
        self._ignored = dict(ignored or {})
        for key, (text, origin) in texts.items():
            try:
                self._values[key] = None if (text, origin) == ("", DEFAULT) else KEYS[key].parse(text)
            except ValueError as error:
                raise ConfigError(f"{_source(key, origin)}: {key} must be {error}, not {text!r}") from None
        self._check()

    @classmethod
    def resolve(
        cls,
        command_line: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        config_file: Path | None = None,
        defaults: Mapping[str, str] | None = None,
        other_sections: Collection[str] = (),
        file_texts: Mapping[str, tuple[str, str]] | None = None,
    ) -> Settings:
        """Read all sources and validate everything.

        Parameters
        ----------
        command_line : mapping
            Key (``sync.timeout``) or option name (``steps``, ``--batch-size``) -> text.
        environment : mapping
            None: ``os.environ``.
        config_file : Path
            TOML: ``[sync]`` ``timeout = 5``; names in ``other_sections`` belong to somebody else.
        defaults : mapping
            A command's own defaults (``compare`` has ``table.layout`` = ``both``).
        file_texts : mapping
            Key -> (text, origin) of a file that somebody else has read, in place of ``config_file``.

        Raises
        ------
        ConfigError
            Unknown key, unknown ``MONOLITH_REF_*`` variable, malformed or contradicting value; names the source.
        """
        given = os.environ if environment is None else environment
        texts = {key: (entry.default, DEFAULT) for key, entry in KEYS.items()}
        for key, text in (defaults or {}).items():
            texts[_known(key, "defaults")] = (text, DEFAULT)
        if config_file is not None:
            texts.update(_read_file(config_file, other_sections))
        texts.update(file_texts or {})
        texts.update(_read_original(given))
        texts.update(_read_variables(given))
        for option, text in (command_line or {}).items():
            texts[_known(option, "command line")] = (text, f"--{option.lstrip('-')}")
        ignored = {name: given[name] for name in NO_EFFECT if name in given}
        return cls(_without_replaced_batch_size(texts), ignored)

    def __getitem__(self, key: str) -> Any:
        """Value of a key; UnknownNameError, with the nearest known one, for others."""
        if key not in self._values:
            raise UnknownNameError(f"there is no setting {key!r}{_nearest(key, KEYS)}")
        return self._values[key]

    def origin(self, key: str) -> str:
        """``"default"``, the option, the variable's name or the file's path."""
        self[key]
        return self._origins[key]

    def is_default(self, key: str) -> bool:
        """Nobody has set it."""
        return self.origin(key) == DEFAULT

    def explain(self) -> list[tuple[str, str, str]]:
        """(key, value, origin) of every setting, in the table's order; then variables that have no effect."""
        rows = [(key, self.text(key) or "none", self._origins[key]) for key in KEYS]
        return rows + [(name, value, "accepted, no effect") for name, value in self._ignored.items()]

    def text(self, key: str) -> str:
        """A value in its canonical form, which the key's parser reads back; empty for None."""
        value = self[key]
        if value is None:
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, tuple):
            return ",".join(value)
        return str(int(value) if isinstance(value, float) and value.is_integer() else value)

    def shared(self) -> dict[str, str]:
        """Key -> text of all values that must be equal on all ranks."""
        return {key: self.text(key) for key, entry in KEYS.items() if not entry.per_rank}

    def digest(self) -> str:
        """SHA-256 of :meth:`shared`, 64 hex digits."""
        return configuration_digest(self.shared())

    def _check(self) -> None:
        """Contradictions between settings."""
        for one, other in (
            ("checkpoint.every_steps", "checkpoint.every_seconds"),
            ("training.batch_size", "training.batch_size_per_rank"),
        ):
            if self._values.get(one) is not None and self._values.get(other) is not None:
                raise ConfigError(f"{self._named(one)} and {self._named(other)} exclude each other")
        if self._values.get("sync.reduction") == "exact":
            for key in ("sync.embedding_grad_wire", "sync.dense_wire"):
                if self._values.get(key) == "f16":
                    raise ConfigError(
                        f"{self._named('sync.reduction')} is exact, {self._named(key)} rounds gradients to f16"
                    )

    def _named(self, key: str) -> str:
        origin = self._origins[key]
        return key if origin == DEFAULT else f"{key} ({origin})"


def _source(key: str, origin: str) -> str:
    return f"{key}'s default" if origin == DEFAULT else origin


def _nearest(name: str, names: Collection[str]) -> str:
    near = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _known(option: str, source: str) -> str:
    key = key_of_option(option)
    if key is None:
        names = {*KEYS, *(key.rpartition(".")[2] for key in KEYS)}
        raise ConfigError(f"{source}: there is no setting {option!r}{_nearest(option.lstrip('-'), names)}")
    return key


def _read_variables(environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """``MONOLITH_REF_*``; an unknown one is an error."""
    keys = {variable_of(key): key for key in KEYS}
    found = {}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX):
            continue
        if variable not in keys:
            raise ConfigError(f"unknown environment variable {variable}{_nearest(variable, keys)}")
        found[keys[variable]] = (text, variable)
    return found


def _read_original(environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    try:
        found = read_original_variables(environment)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    chosen: dict[str, Found] = {}
    for one in found:
        other = chosen.setdefault(one.key, one)
        if other.text != one.text:
            raise ConfigError(
                f"{other.variable} and {one.variable} contradict each other: "
                f"{one.key} would be {other.text} and {one.text}"
            )
    return {key: (one.text, one.variable) for key, one in chosen.items()}


def _read_file(path: Path, other_sections: Collection[str]) -> dict[str, tuple[str, str]]:
    try:
        with path.open("rb") as stream:
            document = tomllib.load(stream)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML ({error})") from None
    found = {}
    for name, value in document.items():
        if name in other_sections:
            continue
        if isinstance(value, dict):
            entries = {f"{name}.{part}": each for part, each in value.items()}
        else:
            entries = {name: value}
        for key, each in entries.items():
            if key not in KEYS:
                raise ConfigError(f"{path}: unknown key {key!r}{_nearest(key, [*KEYS, *other_sections])}")
            found[key] = (toml_text(str(path), key, each), str(path))
    return found


def toml_text(where: str, key: str, value: Any) -> str:
    """A value of a TOML file as a setting's text; ConfigError beginning with ``where`` for what none can be."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return ",".join(value)
    if isinstance(value, str | int | float):
        return str(value)
    raise ConfigError(f"{where}: {key} cannot be {value!r}")


def _without_replaced_batch_size(texts: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """A batch size that somebody gave replaces a command's default for the other one."""
    pair = ("training.batch_size", "training.batch_size_per_rank")
    for one, other in (pair, pair[::-1]):
        if texts[one][1] != DEFAULT and texts[other][1] == DEFAULT:
            texts = {**texts, other: ("", DEFAULT)}
    return texts
