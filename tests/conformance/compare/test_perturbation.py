"""One wrong bit in any kernel of the engine, or in any rule of the oracle, fails the run.

This is what shows that the two paths share no arithmetic: whatever one of them computes wrongly, the other does not.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monolith_conformance.oracle import sync, sync_exact, sync_rules
from monolith_kernels import reduction, tables
from monolith_kernels.target import TWIN_MODULES

from tests.conformance.compare.support import run_small

Spoil = Callable[[Any, dict[str, Any]], tuple[bool, Any]]
"""From a result and the arguments: (was there something to spoil, the spoilt result)."""

INNER = 20
"""Bit of a float that is not compared itself: a lower one may be rounded away before anything is."""


def flip_one(array: np.ndarray[Any, Any], bit: int = 0) -> bool:
    """Flip one bit of an element that is not zero, counted from the last one that float32 has; False: all zero."""
    where = np.argwhere(array)
    if len(where) == 0:
        return False
    at = tuple(where[len(where) // 2])
    kind = np.dtype(f"u{array.dtype.itemsize}")
    shift = bit + (29 if array.dtype == np.float64 else 0)
    array[at] = (np.array(array[at]).view(kind) ^ kind.type(1 << shift)).view(array.dtype)
    return True


def argument(name: str, bit: int = 0) -> Spoil:
    """Spoil an argument that the kernel writes."""
    return lambda result, given: (flip_one(given[name], bit), result)


def returned(result: Any, given: dict[str, Any], bit: int = 0) -> tuple[bool, Any]:
    """Spoil the returned array."""
    changed = np.array(result)
    return flip_one(changed, bit), changed


def later(spoil: Spoil) -> Spoil:
    """Leave the first call alone: in step 0 all rows are zero, and many ways lead to the same gradients."""
    calls = []

    def spoil_later(result: Any, given: dict[str, Any]) -> tuple[bool, Any]:
        calls.append(1)
        return spoil(result, given) if len(calls) > 1 else (False, result)

    return spoil_later


def number(result: Any, given: dict[str, Any]) -> tuple[bool, Any]:
    """Spoil the returned float."""
    spoilt = np.array([result], np.float32)
    return flip_one(spoilt), (np.float32(spoilt[0]) if isinstance(result, np.floating) else float(spoilt[0]))


def part(field: int | str, bit: int = 1, at: int = 0) -> Spoil:
    """Spoil an integer array of a returned tuple."""

    def spoil(result: Any, given: dict[str, Any]) -> tuple[bool, Any]:
        index = field if isinstance(field, int) else result._fields.index(field)
        parts = list(result)
        if len(parts[index]) <= at + 1:
            return False, result
        parts[index] = np.array(parts[index])
        parts[index][at] ^= bit
        return True, type(result)(parts) if type(result) is tuple else type(result)(*parts)

    return spoil


def float_part(field: int, bit: int = 0) -> Spoil:
    """Spoil a float array of a returned tuple or list."""

    def spoil(result: Any, given: dict[str, Any]) -> tuple[bool, Any]:
        parts = list(result)
        parts[field] = np.array(parts[field])
        done = flip_one(parts[field], bit)
        return done, type(result)(parts) if type(result) in (tuple, list) else type(result)(*parts)

    return spoil


def summed(result: Any, given: dict[str, Any]) -> tuple[bool, Any]:
    """Spoil the sum of the first occurrence's id."""
    if given["row_splits"][-1] == given["row_splits"][0]:
        return False, result
    start = given["targets"][given["positions"][given["row_splits"][0]]]
    return flip_one(given["out"][start : start + given["dim"]]), result


def updated(result: Any, given: dict[str, Any]) -> tuple[bool, Any]:
    """Spoil the first row that was written."""
    return len(given["numbers"]) > 0 and flip_one(given["rows"][given["numbers"][0]]), result


def found(result: Any, given: dict[str, Any]) -> tuple[bool, Any]:
    """Spoil the row number of an id that is there."""
    rows = given["out_rows"]
    present = np.flatnonzero((rows > 0) & (rows & 64 != 0))
    if len(present) == 0:
        return False, result
    rows[present[0]] ^= 64
    return True, result


def gathered(result: Any, given: dict[str, Any]) -> tuple[bool, Any]:
    """Spoil a row that was copied."""
    block = given["blocks"][0]
    dim = given["tables"][block.table].dim
    return flip_one(given["out"][block.start : block.start + len(block.ids) * dim]), result


