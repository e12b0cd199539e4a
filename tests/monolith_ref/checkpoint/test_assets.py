"""Tables restored from a lone folder of their files."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from monolith_ref.checkpoint.assets import lone_assets, restore_from_assets
from monolith_ref.errors import CheckpointError
from monolith_ref.table.multi import MultiHashTable
from monolith_ref.table.names import NameScope
from tests.monolith_ref.checkpoint.support import T0
from tests.monolith_ref.checkpoint.test_api import ADAGRAD, ADAM, instance, single

IDS = np.array([3, -1, 7], np.int64)


def pair():
    """An empty table and an empty multi table."""
    multi = MultiHashTable.from_configs({"a": instance(ADAGRAD), "b": instance(ADAM)}, scope=NameScope())
    return single("x", ADAGRAD), multi


@pytest.fixture
def trained(tmp_path):
    """Tables with rows, and a directory that holds nothing but their files."""
    table, multi = pair()
    table.apply_gradients(IDS, np.ones((3, 2), np.float32), 1, req_time=T0)
    multi.apply_gradients({"b": (IDS[:2], np.ones((2, 3), np.float32))}, 1, req_time=T0)
    folder = tmp_path / "model" / "exported.assets"
    table.save(str(folder / "MonolithHashTable_x"))
    multi.save(str(folder / multi.name))
    for manifest in folder.glob("*.manifest"):
        manifest.unlink()
    return tmp_path / "model", table, multi


def test_rows_come_back_from_the_only_folder(trained):
    root, table, multi = trained
    other, others = pair()
    other.apply_gradients(np.array([99]), np.ones((1, 2), np.float32), 1, req_time=T0)
    assert lone_assets(root) == root / "exported.assets"
    assert restore_from_assets(root, [other, others]) == root / "exported.assets"
    assert other.size() == 3
    np.testing.assert_array_equal(other.lookup(IDS), table.lookup(IDS))
    np.testing.assert_array_equal(others.lookup({"b": IDS})["b"], multi.lookup({"b": IDS})["b"])


def test_one_folder_and_no_checkpoint_are_needed(trained, tmp_path):
    root, table, _multi = trained
    assert lone_assets(tmp_path / "nowhere") is None
    for name in ("checkpoint", "model.ckpt-7.index"):
        (root / name).write_text("")
        assert lone_assets(root) is None
        assert restore_from_assets(root, [table]) is None
        (root / name).unlink()
    (root / "second.assets").mkdir()
    assert lone_assets(root) is None
    shutil.rmtree(root / "second.assets")
    (root / "second.assets").write_text("no folder")
    assert lone_assets(root) == root / "exported.assets"
    shutil.rmtree(root / "exported.assets")
    assert lone_assets(root) is None


def test_no_table_changes_where_one_cannot_be_read(trained):
    root, _table, multi = trained
    other, others = pair()
    other.apply_gradients(np.array([99]), np.ones((1, 2), np.float32), 1, req_time=T0)
    path = next((root / "exported.assets").glob(f"{multi.name}-*"))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(CheckpointError):
        restore_from_assets(root, [other, others])
    assert other.contains(np.array([99, 3])).tolist() == [True, False]
