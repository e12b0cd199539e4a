"""The CUDA twins of the memory kernels, in the simulator, against the same checks as the CPU's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monolith_kernels.target import target
from tests.kernels import checks_lookup
from tests.kernels.support import few_examples, seeds, special_shares

pytestmark = pytest.mark.cudasim


@given(seeds, st.integers(1, 2), st.sampled_from([0, 1, 7, 60]))
@few_examples
def test_index_against_dict(seed: int, rounds: int, batch: int) -> None:
    checks_lookup.check_index_against_dict(target("cuda"), seed, rounds, batch)


@given(seeds, st.sampled_from([0, 1, 20]), st.sampled_from([1, 3, 4, 8, 15]), special_shares)
@few_examples
def test_gather(seed: int, count: int, dim: int, special: float) -> None:
    checks_lookup.check_gather(target("cuda"), seed, count, dim, special)


@given(seeds, st.sampled_from([0, 1, 20]), st.sampled_from([1, 4, 9]))
@few_examples
def test_find_gather(seed: int, count: int, dim: int) -> None:
    checks_lookup.check_find_gather(target("cuda"), seed, count, dim)


@given(seeds, st.sampled_from([0, 1, 20]), st.sampled_from([1, 4, 9]), special_shares)
@few_examples
def test_assign(seed: int, count: int, dim: int, special: float) -> None:
    checks_lookup.check_assign(target("cuda"), seed, count, dim, special)
