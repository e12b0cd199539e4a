"""The cases: each a stable id, the rule that it holds an implementation to, and a function that judges one session.

Every module of this package registers its cases at import; :func:`all_cases` imports them all. Ids are
``level/area/name[param=value]``; they stay for ever and are never used for something else.
"""

from __future__ import annotations

import importlib
import pkgutil

from monolith_conformance.cases.case import LEVELS, Case, case, registered

__all__ = ["LEVELS", "Case", "all_cases", "case"]


def all_cases() -> dict[str, Case]:
    """Every case by id, in order of levels and ids."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    found = registered()
    return {key: found[key] for key in sorted(found, key=lambda key: (LEVELS.index(found[key].level), key))}