def found_together(result: Any, given: dict[str, Any]) -> tuple[bool, Any]:
    """Spoil the row number of an id that is there."""
    return found(result, {"out_rows": given["blocks"][0].numbers})


def updated_together(result: Any, given: dict[str, Any]) -> tuple[bool, Any]:
    """Spoil the first row that was written, once rows are where they were before the call."""
    block = given["blocks"][0]
    table = given["tables"][block.table]
    row = int(block.numbers[0])
    return row < len(table.rows) and flip_one(table.rows[row, : table.dim]), result


def put(result: Any, given: dict[str, Any]) -> tuple[bool, Any]:
    """Spoil a row that was written."""
    return flip_one(given["table"][given["positions"][0]]), result


def partial(result: Any, given: dict[str, Any]) -> tuple[bool, Any]:
    """Spoil an unrounded sum."""
    values = np.array(result.values)
    return flip_one(values), type(result)(values, *result[1:])


KERNELS: dict[str, tuple[str, Spoil]] = {
    "dedup.unique_tables: ids": ("sequential", part("unique")),
    "dedup.unique_tables: inverse": ("sequential", part("inverse")),
    "shard.split: ids": ("sequential", part("ids")),
    "shard.split: order": ("sequential", part("order")),
    "shard.offsets": ("sequential", returned),
    "shard.merge: ids": ("mean", part("ids")),
    "lookup.find": ("sequential", found),
    "lookup.items": ("sequential", part(0)),
    "segment.gradient_sums": ("mean", summed),
    "segment.gradient_sums_exact": ("exact", summed),
    "optimize.update": ("sequential", updated),
    "optimize.export_rows": ("sequential", returned),
    "tables.find_gather: rows": ("sequential", gathered),
    "tables.find_gather: numbers": ("sequential", found_together),
    "tables.sums": ("sequential", argument("out")),
    "tables.gradient_sums": ("sequential", argument("out")),
    "tables.update": ("sequential", updated_together),
    "dense.affine": ("sequential", argument("out")),
    "dense.squared_error: gradient": ("sequential", argument("d")),
    "dense.squared_error: loss": ("sequential", number),
    "dense.squared_error_terms: gradient": ("exact", argument("d")),
    "dense.squared_error_terms: loss": ("exact", argument("terms", INNER)),
    "dense.scale": ("sequential", argument("out")),
    "dense.relu_gradient": ("sequential", argument("out")),
    "dense.input_gradient": ("sequential", argument("out")),
    "dense.weight_gradient": ("sequential", argument("out")),
    "dense.weight_gradient_exact": ("exact", argument("out")),
    "dense.bias_gradient": ("sequential", argument("out")),
    "dense.bias_gradient_exact": ("exact", argument("out")),
    "dense.rank_sum": ("sequential", argument("out")),
    "reduction.finish": ("exact", argument("out")),
    "reduction.exact_sum": ("exact", partial),
}
"""Kernel, what of it is spoilt, and the reduction under which it runs."""

WITHOUT_NUMBERS = {"lookup.gather", "lookup.make_index", "lookup.reserve", "optimize.drawn_elements"}
"""Called in a run, but they give room, plans, or the times of rows, which are not compared."""

RULES: dict[str, tuple[Any, str, str, Spoil]] = {
    "matrix_product": (sync_rules, "matrix_product", "sequential", functools.partial(returned, bit=INNER)),
    "relu": (sync_rules, "relu", "sequential", returned),
    "forward: p": (sync_rules, "forward", "sequential", float_part(4)),
    "backward: d": (sync_rules, "backward", "sequential", float_part(0)),
    "backward: t2": (sync_rules, "backward", "sequential", float_part(1, INNER)),
    "backward: t1": (sync_rules, "backward", "sequential", float_part(2, INNER)),
    "backward: dx": (sync_rules, "backward", "sequential", float_part(3)),
    "loss_sum": (sync_rules, "loss_sum", "sequential", number),
    "dense_terms": (sync_rules, "dense_terms", "sequential", float_part(5, INNER)),
    "dense_local_sums": (sync_rules, "dense_local_sums", "sequential", float_part(0)),
    "pool": (sync_rules, "pool", "sequential", returned),
    "take_rows": (sync_rules, "take_rows", "sequential", returned),
    "put_rows": (sync_rules, "put_rows", "sequential", put),
    "group_occurrences: order": (sync_rules, "group_occurrences", "sequential", later(part(0, bit=64))),
    "group_occurrences: starts": (sync_rules, "group_occurrences", "sequential", later(part(1, bit=64))),
    "group_occurrences: counts": (sync_rules, "group_occurrences", "sequential", part(2, bit=2)),
    "group_occurrences: positions": (sync_rules, "group_occurrences", "sequential", part(3)),
    "occurrence_sums": (sync_rules, "occurrence_sums", "sequential", returned),
    "adagrad: weights": (sync_rules, "adagrad", "sequential", float_part(0)),
    "adagrad: accumulators": (sync_rules, "adagrad", "sequential", float_part(1)),
    "through_half": (sync_rules, "through_half", "half", returned),
    "exact_sum": (sync, "exact_sum", "exact", number),
    "exact_sum_groups": (sync, "exact_sum_groups", "exact", returned),
    "ExactSum.result": (sync_exact.ExactSum, "result", "exact", returned),
    "bags_to_columns": (sync, "bags_to_columns", "sequential", returned),
    "columns_to_bags": (sync, "columns_to_bags", "sequential", returned),
}
"""Rule, where it lives, the reduction (or wire) under which it runs, what of it is spoilt."""


