"""The CUDA twins of the memory kernels, in the simulator, against the same checks as the CPU's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from monolith_kernels.target import target

from tests.kernels import checks_dedup, checks_dense, checks_lookup, checks_segment
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


def test_four_floats_are_moved_where_everything_is_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    from monolith_kernels.cuda import launch, lookup

    cuda, launched = target("cuda"), []
    plain = launch.CudaKernel.launch

    def noted(kernel: launch.CudaKernel, *args: object) -> None:
        launched.append(kernel.name.rpartition(".")[2])
        plain(kernel, *args)

    monkeypatch.setattr(launch.CudaKernel, "launch", noted)
    values = np.random.default_rng(1).standard_normal((3, 8)).astype(np.float32)
    numbers = np.array([4, -1, 2], np.int32)
    for start, name in ((0, "assign_sorted_by_four"), (1, "assign_sorted")):
        rows = cuda.zeros((6, 16), np.float32)
        flat = cuda.asarray(np.concatenate([np.zeros(start, np.float32), values.reshape(-1)]))
        launched.clear()
        # A view behind one float has aligned offsets only.
        lookup.assign(rows, cuda.asarray(numbers), 4, 8, flat[start:], 0, 8)
        assert launched[-1] == name
        want = np.zeros((6, 16), np.float32)
        want[4, 4:12], want[2, 4:12] = values[0], values[2]
        assert cuda.to_host(rows).tobytes() == want.tobytes()
        out = cuda.asarray(np.full(24 + start, 7, np.float32))
        launched.clear()
        lookup.gather(rows, cuda.asarray(numbers), 4, 8, out[start:], 0, 8)
        assert launched == ["copy_rows" if start else "copy_rows_by_four"]
        want = np.stack([values[0], np.zeros(8, np.float32), values[2]])
        assert cuda.to_host(out)[start:].tobytes() == want.tobytes()


@given(seeds, st.sampled_from([0, 1, 40]), st.integers(1, 4), st.sampled_from([1, 3, 50]))
@few_examples
def test_unique(seed: int, count: int, tables: int, distinct: int) -> None:
    checks_dedup.check_unique(target("cuda"), seed, count, tables, distinct)


def test_unique_with_one_scratch_again_and_again() -> None:
    cuda = target("cuda")
    scratch = cuda.dedup.Scratch()
    for seed, count in enumerate((30, 5, 0, 40)):
        checks_dedup.check_unique(cuda, seed, count, 2, 9, scratch)


@given(seeds, st.sampled_from([0, 1, 30]), st.integers(1, 3), st.sampled_from([1, 3, 4, 5, 37]), st.booleans())
@few_examples
def test_split(seed: int, count: int, tables: int, ranks: int, empty_rank0: bool) -> None:
    checks_dedup.check_split(target("cuda"), seed, count, tables, ranks, empty_rank0)


@given(seeds, st.integers(1, 4), st.integers(1, 3), st.sampled_from([0, 1, 5]))
@few_examples
def test_merge(seed: int, sources: int, tables: int, largest: int) -> None:
    checks_dedup.check_merge(target("cuda"), seed, sources, tables, largest)


@given(seeds, st.sampled_from([0, 1, 12]), st.integers(1, 9))
@few_examples
def test_move(seed: int, count: int, width: int) -> None:
    checks_dedup.check_move(target("cuda"), seed, count, width)


rows = st.sampled_from([0, 1, 4])
longest = st.sampled_from([0, 1, 5])
dims = st.sampled_from([1, 3, 9])


@given(seeds, rows, longest, dims, special_shares)
@few_examples
def test_combiners(seed: int, rows: int, longest: int, dim: int, special: float) -> None:
    checks_segment.check_combiners(target("cuda"), seed, rows, longest, dim, special)


@given(seeds, rows, longest, dims, special_shares)
@few_examples
def test_sum_rows(seed: int, rows: int, longest: int, dim: int, special: float) -> None:
    checks_segment.check_sum_rows(target("cuda"), seed, rows, longest, dim, special)


@given(seeds, rows, longest, dims, st.integers(1, 3), special_shares)
@few_examples
def test_first_n(seed: int, rows: int, longest: int, dim: int, n: int, special: float) -> None:
    checks_segment.check_first_n(target("cuda"), seed, rows, longest, dim, n, special)


@given(seeds, rows, longest, dims, special_shares)
@few_examples
def test_gradients(seed: int, rows: int, longest: int, dim: int, special: float) -> None:
    checks_segment.check_gradients(target("cuda"), seed, rows, longest, dim, special)


@given(seeds, rows, longest, dims, special_shares, st.booleans())
@few_examples
def test_gradient_sums(seed: int, rows: int, longest: int, dim: int, special: float, scaled: bool) -> None:
    checks_segment.check_gradient_sums(target("cuda"), seed, rows, longest, dim, special, scaled)


@given(seeds, st.sampled_from([0, 1, 5]), st.sampled_from([1, 3, 5]), st.sampled_from([1, 2, 5]), special_shares)
@few_examples
def test_layers(seed: int, batch: int, inner: int, outer: int, special: float) -> None:
    checks_dense.check_layers(target("cuda"), seed, batch, inner, outer, special)


def test_products_over_several_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    from monolith_kernels.cuda import _matmul

    monkeypatch.setattr(_matmul, "TILE", 2)
    checks_dense.check_layers(target("cuda"), 5, 3, 5, 3, 0.05)


@given(seeds, st.sampled_from([0, 1, 6]), st.integers(1, 3), st.integers(1, 3), special_shares)
@few_examples
def test_exact_gradients(seed: int, batch: int, inner: int, outer: int, special: float) -> None:
    checks_dense.check_exact_gradients(target("cuda"), seed, batch, inner, outer, special)


def test_exact_gradients_take_the_slow_path() -> None:
    assert checks_dense.check_exact_gradients(target("cuda"), 1, 12, 3, 3, 0.3) > 3


@given(seeds, st.sampled_from([0, 1, 20]), special_shares)
@few_examples
def test_elementwise(seed: int, count: int, special: float) -> None:
    checks_dense.check_elementwise(target("cuda"), seed, count, special)


@given(seeds, st.integers(1, 3), st.sampled_from([0, 1, 10]), special_shares)
@few_examples
def test_rank_sum(seed: int, ranks: int, count: int, special: float) -> None:
    checks_dense.check_rank_sum(target("cuda"), seed, ranks, count, special)


@given(seeds, st.sampled_from([0, 1, 8]), special_shares)
@few_examples
def test_losses(seed: int, count: int, special: float) -> None:
    checks_dense.check_losses(target("cuda"), seed, count, special)


def test_filters_count_as_on_the_cpu() -> None:
    rng = np.random.default_rng(4)
    ids = rng.integers(0, 2**40, 12)[rng.integers(0, 12, 25)]
    counts = rng.integers(0, 4, 25)
    thresholds = np.array([2], np.int32)
    present = rng.integers(0, 2, 25).astype(np.uint8)
    results = []
    for name in ("cpu", "cuda"):
        t, out = target(name), []
        to, host = t.asarray, t.to_host
        old, filtered = t.empty(25, np.int32), t.empty(25, np.uint8)
        for kind in (np.uint8, np.uint16):
            cells, state = to(np.zeros(15 + 64, kind)), to(np.zeros(3, np.int64))
            t.filter.hash_add(cells, state, 10, 64, 0, to(ids), to(counts), old)
            out += [host(old).copy(), host(state).copy()]
            t.filter.hash_get(cells, 64, 0, to(ids), old)
            dropped = t.filter.hash_admit(
                cells, state, 10, 64, 0, to(ids), to(counts), to(thresholds), to(present), filtered
            )
            out += [host(old).copy(), host(filtered).copy(), dropped, host(cells).copy(), host(state).copy()]
        cells, elements, state = (
            to(np.zeros((5, 3 + 64), np.uint16)),
            to(np.zeros(5, np.int64)),
            to(np.zeros(3, np.int64)),
        )
        t.filter.sliding_add(cells, elements, state, 3, 0, to(ids), to(counts), old)
        out += [host(old).copy(), host(state).copy()]
        t.filter.sliding_get(cells, state, 0, to(ids), old)
        dropped = t.filter.sliding_admit(
            cells, elements, state, 3, 0, to(ids), to(counts), to(thresholds), to(present), filtered
        )
        out += [host(old).copy(), host(filtered).copy(), dropped, host(cells).copy(), host(elements).copy()]
        for equal in (False, True):
            generator = to(np.array([11, 12], np.uint64))
            dropped = t.filter.probabilistic_admit(
                generator, equal, to(ids), to(counts), to(thresholds), to(present), filtered
            )
            out += [dropped, host(filtered).copy(), host(generator).copy()]
        results.append(out)
    for one, other in zip(*results, strict=True):
        assert np.array_equal(one, other)


def test_exclusive_sum_over_many_blocks() -> None:
    from monolith_kernels.cuda.launch import on_device
    from monolith_kernels.cuda.scan import exclusive_sum

    values = np.random.default_rng(1).integers(0, 9, 90).astype(np.int32)
    sums, total = exclusive_sum(on_device(values))
    assert sums.copy_to_host().tolist() == (np.cumsum(values) - values).tolist()
    assert total == values.sum()


def test_sort_is_stable_over_many_blocks() -> None:
    from monolith_kernels.cuda.launch import on_device
    from monolith_kernels.cuda.sort import sort_pairs

    keys = np.random.default_rng(1).integers(-1, 300, 150).astype(np.int32)
    got, positions = sort_pairs(on_device(keys), 300)
    want = np.argsort(np.where(keys < 0, 300, keys), kind="stable")
    assert positions.copy_to_host().tolist() == want.tolist()
    assert got.copy_to_host().tolist() == keys[want].tolist()


def test_rows_on_the_device_keep_their_content_when_they_grow() -> None:
    storage = target("cuda").storage(4, np.float32, 3)
    before = storage.capacity
    target("cuda").lookup.assign(
        storage.rows,
        target("cuda").asarray(np.array([1], np.int32)),
        0,
        4,
        target("cuda").asarray(np.arange(4, dtype=np.float32)),
        0,
        4,
    )
    storage.ensure(before + 1)
    assert storage.capacity > before
    assert storage.rows.copy_to_host()[1].tolist() == [0, 1, 2, 3]
    assert (storage.rows.copy_to_host()[2:] == 0).all()


def test_logistic() -> None:
    checks_dense.check_logistic(target("cuda"), 3, 20)
    checks_dense.check_logistic_extremes(target("cuda"))
