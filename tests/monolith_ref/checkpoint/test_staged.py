"""Rows that are read straight into what a cleared table takes over, and threads that work ahead."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from monolith_kernels.target import target

from monolith_ref.checkpoint import sets
from monolith_ref.checkpoint.ahead import ahead
from monolith_ref.checkpoint.content import TableContent
from monolith_ref.checkpoint.loaded import make_stage
from monolith_ref.quirks import Quirks
from monolith_ref.table.build import row_layout
from monolith_ref.table.config import check_table_config
from monolith_ref.table.store import RowStore
from tests.monolith_ref.checkpoint.support import T0, config, random_rows

SHAPES = [((16, "adagrad"),), ((3, "adam"), (5, "ftrl")), ((4, "group_adagrad"), (2, "sgd"))]


def empty(message, quirks="clean"):
    """A table without rows."""
    switches = Quirks.parse(quirks)
    return RowStore(row_layout(check_table_config(message, switches), switches), target("cpu"), quirks=switches)


def bits(store):
    """Everything that a table holds, by row number."""
    dump = store.export()
    state = [{name: values.tobytes() for name, values in arrays.items()} for arrays in dump.state]
    return dump.ids.tolist(), dump.weights.tobytes(), state, dump.update_time.tolist()


def loaded_set(folder, message, rows, kind="single"):
    """A set of these rows, read back."""
    data = message.SerializeToString()
    content = TableContent("t", kind, data, ("0.1",), rows, T0)
    if kind == "single":
        sets.save_single(folder / "t", content, shards=3)
        return sets.load_single(folder / "t", data)
    sets.save_multi(folder / "t", [content], shards=2)
    return sets.load_multi(folder / "t", {"t": data})["t"]


@pytest.mark.parametrize("kind", ["single", "multi"])
@pytest.mark.parametrize("shape", SHAPES)
def test_rows_taken_over_are_the_rows_imported(tmp_path, shape, kind):
    message = config(*shape)
    for segment in message.entry_config.segments:
        segment.init_config.random_uniform.minval = -1
        segment.init_config.random_uniform.maxval = 1
    loaded = loaded_set(tmp_path, message, random_rows(message, 1000), kind)
    assert loaded.stage is not None
    imported, taken = empty(message), empty(message)
    for rows, widths in loaded.parts:
        imported.import_(rows, widths)
    taken.track_changes()
    place = loaded.stage.storage.rows.ctypes.data
    loaded.put_into(taken)
    assert taken._storage.rows.ctypes.data == place
    assert bits(taken) == bits(imported)
    assert taken.streams.draws == imported.streams.draws > 0
    more = np.array([10**12, 5], np.int64)
    for store in (taken, imported):
        numbers = store.find_or_insert(more)
        store.optimize(numbers, np.ones(2 * store.dim, np.float32), np.full(2, 0.1, np.float32), 0, T0)
    assert bits(taken) == bits(imported)
    assert len(taken.changes()[0]) == taken.size


def test_rows_are_imported_where_taking_them_over_would_differ(tmp_path):
    message = config((3, "adam"))
    rows = random_rows(message, 50)
    for quirks, occupied in (("clean +adam_restore_powers", False), ("clean", True)):
        loaded = loaded_set(tmp_path, message, rows)
        store, expected = empty(message, quirks), empty(message, quirks)
        if occupied:
            for each in (store, expected):
                each.find_or_insert(np.array([4242], np.int64))
        place = loaded.stage.storage.rows.ctypes.data
        loaded.put_into(store)
        expected.import_(rows)
        assert store._storage.rows.ctypes.data != place
        assert bits(store) == bits(expected)


def test_ids_that_come_twice_are_noticed_while_they_come():
    stage = make_stage(config((2, "adagrad")).SerializeToString(), 10)
    for ids in ([1, 2], [3], [2, 9]):
        stage.take(len(ids))
        stage.number(np.array(ids, np.int64), np.zeros(len(ids), np.uint32))
    assert not stage.distinct
    assert not stage.fits(stage.layout)


def test_what_has_no_floats_for_state_is_not_staged():
    assert make_stage(config((2, "batch_softmax")).SerializeToString(), 0) is None
    assert make_stage(config((2, "adagrad"), serving=True).SerializeToString(), 0) is None


def test_a_thread_works_ahead_in_order_and_hands_errors_on():
    made, names = [], set()

    def work():
        for number in range(5):
            made.append(number)
            names.add(threading.current_thread().name)
            yield number
        raise KeyError("five")

    seen = []
    with pytest.raises(KeyError, match="five"):
        seen.extend(ahead(work(), depth=2))
    assert seen == made == [0, 1, 2, 3, 4]
    assert threading.current_thread().name not in names
    taken = ahead(iter(range(100)), depth=1)
    assert next(taken) == 0
    taken.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]
