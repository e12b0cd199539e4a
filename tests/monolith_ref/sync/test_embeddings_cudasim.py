"""The same exchanges and reductions with every kernel in the CUDA simulator, on one rank."""

from __future__ import annotations

import sys

import pytest

from tests.monolith_ref.sync import ranks_embeddings

pytestmark = pytest.mark.cudasim


@pytest.mark.parametrize("options", ["--staleness 1", "--reduction mean --layout merged", "--reduction exact --wild"])
def test_every_bit(options: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ranks", "--target", "cuda", "--steps", "2", *options.split()])
    assert ranks_embeddings.main() == 0
