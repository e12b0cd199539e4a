"""Every rule against the oracle in the CUDA simulator."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monolith_kernels import rules

from tests.kernels.checks_rules import check_codec, check_entry, check_rule

pytestmark = pytest.mark.cudasim
seeds = st.integers(0, 2**32 - 1)
FEW = settings(max_examples=4, derandomize=True, deadline=None)


@pytest.mark.parametrize("profile", ["ieee", "avx"])
@pytest.mark.parametrize("rule", sorted(rules.ALL))
@FEW
@given(seed=seeds, dim=st.sampled_from([1, 7, 8, 9, 17]), count=st.integers(0, 3))
def test_rule(rule: str, profile: str, seed: int, dim: int, count: int) -> None:
    check_rule("cuda", profile, rule, seed, dim, count, "default")


@pytest.mark.parametrize("profile", ["ieee", "avx"])
@FEW
@given(seed=seeds, count=st.integers(0, 3))
def test_entry(profile: str, seed: int, count: int) -> None:
    check_entry("cuda", profile, seed, count, "default")


@FEW
@given(seed=seeds, count=st.integers(1, 2))
def test_codec(seed: int, count: int) -> None:
    check_codec("cuda", seed, count, "default")
