"""Published dealings of ids, and gradient sums in send order where owners interleave."""

from __future__ import annotations

import numpy as np
import pytest
from monolith_kernels.target import target

from monolith_ref.errors import ConfigError, ShapeError, StateError, UnknownNameError
from monolith_ref.features.combiners import ReduceSum
from monolith_ref.features.ragged import Ragged
from monolith_ref.sync.communicator import SerialCommunicator
from monolith_ref.sync.embeddings import STAGES, ShardedEmbeddings
from monolith_ref.sync.step import Step
from tests.monolith_ref.sync.naive import MERGED, MULTI, Plan, make_batch, make_store

F = np.float32


class OneOfMany(SerialCommunicator):
    """The first of ``size`` ranks, for stages that do not talk."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size


def two_tables(communicator: SerialCommunicator, **options: object) -> ShardedEmbeddings:
    place = target("cpu")
    plans = [
        Plan("feature0", ("feature0",), (None,), (ReduceSum(),), 2),
        Plan("feature1", ("feature1",), (None,), (ReduceSum(),), 1),
    ]
    tables = {"feature0": make_store(place, 2), "feature1": make_store(place, 1)}
    return ShardedEmbeddings(plans, tables, communicator, target=place, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ranks", "empty", "ids", "per_owner", "per_table", "offsets"),
    [
        (3, False, "9 12 10 4 7 4 5", "2 4 1", "1 1 3 1 0 1", ("3 5 3 0 7", "2 10 9")),
        (5, False, "10 5 7 12 4 9 4", "2 0 2 0 3", "1 1 0 0 1 1 0 0 2 1", ("0 6 0 8 3", "5 2 10")),
        (5, True, "4 12 4 9 5 10 7", "0 3 2 1 1", "0 0 1 2 1 1 1 0 1 0", ("7 0 7 4 9", "2 6 3")),
        # The empty rank 0 needs more than 4 ranks.
        (3, True, "9 12 10 4 7 4 5", "2 4 1", "1 1 3 1 0 1", ("3 5 3 0 7", "2 10 9")),
    ],
)
def test_published_vectors(
    ranks: int, empty: bool, ids: str, per_owner: str, per_table: str, offsets: tuple[str, str]
) -> None:
    embeddings = two_tables(OneOfMany(ranks), empty_rank0=empty)
    batch = {
        "feature0": Ragged.from_rows([[10, 4], [10, 9, 7]]),
        "feature1": Ragged.from_rows([[12, 5], [4]]),
    }
    step = Step(batch, 2)
    embeddings.stages["dedup"](step)
    assert step.split.ids.tolist() == [int(word) for word in ids.split()]
    assert step.split.owner_counts.tolist() == [int(word) for word in per_owner.split()]
    assert step.split.owner_table_counts.reshape(-1).tolist() == [int(word) for word in per_table.split()]
    each = step.offsets[step.unique.inverse].tolist()
    assert each == [int(word) for part in offsets for word in part.split()]


def test_negative_ids_have_an_owner() -> None:
    embeddings = two_tables(OneOfMany(3))
    fids = np.array([-1, -2, -3, -(1 << 63), (1 << 63) - 1, 0], np.int64)
    assert embeddings.owner(fids).tolist() == [int(fid) % 3 for fid in fids.tolist()]


@pytest.mark.parametrize("dim", [1, 2, 3, 5, 7, 8, 9, 12, 15, 16, 17])
def test_gradient_sums_in_send_order_touch_no_other_owners_floats(dim: int) -> None:
    # Vectors of several owners interleave and tables of other widths follow: whole vector stores must not run over.
    rng = np.random.default_rng(dim)
    place = target("cpu")
    dims = [dim, 1, dim + 1]
    for _ in range(20):
        batches = [rng.integers(0, 40, int(rng.integers(0, 60))) for _ in dims]
        values = np.concatenate(batches).astype(np.int64)
        table_splits = np.cumsum([0, *map(len, batches)])
        unique = place.dedup.unique_tables(values, table_splits)
        split = place.shard.split(unique.unique, unique.unique_splits, 3, False)
        offsets = place.shard.offsets(split.order, unique.unique_splits, split.owner_table_counts, dims)
        total = int(split.owner_table_counts.sum(axis=0) @ np.array(dims))
        out, truth = np.full(total, np.nan, F), np.zeros(total, F)
        first_new = 0
        for k, width in enumerate(dims):
            low, high = int(table_splits[k]), int(table_splits[k + 1])
            grad = rng.standard_normal((high - low, width)).astype(F)
            splits = np.arange(low, high + 1)
            first_new = place.segment.gradient_sums(
                grad, 0, width, splits, unique.inverse, np.empty(0, F), offsets, out, first_new
            )
            for j in range(low, high):
                at = int(offsets[unique.inverse[j]])
                truth[at : at + width] += grad[j - low]
        assert (out.view("u4") == truth.view("u4")).all()


def small(**options: object) -> ShardedEmbeddings:
    place = target("cpu")
    return ShardedEmbeddings(
        MULTI,
        {plan.name: make_store(place, plan.dim) for plan in MULTI},
        SerialCommunicator(),
        target=place,
        **options,  # type: ignore[arg-type]
    )


def test_stages_run_in_order_and_can_be_wrapped() -> None:
    embeddings = small()
    seen: list[str] = []
    for name in STAGES:
        embeddings.wrap(name, lambda stage, step, name=name: (seen.append(name), stage(step))[1])
    batch, rows = make_batch(1, 0, 0)
    x = embeddings.forward(batch, rows)
    embeddings.backward(np.ones_like(x))
    embeddings.apply({plan.name: [0.1] for plan in MULTI}, 0)
    assert tuple(seen) == STAGES
    assert set(embeddings.seconds) == set(STAGES)
    with pytest.raises(UnknownNameError, match="dedup"):
        embeddings.wrap("dedupe", lambda stage, step: None)


def test_nothing_changes_before_apply_and_a_discarded_step_changes_nothing() -> None:
    embeddings = small()
    batch, rows = make_batch(1, 0, 0)
    with pytest.raises(StateError):
        embeddings.apply({}, 0)
    x = embeddings.forward(batch, rows)
    embeddings.backward(np.ones_like(x))
    embeddings.discard()
    assert all(table.size == 0 for table in embeddings.tables.values())
    with pytest.raises(StateError):
        embeddings.apply({plan.name: [0.1] for plan in MULTI}, 0)


def test_batches_that_do_not_fit_are_refused() -> None:
    embeddings = small()
    batch, rows = make_batch(1, 0, 0)
    with pytest.raises(ShapeError, match="alpha"):
        embeddings.forward(batch, rows + 1)
    with pytest.raises(UnknownNameError, match="alpha"):
        embeddings.forward({}, 0)
    with pytest.raises(ShapeError):
        embeddings.forward(batch, rows, np.empty((rows, 3), F))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"reduction": "average"}, "sync.reduction"),
        ({"grad_wire": "f8"}, "embedding_grad_wire"),
        ({"reduction": "exact", "grad_wire": "f16"}, "unrounded"),
        ({"staleness": -1}, "staleness"),
        ({"columns": {"alpha": (0, 3)}}, "has no columns"),
        ({"columns": dict.fromkeys(("alpha", "beta", "gamma10", "wide", "first"), (0, 5))}, "needs"),
    ],
)
def test_contradicting_options_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        small(**options)


def merged(slots: tuple[int | None, ...], **options: object) -> ShardedEmbeddings:
    place = target("cpu")
    plan = Plan("merged", ("a", "b"), slots, (ReduceSum(), ReduceSum()), 2)
    return ShardedEmbeddings(
        [plan],
        {"merged": make_store(place, 2)},
        SerialCommunicator(),
        target=place,
        **options,  # type: ignore[arg-type]
    )


def test_merged_tables_refuse_foreign_slots_and_shared_ids() -> None:
    one, two = 1 << 48, 2 << 48
    fine = {"a": Ragged.from_rows([[one + 5, one + 6]]), "b": Ragged.from_rows([[two + 5]])}
    merged((1, 2)).forward(fine, 1)
    with pytest.raises(ConfigError, match=f"feature 'b' .slot 2. brings id {one + 5} of slot 1"):
        merged((1, 2)).forward({**fine, "b": Ragged.from_rows([[two + 5, one + 5]])}, 1)
    merged((1, 2), merge_collisions=True).forward({**fine, "b": Ragged.from_rows([[one + 5]])}, 1)
    bare = {"a": Ragged.from_rows([[5, 6, 5]]), "b": Ragged.from_rows([[7]])}
    merged((None, None)).forward(bare, 1)
    with pytest.raises(ConfigError, match="both bring id 6"):
        merged((None, None)).forward({**bare, "b": Ragged.from_rows([[7, 6]])}, 1)
    # A sign bit is no part of the slot.
    signed = Ragged.from_rows([[one + 5 - (1 << 63)]])
    merged((1, 2)).forward({**fine, "a": signed}, 1)


def test_non_finite_gradients_are_found_before_rows_change() -> None:
    for reduction in ("sequential", "sum", "exact"):
        embeddings = small(reduction=reduction)
        batch = {name: Ragged.from_rows([[], []]) for name in ("alpha", "beta", "gamma10", "first")}
        batch["wide"] = Ragged.from_rows([[(4 << 48) + 1], [(4 << 48) + 2, (4 << 48) + 3]])
        x = embeddings.forward(batch, 2)
        first, _ = embeddings.columns["wide"]
        dx = np.zeros_like(x)
        embeddings.backward(dx)
        assert embeddings.find_non_finite() is None
        dx[1, first + 3] = np.inf
        embeddings.backward(dx)
        finding = embeddings.find_non_finite()
        assert finding is not None
        assert (finding.where, finding.fid, finding.element) == ("wide", (4 << 48) + 2, 3)
        assert embeddings.tables["wide"].size == 0


def test_an_overflow_at_the_owner_is_found() -> None:
    embeddings = small(reduction="exact")
    batch = {name: Ragged.from_rows([[]]) for name in ("alpha", "beta", "gamma10", "first", "wide")}
    batch["alpha"] = Ragged.from_rows([[(1 << 48) + 9] * 2])
    x = embeddings.forward(batch, 1)
    embeddings.backward(np.full_like(x, 3e38))
    finding = embeddings.find_non_finite()
    assert finding is not None
    assert (finding.where, finding.fid, finding.value) == ("alpha", (1 << 48) + 9, np.inf)


def test_layouts_give_equal_bits() -> None:
    rows_of = {}
    for plans in (MULTI, MERGED):
        place = target("cpu")
        columns = {"wide": (0, 16), "gamma10": (16, 3), "alpha": (20, 3), "beta": (23, 3), "first": (26, 4)}
        embeddings = ShardedEmbeddings(
            plans,
            {plan.name: make_store(place, plan.dim) for plan in plans},
            SerialCommunicator(),
            target=place,
            columns=columns,
        )
        for step in range(5):
            batch, rows = make_batch(3, 0, step)
            x = embeddings.forward(batch, rows)
            embeddings.backward(np.random.default_rng(step).standard_normal(x.shape).astype(F))
            embeddings.apply({plan.name: [0.1] for plan in plans}, step)
        for plan in plans:
            dump = embeddings.tables[plan.name].export()
            for fid, w in zip(dump.ids.tolist(), dump.weights, strict=True):
                rows_of.setdefault(fid, set()).add(w.tobytes())
    assert all(len(values) == 1 for values in rows_of.values())


def test_features_of_one_slot_share_rows_on_purpose() -> None:
    class Shared(Plan):
        @property
        def slot_names(self) -> tuple[str, ...]:
            return tuple("shared" for _ in self.features)

    place = target("cpu")
    plan = Shared("shared", ("a", "b"), (None, None), (ReduceSum(), ReduceSum()), 2)
    embeddings = ShardedEmbeddings([plan], {"shared": make_store(place, 2)}, SerialCommunicator(), target=place)
    batch = {"a": Ragged.from_rows([[5, 6]]), "b": Ragged.from_rows([[6]])}
    x = embeddings.forward(batch, 1)
    dx = np.zeros_like(x)
    dx[0, :4] = [1, 2, 10, 20]
    embeddings.backward(dx)
    embeddings.apply({"shared": [0.1]}, 0)
    assert embeddings.updated()["shared"].tolist() == [5, 6]
    norm = embeddings.tables["shared"].export().state[0]["norm"]
    assert norm.tolist() == [[F(1.1), F(4.1)], [F(0.1) + F(121), F(0.1) + F(484)]]


@pytest.mark.parametrize("reduction", ["sequential", "mean", "exact"])
def test_steps_of_one_size_share_their_buffers(reduction: str) -> None:
    embeddings = small(reduction=reduction)
    places = set()
    for _ in range(3):
        batch, rows = make_batch(3, 0, 0)
        x = embeddings.forward(batch, rows)
        embeddings.backward(np.ones_like(x))
        embeddings.apply({plan.name: [0.1] for plan in MULTI}, 0)
        step = embeddings.step
        arrays = (x, step.reply, step.sums, step.updates[0].gradients)
        places.add(tuple(array.__array_interface__["data"][0] for array in arrays))
    assert len(places) == 1


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 5, 8, 9, 16, 17, 40])
def test_owners_are_floor_remainders_and_offsets_follow_them(ranks: int) -> None:
    fids = np.random.default_rng(ranks).integers(-(2**63), 2**63 - 1, 200, np.int64)
    for empty in (False, True):
        embeddings = two_tables(OneOfMany(ranks), empty_rank0=empty)
        alone = empty and ranks > 4
        expected = [int(fid) % (ranks - 1) + 1 if alone else int(fid) % ranks for fid in fids]
        assert embeddings.owner(fids).tolist() == expected
        batch = {
            "feature0": Ragged.from_rows([fids[:150].tolist()]),
            "feature1": Ragged.from_rows([fids[150:].tolist()]),
        }
        step = Step(batch, 1)
        embeddings.stages["dedup"](step)
        # In send order, dims 2 and 1.
        order = sorted(range(200), key=lambda i: (expected[i], i >= 150, i))
        widths = [2 if i < 150 else 1 for i in order]
        begins = dict(zip(order, np.cumsum([0, *widths[:-1]]).tolist(), strict=True))
        assert step.offsets.tolist() == [begins[i] for i in range(200)]
