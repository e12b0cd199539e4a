"""The step on the CUDA target gives the bits of the CPU's (in the simulator where there is no device)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from monolith_kernels.target import target

from monolith_ref.training.engine import Engine
from tests.monolith_ref.training.tasks import Task, batch, same, table_rows

pytestmark = pytest.mark.cudasim


@pytest.mark.parametrize(("layout", "reduction"), [("multi", "sequential"), ("merged", "exact")])
def test_steps_have_the_bits_of_the_cpu(layout: Any, reduction: Any) -> None:
    cpu = Engine(Task(), layout=layout, reduction=reduction)
    cuda = Engine(Task(), layout=layout, reduction=reduction, target=target("cuda"))
    for step in range(2):
        b = batch(step, 3)
        one, other = cpu.step(b), cuda.step(b)
        same(one.forward.x, other.forward.x)
        same(one.forward.predictions["main"], other.forward.predictions["main"])
        same(one.dx, other.dx)
        same(one.loss, other.loss)
        for name, gradient in one.dense_gradients.items():
            same(gradient, other.dense_gradients[name])
        for name, value in cpu.variables.items():
            same(value, cuda.variables[name])
            same(cpu.slots[name]["accumulator"], cuda.slots[name]["accumulator"])
    one_rows, other_rows = table_rows(cpu), table_rows(cuda)
    assert sorted(one_rows) == sorted(other_rows)
    for fid, (w, a) in one_rows.items():
        same(w, other_rows[fid][0])
        same(a, other_rows[fid][1])
    assert any(np.any(w) for w, _ in one_rows.values())
