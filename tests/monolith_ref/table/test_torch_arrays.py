"""Tensors of torch as ids, values and gradients: shared where they can be, never changed; skipped without torch."""

from __future__ import annotations

import numpy as np
import pytest

from monolith_ref.errors import DtypeError
from monolith_ref.table.arrays import as_floats, as_ids

from .support import single

torch = pytest.importorskip("torch", reason="torch is not installed")


def test_tensors_are_shared_and_left_as_they_are() -> None:
    ids = torch.tensor([5, -7, 9])
    values = torch.arange(6, dtype=torch.float32).reshape(3, 2)
    assert as_ids(ids).__array_interface__["data"][0] == ids.data_ptr()
    assert as_floats(values, "values").__array_interface__["data"][0] == values.data_ptr()
    before = ids.clone(), values.clone()
    table = single().assign(ids, values)
    np.testing.assert_array_equal(table.lookup(ids), values.numpy())
    table.apply_gradients(ids, values, 0)
    assert torch.equal(ids, before[0])
    assert torch.equal(values, before[1])
    looked_up = torch.from_dlpack(table.lookup(ids))
    assert looked_up.shape == (3, 2)


def test_tensors_give_the_bits_that_arrays_give() -> None:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(-50, 50, (200,), generator=generator)
    grads = torch.randn((200, 2), generator=generator)
    ours = single().apply_gradients(ids, grads, 1)
    theirs = single().apply_gradients(ids.numpy(), grads.numpy(), 1)
    found, wanted = ours.lookup(ids), theirs.lookup(ids.numpy())
    np.testing.assert_array_equal(found.view(np.uint32), wanted.view(np.uint32))


def test_strided_narrow_and_foreign_tensors() -> None:
    ids = torch.arange(8)
    assert as_ids(ids[::2]).tolist() == [0, 2, 4, 6]
    assert as_ids(ids.to(torch.int32)).tolist() == list(range(8))
    assert as_floats(torch.tensor([0.5], dtype=torch.float16), "values").tolist() == [0.5]
    for bad in (torch.tensor([0.1], dtype=torch.float64), torch.ones(1, requires_grad=True)):
        with pytest.raises(DtypeError):
            as_floats(bad, "values")
    with pytest.raises(DtypeError):
        as_ids(torch.ones(2))
