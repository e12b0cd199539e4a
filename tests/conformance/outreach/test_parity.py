"""Parity assertions compare bits, say where they differ, and take whatever holds an array."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from monolith_conformance import Reference, assert_parity, assert_same_dump

from monolith_ref.errors import ConfigError, ShapeError
from monolith_ref.table.small import make_test_hash_table

DUMPS = Path(str(files("monolith_conformance") / "golden" / "model_dump"))


def _trained() -> Reference:
    reference = Reference(2, "adagrad", initial_accumulator_value=0.1)
    reference.optimize([5, 6, 5, 5], [[1, 0.1], [2, 0.2], [0.3, -0.7], [1e-8, 3]], rate=0.1)
    return reference


def test_the_reference_holds_the_measured_example() -> None:
    rows = [float(value).hex() for value in _trained().lookup([5, 6, -1]).reshape(-1)]
    expected = ["-0x1.f72ea6p-4", "-0x1.2be090p-5", "-0x1.9492f6p-4", "-0x1.b5e17ep-5", "0x0p+0", "0x0p+0"]
    assert rows == [float.fromhex(value).hex() for value in expected]


class Tensor:
    """What PyTorch's and TensorFlow's tensors have in common: detach, cpu, numpy."""

    def __init__(self, values: object) -> None:
        self._values = np.asarray(values)

    def detach(self) -> Tensor:
        return self

    cpu = detach

    def numpy(self) -> object:
        return self._values


def test_everything_that_holds_rows_is_taken() -> None:
    reference = _trained()
    rows = reference.lookup([5, 6])
    assert_parity(rows, reference)
    assert_parity(Tensor(rows), reference)
    assert_parity({5: rows[0], 6: Tensor(rows[1])}, reference)
    assert_parity({5: rows[0].tolist(), 6: rows[1].tolist()}, reference)
    assert_parity(lambda ids: reference.lookup(ids), reference)
    assert_parity(reference, reference, ids=[6, 5, 99])
    assert_parity(rows, {5: rows[0], 6: rows[1]})


def test_one_bit_is_found_and_named() -> None:
    reference = _trained()
    rows = reference.lookup([5, 6])
    rows.view(np.uint32)[1, 0] ^= 1
    with pytest.raises(AssertionError, match=r"1 of 4 floats differ, in 1 rows:\n  id 6, element 0: .*, 1 ulp"):
        assert_parity(rows, reference)


def test_signs_of_zero_differ_and_nans_are_one() -> None:
    nan = np.array([[np.float32(np.nan)]])
    assert_parity(nan, -nan, ids=[1])
    with pytest.raises(AssertionError, match="80000000"):
        assert_parity(np.array([[np.float32(-0.0)]]), np.zeros((1, 1), np.float32), ids=[1])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.zeros((2, 2)), "float64"),
        (np.zeros((2, 3), np.float32), r"\(2, 3\), the reference \(2, 2\)"),
        ({5: np.zeros(2, np.float32)}, "no row for 1 ids, the first being 6"),
    ],
)
def test_what_cannot_be_compared_is_an_assertion_too(table: object, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_parity(table, _trained())


def test_ids_must_be_known_and_whole() -> None:
    with pytest.raises(ShapeError, match="ids="):
        assert_parity(np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32))
    with pytest.raises(ShapeError, match="float64"):
        assert_parity(_trained(), _trained(), ids=[0.5])


def test_a_reference_refuses_settings_that_no_table_has() -> None:
    with pytest.raises(ConfigError):
        Reference(0, "sgd")
    with pytest.raises(ShapeError, match="2 floats each"):
        Reference(2).assign([1], [1.0])


def test_the_engine_is_at_parity() -> None:
    reference = Reference(4, "adagrad")
    table = make_test_hash_table(4, learning_rate=0.1, use_adagrad=True, name_suffix="parity")
    gradients = np.random.default_rng(3).normal(size=(3, 4)).astype(np.float32)
    reference.optimize([7, 8, 7], gradients, rate=0.1)
    table.apply_gradients(np.array([7, 8, 7]), gradients, 0, req_time=1)
    assert_parity(table, reference)


def test_dumps_are_compared_by_content() -> None:
    one, other = DUMPS / "two_heads.pb", DUMPS / "ctr_one_head.pb"
    assert_same_dump(one, one.read_bytes())
    with pytest.raises(AssertionError, match=r"\d+ differences:\n  "):
        assert_same_dump(str(one), other)


def test_importing_the_package_or_the_plugin_loads_nothing_heavy() -> None:
    code = (
        "import sys; import pytest; import monolith_conformance.pytest_plugin; "
        "heavy = {'numpy', 'numba', 'google.protobuf', 'torch', 'tensorflow', 'rich'} & set(sys.modules); "
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
