"""Resource names in use. Rule: entry 6.5, tables 12."""

from __future__ import annotations

import itertools
import weakref
from typing import Any

from monolith_ref.errors import StateError, UnknownNameError

__all__ = ["NameScope", "default_scope"]


class NameScope:
    """Names of live tables: a name is free again when its table is gone."""

    def __init__(self) -> None:
        self._owners: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
        self._counter = itertools.count()

    def claim(self, name: str, owner: Any) -> None:
        """Give ``name`` to ``owner``; StateError while another one has it."""
        if self._owners.get(name) is not None:
            raise StateError(f"shared_name {name} has already been used.")
        self._owners[name] = owner

    def find(self, name: str) -> Any:
        """The owner of a name; UnknownNameError where nobody has it."""
        owner = self._owners.get(name)
        if owner is None:
            raise UnknownNameError(f"there is no table {name!r}; there are {sorted(self._owners)}")
        return owner

    def fresh(self, stem: str) -> str:
        """A name that nobody has."""
        while True:
            name = f"{stem}{next(self._counter)}"
            if self._owners.get(name) is None:
                return name


default_scope = NameScope()
"""Where names are claimed unless a scope is passed."""