class Spoiler:
    """Stands for a function; spoils one bit of one call, the first where there is something to spoil."""

    def __init__(self, function: Callable[..., Any], spoil: Spoil) -> None:
        self.function = function
        self.spoil = spoil
        self.signature = inspect.signature(function)
        self.done = False

    def __get__(self, instance: Any, owner: Any) -> Any:
        return lambda *given, **named: self(instance, *given, **named)

    def __call__(self, *given: Any, **named: Any) -> Any:
        bound = self.signature.bind(*given, **named)
        result = self.function(*given, **named)
        if not self.done:
            self.done, result = self.spoil(result, bound.arguments)
        return result


def options_of(reduction_name: str) -> dict[str, str]:
    if reduction_name == "half":
        return {"sync.embedding_grad_wire": "f16", "sync.dense_wire": "f16"}
    return {"reduction": reduction_name}


def module_of(kernel: str) -> Any:
    name = kernel.partition(".")[0]
    elsewhere = {"reduction": reduction, "tables": tables}
    return elsewhere.get(name) or importlib.import_module(f"monolith_kernels.cpu.{name}")


def verdict_of(spoiler: Spoiler, directory: Path, options: dict[str, str]) -> str:
    try:
        return run_small(directory, "multi", options).verdict
    except Exception as error:  # a wrong index may also be noticed by whoever uses it
        return f"raised {type(error).__name__}"


@pytest.mark.parametrize("what", list(KERNELS))
def test_a_wrong_bit_in_a_kernel(what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reduction_name, spoil = KERNELS[what]
    kernel = what.partition(":")[0]
    module, name = module_of(kernel), kernel.partition(".")[2]
    spoiler = Spoiler(getattr(module, name), spoil)
    monkeypatch.setattr(module, name, spoiler)
    verdict = verdict_of(spoiler, tmp_path, options_of(reduction_name))
    assert spoiler.done, "the kernel was not called, or gave nothing to spoil"
    assert verdict != "pass"


@pytest.mark.parametrize("what", list(RULES))
def test_a_wrong_bit_in_a_rule(what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place, name, reduction_name, spoil = RULES[what]
    spoiler = Spoiler(getattr(place, name), spoil)
    monkeypatch.setattr(place, name, spoiler)
    verdict = verdict_of(spoiler, tmp_path, options_of(reduction_name))
    assert spoiler.done, "the rule was not called, or gave nothing to spoil"
    assert verdict != "pass"


def test_every_kernel_of_a_step_is_listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    called: set[str] = set()
    for module_name in (*TWIN_MODULES, "tables"):
        module = module_of(module_name)
        for name in module.__all__:
            function = getattr(module, name)
            if inspect.isfunction(function):

                def told(*given: Any, _f: Any = function, _k: str = f"{module_name}.{name}", **named: Any) -> Any:
                    called.add(_k)
                    return _f(*given, **named)

                monkeypatch.setattr(module, name, told)
    for reduction_name in ("sequential", "sum", "mean", "exact"):
        assert run_small(tmp_path / reduction_name, options={"reduction": reduction_name}).verdict == "pass"
    listed = {what.partition(":")[0] for what in KERNELS if not what.startswith("reduction")}
    assert called - WITHOUT_NUMBERS == listed


def test_every_rule_of_the_oracle_is_listed() -> None:
    named = {name for _, name, _, _ in RULES.values()}
    for name in sync_rules.__all__:
        if inspect.isfunction(getattr(sync_rules, name)):
            assert name in named, name
    assert {"exact_sum", "exact_sum_groups"} <= named
