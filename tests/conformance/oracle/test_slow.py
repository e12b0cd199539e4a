"""The oracle against a second one made of fractions, and what that one is made of against known numbers."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from monolith_conformance.cases.golden import golden, result_of, state_values
from monolith_conformance.cases.golden import number as measured
from monolith_conformance.oracle import rules
from monolith_conformance.oracle.sync_exact import exact_sum

from tests.conformance.oracle import slow

F = np.float32
FINITE = st.one_of(
    st.integers(0x30000000, 0x45000000),  # 1e-9 to 2e3
    st.integers(0, 0x7F7FFFFF),
    st.sampled_from([0, 1, 0x007FFFFF, 0x00800000, 0x3F800000, 0x3DCCCCCD, 0x7F7FFFFF]),
).flatmap(lambda word: st.sampled_from([word, word | 0x80000000]))


def _float(word: int) -> Any:
    return np.array([word], np.uint32).view(F)[0]


def _word(value: Any) -> int:
    """The bit pattern, without the sign of a zero."""
    word = int(np.array([value], F).view(np.uint32)[0])
    return 0 if word == 0x80000000 else word


def _compare(rule: str, config: dict[str, Any], w: Any, state: dict[str, Any], g: Any, rate: Any) -> None:
    """Hold one step of one element against the fractions; results beyond float32 are left to the vectors."""
    whole = {**rules.RULES[rule].DEFAULTS, **config}
    exact = {name: slow.number(_word(F(value))) for name, value in whole.items() if isinstance(value, float | F)}
    before = {name: slow.number(_word(np.ravel(value)[0])) for name, value in state.items()}
    try:
        expected, after = slow.RULES[rule](
            exact, slow.number(_word(w)), before, *map(slow.number, map(_word, (g, rate)))
        )
    except slow.OutOfRange:
        assume(False)
        return
    found, kept = rules.update(
        rule, config, np.array([w], F), state, np.array([g], F), rate, profile="ieee", quirks={"ftrl_l1_sign"}
    )
    assert f"{_word(found[0]):08x}" == f"{slow.bits(expected):08x}"
    assert {name: _word(np.ravel(kept[name])[0]) for name in after} == {k: slow.bits(v) for k, v in after.items()}


@pytest.mark.parametrize("rule", sorted(slow.RULES))
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_any_step_of_any_row(rule: str, data: st.DataObject) -> None:
    w, g = (_float(data.draw(FINITE)) for _ in "wg")
    rate = _float(data.draw(st.integers(0x33000000, 0x40000000)))
    fractions = st.integers(0, 0x3F7FFFFF).map(_float)
    config = {
        name: data.draw(fractions)
        for name, default in rules.RULES[rule].DEFAULTS.items()
        if isinstance(default, float) and name != "learning_rate"
    }
    state = {
        name: np.array([_float(data.draw(st.integers(0x20000000, 0x50000000)))], F)
        for name in rules.initial(rule, config, 1)
    }
    if rule == "group_adagrad":
        state = {name: value[0] for name, value in state.items()}
    _compare(rule, config, w, state, g, rate)


@pytest.mark.parametrize("rule", sorted(slow.RULES))
def test_measured_steps_of_one_element(rule: str) -> None:
    """The fractions alone, without the oracle, give the first step of every vector whose numbers are finite."""
    compared = 0
    for case in golden(f"rows_{rule}")["cases"]:
        # Elements are independent, but for the rules with one state a row.
        dim = case["dim"]
        if case["config"].get("use_nesterov") or (rule == "group_adagrad" and dim > 1):
            continue
        step = case["steps"][0]
        config = {k: measured(v) if isinstance(v, str) else v for k, v in case["config"].items()}
        filled = {
            k: slow.number(_word(F(v)))
            for k, v in {**rules.RULES[rule].DEFAULTS, **config}.items()
            if isinstance(v, float | F)
        }
        expected, state = result_of(step, "ieee"), state_values(case["state0"])
        for element in range(dim):
            try:
                numbers = [
                    slow.number(_word(value))
                    for value in (_at(case["w0"], element), _at(step["g"], element), measured(step["lr"]))
                ]
                before = {k: slow.number(_word(np.ravel(v)[min(element, np.size(v) - 1)])) for k, v in state.items()}
                if numbers[2] <= 0:
                    continue
                w, _ = slow.RULES[rule](filled, numbers[0], before, numbers[1], numbers[2])
            except slow.OutOfRange:
                continue
            assert f"{slow.bits(w):08x}" == f"{_word(_at(expected['w'], element)):08x}", (case["id"], element)
            compared += 1
    assert compared >= 3


def _at(words: str, element: int) -> Any:
    return _float(int(words.split()[element], 16))


@pytest.mark.parametrize("word", [0, 1, 0x007FFFFF, 0x00800000, 0x3F800000, 0xBF800001, 0x7F7FFFFF])
def test_bit_patterns_and_back(word: int) -> None:
    assert slow.bits(slow.number(word)) == word
    assert float(slow.number(word)) == float(_float(word))


def test_rounding_is_to_nearest_even() -> None:
    half = Fraction(1, 1 << 24)
    assert slow.once(1 + half) == 1
    assert slow.once(1 + 3 * half) == 1 + 4 * half
    assert slow.once(1 + half + Fraction(1, 1 << 90)) == 1 + 2 * half
    assert slow.once(Fraction(1, 1 << 150)) == 0
    with pytest.raises(slow.OutOfRange):
        slow.once(Fraction(2) ** 128 - Fraction(2) ** 103)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 0x7F7FFFFF))
def test_roots_are_those_of_the_machine(word: int) -> None:
    assert slow.bits(slow.root(slow.number(word))) == _word(np.sqrt(_float(word)))


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.lists(FINITE, min_size=1, max_size=9))
def test_exact_sums(words: list[int]) -> None:
    try:
        expected = slow.once(sum((slow.number(word) for word in words), Fraction(0)))
    except slow.OutOfRange:
        return
    assert _word(exact_sum(float(_float(word)) for word in words)) == slow.bits(expected)
