"""Admission: what filters do to tables, and filters of their own. Rule: filters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monolith_conformance.oracle.filters import OracleHashFilter, OracleProbabilisticFilter, OracleSlidingFilter
from monolith_kernels.target import target as make_target

from monolith_ref.errors import ArgumentError, ConfigError, ShapeError, StateError
from monolith_ref.quirks import Quirks
from monolith_ref.table.admission import (
    DummyFilter,
    HashFilter,
    ProbabilisticFilter,
    SlidingHashFilter,
    create_hash_filters,
    intercept_gradient,
)
from monolith_ref.table.admitted import AdmittedRowStore
from monolith_ref.table.build import row_layout
from monolith_ref.table.config import check_table_config
from monolith_ref.table.store import RowDump
from monolith_ref.table.thresholds import slot_thresholds
from monolith_ref.table.touched import TouchedKeySet

from .support import DAY, message, part, single

SPREAD = 1 << 17
"""Ids that differ by a multiple of this have signatures of their own."""


def filtered(threshold: int, **options: Any) -> Any:
    return single(
        message(part(1), default_days=1),
        hash_filter=SlidingHashFilter(300, 7, slot_thresholds({}, threshold)),
        **options,
    )


def ones(count: int) -> np.ndarray:
    return np.ones((count, 1), np.float32)


def test_plain_updates_ask_for_every_position() -> None:
    table = filtered(2)
    table.apply_gradients([1, 1, 1, 1], ones(4), 0, req_time=5)
    # Occurrences 1 and 2 are lost, 3 and 4 applied.
    assert table.lookup([1])[0, 0] == -2
    assert table.table.max_ts == 5


def test_dedup_asks_once_with_the_count() -> None:
    table = filtered(2)
    table.apply_gradients([1, 1, 1], ones(3), 0, enable_dedup=True)
    assert table.size() == 0
    table.apply_gradients([1, 1], ones(2), 0, enable_dedup=True)
    assert table.lookup([1])[0, 0] == -2


def test_known_rows_are_not_asked_and_lookups_never_count() -> None:
    table = filtered(1)
    table.lookup([1, 1, 1])
    table.apply_gradients([1], ones(1), 0)
    assert table.size() == 0
    table.apply_gradients([1], ones(1), 0)
    count = table.hash_filter.get(1)
    table.apply_gradients([1], ones(1), 0)
    assert table.hash_filter.get(1) == count
    assert table.lookup([1])[0, 0] == -2


def test_assign_asks_for_the_batch_and_assign_add_one_by_one() -> None:
    table = filtered(1)
    table.assign([1, 1, 1], [[1], [2], [3]])
    assert table.lookup([1])[0, 0] == 3
    assert table.hash_filter.get(1) == 3
    other = filtered(1)
    other.assign_add([1, 1, 1], [[1], [2], [4]])
    assert other.lookup([1])[0, 0] == 6
    assert other.hash_filter.get(1) == 2, "the third position found a row and did not ask"


def test_reinitialize_and_restore_are_not_filtered() -> None:
    table = filtered(9)
    table.reinitialize([1], req_time=0)
    table.table.restore(table.table.export())
    assert table.size() == 1
    assert table.hash_filter.get(1) == 0


def test_dropped_ids_are_not_touched_and_come_back_after_eviction() -> None:
    touched = TouchedKeySet()
    table = filtered(1, sync_client=touched)
    table.apply_gradients([1, 2, 2], ones(3), 0, req_time=0)
    assert touched.steal().tolist() == [2]
    table.apply_gradients([3, 3], ones(2), 0, req_time=DAY)
    assert table.evict() == 1
    assert table.size() == 1
    table.apply_gradients([2], ones(1), 0, req_time=DAY)
    assert table.contains([2]).tolist() == [True], "the old count lets it back in at once"


def test_thresholds_go_by_slot() -> None:
    slots = slot_thresholds({3: 1, 4: 0})
    slots.slot_occurrence_thresholds.add(slot=3, occurrence_threshold=2)
    table = single(message(part(1)), hash_filter=SlidingHashFilter(300, 7, slots))
    ids = [(slot << 48) | SPREAD for slot in (3, 4, 5)]
    for expected in ([False, True, True], [False, True, True], [True] * 3):
        table.apply_gradients(ids, ones(3), 0)
        assert table.contains(ids).tolist() == expected


def test_filters_without_thresholds_are_idle() -> None:
    assert SlidingHashFilter(300).idle
    assert DummyFilter().idle
    assert not SlidingHashFilter(300, 7, slot_thresholds({1: 1})).idle
    assert not ProbabilisticFilter().idle


def test_interception() -> None:
    admission = SlidingHashFilter(100, 7, slot_thresholds({}, 3))
    ids = [1, 3 * SPREAD, 1]
    flags = []
    for _ in range(4):
        values, backward = intercept_gradient(admission, ids, np.ones((3, 2), np.float32))
        assert values.tolist() == [[1, 1]] * 3
        flags.append("".join(str(int(row[0] != 0)) for row in backward(np.full((3, 2), 5, np.float32))))
    assert flags == ["000", "001", "101", "111"]
    _, backward = intercept_gradient(admission, [], np.empty(0, np.float32))
    assert backward(np.empty(0, np.float32)).shape == (0, 0)
    with pytest.raises(ShapeError):
        intercept_gradient(admission, [1], np.ones(2, np.float32))[1](np.ones(3, np.float32))
    _, backward = intercept_gradient(ProbabilisticFilter(config=slot_thresholds({}, 100)), [1], np.ones(1, np.float32))
    assert backward(np.ones(1, np.float32)).tolist() == [[1]]


def test_probabilistic_filters_draw_for_missing_ids_only() -> None:
    admission = ProbabilisticFilter(config=slot_thresholds({}, 3))
    table = single(message(part(1)), hash_filter=admission)
    oracle = OracleProbabilisticFilter()
    ids = list(range(40))
    table.apply_gradients(ids, ones(40), 0)
    limit = -(-(2**32 - 1) // 3)
    expected = [oracle.draw() < limit for _ in ids]
    assert table.contains(ids).tolist() == expected
    assert 0 < sum(expected) < 40
    before = admission.export_state().generator
    table.apply_gradients([fid for fid, known in zip(ids, expected, strict=True) if known], ones(sum(expected)), 0)
    assert admission.export_state().generator == before
    assert before == tuple(oracle.state)


def test_refused_filters() -> None:
    for build in (
        lambda: SlidingHashFilter(0),
        lambda: HashFilter(0),
        lambda: HashFilter(1, 0.5),
        lambda: HashFilter(10, bits=12),
        lambda: HashFilter(10, hash="md5"),  # type: ignore[arg-type]
        lambda: SlidingHashFilter(300, "7"),  # type: ignore[arg-type]
        lambda: SlidingHashFilter(300, 7, slot_thresholds({1: 16})),
        lambda: SlidingHashFilter(300, 7, slot_thresholds({}, 16)),
        lambda: ProbabilisticFilter(seed=0),
        lambda: create_hash_filters(0, True, hash_filter_type="bloom"),
    ):
        with pytest.raises(ConfigError):
            build()
    admission = HashFilter(100)
    for call in (
        lambda: admission.add(1, -1),
        lambda: admission.add(1, 1 << 32),
        lambda: admission.should_be_filtered(1, 1, 16),
        lambda: admission.add(1 << 64, 1),
    ):
        with pytest.raises(ArgumentError):
            call()
    assert admission.num_elements == 0
    SlidingHashFilter(300, 7, slot_thresholds({1: 16}), quirks="original")
    ProbabilisticFilter(config=slot_thresholds({1: 1000}))


def test_creation() -> None:
    config = slot_thresholds({1: 2})
    names = [f.name for f in create_hash_filters(2, True, config, 300)]
    assert names == ["MonolithHashFilter_0", "MonolithHashFilter_1"]
    (one,) = create_hash_filters(0, True, config, 300, 3)
    assert (one.name, one.split_num) == ("MonolithHashFilter", 5)
    (small,) = create_hash_filters(0, True, config, 300, 3, quirks="original")
    assert small.split_num == 3
    for enable in (False, 1):
        assert create_hash_filters(0, enable, config)[0].kind == "none"  # type: ignore[arg-type]
    assert create_hash_filters(0, True, config, hash_filter_type="no_filter")[0].split_num == 0
    for quirks, equal in (("default", True), ("original", False)):
        (draws,) = create_hash_filters(
            0, True, config, hash_filter_equal_probability=True, hash_filter_type="probabilistic_filter", quirks=quirks
        )
        assert isinstance(draws, ProbabilisticFilter)
        assert draws.equal_probability is equal


def test_states_travel() -> None:
    admission = SlidingHashFilter(300, 5, slot_thresholds({}, 2))
    for fid in range(200):
        admission.add(fid * SPREAD, 1)
    assert admission.head_increment > 0
    twin = SlidingHashFilter(300, 5, slot_thresholds({}, 2))
    twin.import_state(admission.export_state())
    assert twin == admission
    assert twin.clone() == admission
    assert [twin.get(fid * SPREAD) for fid in range(200)] == [admission.get(fid * SPREAD) for fid in range(200)]
    for other in (
        SlidingHashFilter(300, 7),
        SlidingHashFilter(3000, 5),
        SlidingHashFilter(300, 5, hash="identity"),
        SlidingHashFilter(300, 5, quirks="default +filter_signature_hash"),
        DummyFilter(),
    ):
        before = other.export_state()
        with pytest.raises(StateError):
            other.import_state(admission.export_state())
        assert other.kind == "none" or other.export_state().num_elements == before.num_elements
    plain = HashFilter(100)
    plain.add(5, 3)
    copy = HashFilter(100)
    copy.import_state(plain.export_state())
    assert copy == plain
    copy.clear()
    assert copy.get(5) == 0
    assert (plain.full, plain.exceed_limit, plain.estimated_total_element, plain.size_mb) == (False, False, 1, 0)
    draws = ProbabilisticFilter(seed=7)
    again = ProbabilisticFilter(seed=8)
    again.import_state(draws.export_state())
    assert again.export_state() == draws.export_state()


def test_signatures_from_the_hash_keep_small_ids_apart() -> None:
    def merged(quirks: str) -> int:
        admission = SlidingHashFilter(300, 5, quirks=quirks)
        for fid in range(1, 61):
            admission.add(fid, 1)
        return 60 - admission.estimated_total_element

    assert merged("default") == 13
    assert merged("default +filter_signature_hash") < 3


ids_of_few = st.integers(0, 40).map(lambda k: k * SPREAD + k)
questions = st.lists(st.tuples(ids_of_few, st.sampled_from([0, 1, 2, 5, 20]), st.integers(-1, 15)), max_size=80)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(questions, st.sampled_from(["clean", "clean +filter_zero_count", "clean +filter_signature_hash"]))
def test_filters_against_the_oracle(asked: list[tuple[int, int, int]], quirks: str) -> None:
    names = Quirks.parse(quirks).names
    pairs = [
        (HashFilter(20, quirks=quirks), OracleHashFilter(20, quirks=names)),
        (HashFilter(20, bits=8, quirks=quirks), OracleHashFilter(20, bits=8, quirks=names)),
        (SlidingHashFilter(300, 100, quirks=quirks), OracleSlidingFilter(300, 100, quirks=names)),
    ]
    for engine, oracle in pairs:
        for fid, count, threshold in asked:
            got = engine.should_be_filtered(fid, count, threshold)
            assert got == oracle.should_be_filtered(fid, count, threshold)
            assert engine.get(fid) == oracle.get(fid)
        splits = oracle.splits if isinstance(oracle, OracleSlidingFilter) else [oracle.split]
        assert [cells.tolist() for cells in engine.export_state().cells] == [split.cells for split in splits]
        assert engine.export_state().num_elements == [split.num_elements for split in splits]


def test_owners_count_batches_and_ranks() -> None:
    admission = SlidingHashFilter(300, 7, slot_thresholds({}, 1))
    plan = check_table_config(message(part(1)), Quirks())
    first, second = (AdmittedRowStore(row_layout(plan, Quirks()), make_target("cpu"), admission) for _ in range(2))
    ids, rates = np.array([5, 6], np.int64), np.ones(1, np.float32)
    for rank in range(2):
        # The id is on both ranks of one batch: the first one's gradient is lost, the second one's applied.
        rows = first.find_or_insert(ids, first.find(ids).copy())
        assert rows.tolist() == ([-1, -1] if rank == 0 else [0, 1])
        first.optimize(rows, np.array([1, 2], np.float32), rates, 0, 3, distinct=True)
    assert first.export().weights.tolist() == [[-1], [-2]]
    assert second.find_or_insert(ids).tolist() == [0, 1], "tables of a rank share the counts"
    second.import_(RowDump(np.array([99]), np.ones((1, 1), np.float32), [{}], np.zeros(1, np.uint32)))
    assert second.size == 3
