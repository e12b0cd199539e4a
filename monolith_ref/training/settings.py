"""Every setting: key, type, default, where its value came from. Rule: sync_training 3, job 6.

Precedence: command line > ``MONOLITH_REF_<KEY>`` > the original's variable > configuration file > default.
Nothing is read at import.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["Settings"]


class Settings:
    """Resolved, validated, immutable values.

    ``settings["sync.timeout"]`` gives a value of the key's own type; ``origin(key)`` tells where it came from.
    """

    @classmethod
    def resolve(
        cls,
        command_line: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        config_file: Path | None = None,
        defaults: Mapping[str, str] | None = None,
    ) -> Settings:
        """Read all sources and validate everything.

        ``command_line``: key (``sync.timeout``) or option name (``steps``) -> text. ``environment``: None is
        ``os.environ``. ``defaults``: a command's own defaults (``compare`` has ``table.layout`` = ``both``).

        Raises
        ------
        ConfigError
            Unknown key, unknown ``MONOLITH_REF_*`` variable, malformed or contradicting value; names the source.
        """
        raise NotImplementedError

    def __getitem__(self, key: str) -> Any:
        """Value of a key; UnknownNameError, with the nearest known one, for others."""
        raise NotImplementedError

    def origin(self, key: str) -> str:
        """``"default"``, ``"command line"``, the variable's name or the file's path."""
        raise NotImplementedError

    def explain(self) -> list[tuple[str, str, str]]:
        """(key, value, origin) of every setting, in the table's order (``--explain-settings``)."""
        raise NotImplementedError

    def shared(self) -> dict[str, str]:
        """Key -> text of all values that must be equal on all ranks."""
        raise NotImplementedError

    def digest(self) -> str:
        """SHA-256 of :meth:`shared`, 64 hex digits."""
        raise NotImplementedError
