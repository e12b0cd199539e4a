"""Examples in docstrings, which the reference shows, do what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import monolith_conformance
import monolith_kernels
import numpy as np
import pytest

import monolith_ref

PACKAGES = (monolith_kernels, monolith_ref, monolith_conformance)


def _modules_with_examples() -> list[str]:
    found = []
    for package in PACKAGES:
        root = Path(str(package.__file__)).parent
        for path in sorted(root.rglob("*.py")):
            if ">>> " in path.read_text():
                found.append(".".join([package.__name__, *path.relative_to(root).with_suffix("").parts]))
    return [name.removesuffix(".__init__") for name in found]


@pytest.mark.parametrize("name", _modules_with_examples())
def test_examples(name: str) -> None:
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failed, tried = doctest.testmod(importlib.import_module(name), extraglobs={"np": np}, optionflags=flags)
    assert tried, f"{name}: examples that doctest does not see"
    assert failed == 0
