"""A second oracle, slow and independent: every number a fraction, every operation rounded once to float32.

Nothing is shared with the first one: no NumPy arithmetic, no float of the machine. A number is a ``Fraction``; a root
is taken of integers. Only finite numbers are spoken of, and zeros have no sign. Rule: optimizers 1, 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import isqrt

__all__ = ["RULES", "OutOfRange", "bits", "number"]

Number = Fraction
State = dict[str, Number]
Rule = Callable[[Mapping[str, Number], Number, State, Number, Number], tuple[Number, State]]


class OutOfRange(Exception):
    """A result beyond the finite numbers of float32."""


def number(word: int) -> Number:
    """The value of a finite float32 bit pattern."""
    sign, exponent, mantissa = word >> 31, word >> 23 & 0xFF, word & 0x7FFFFF
    if exponent == 0xFF:
        raise OutOfRange
    size = Fraction(mantissa + (1 << 23 if exponent else 0)) * Fraction(2) ** (max(exponent, 1) - 150)
    return -size if sign else size


def bits(value: Number) -> int:
    """The bit pattern of a number that float32 has (zero: without a sign)."""
    if value == 0:
        return 0
    size, exponent = abs(value), 1
    while size >= Fraction(2) ** (exponent - 126):
        exponent += 1
    mantissa = size / Fraction(2) ** (exponent - 150)
    if mantissa < 1 << 23:
        exponent = 0
    assert mantissa.denominator == 1
    return (1 << 31 if value < 0 else 0) | exponent << 23 | int(mantissa) & 0x7FFFFF


def _unit(size: Fraction) -> Fraction:
    """Distance of the float32 numbers around a size: a 24-bit mantissa, never below 2^-149."""
    power = -149
    while size >= Fraction(2) ** (power + 24):
        power += 1
    return Fraction(2) ** power


def once(value: Number) -> Number:
    """Rounded to float32, ties to even."""
    unit = _unit(abs(value))
    whole, rest = divmod(abs(value) / unit, 1)
    if rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2):
        whole += 1
    size = whole * unit
    if size >= Fraction(2) ** 128:
        raise OutOfRange
    return -size if value < 0 else size


def root(value: Number) -> Number:
    """The square root rounded to float32, decided by integers: sqrt(p/q) = isqrt(p*q*4^k) / (q*2^k) and a remainder."""
    if value == 0:
        return value
    shift = 200
    scaled = value.numerator * value.denominator << 2 * shift
    floor = isqrt(scaled)
    exact = Fraction(floor, value.denominator << shift)
    # Not exact: a hair above, which no tie to even can hide at this many bits.
    return once(exact if floor * floor == scaled else exact + Fraction(1, value.denominator << shift + 1))


def add(a: Number, b: Number) -> Number:
    return once(a + b)


def sub(a: Number, b: Number) -> Number:
    return once(a - b)


def mul(a: Number, b: Number) -> Number:
    return once(a * b)


def div(a: Number, b: Number) -> Number:
    if b == 0:
        raise OutOfRange
    return once(a / b)


def _decayed(config: Mapping[str, Number], w: Number, g: Number) -> Number:
    return add(mul(config["weight_decay_factor"], w), g)


def sgd(config: Mapping[str, Number], w: Number, state: State, g: Number, rate: Number) -> tuple[Number, State]:
    return sub(w, mul(rate, g)), {}


def adagrad(config: Mapping[str, Number], w: Number, state: State, g: Number, rate: Number) -> tuple[Number, State]:
    decayed = _decayed(config, w, g)
    norm = add(mul(decayed, decayed), state["norm"])
    return sub(w, mul(div(rate, root(norm)), decayed)), {"norm": norm}


def momentum(config: Mapping[str, Number], w: Number, state: State, g: Number, rate: Number) -> tuple[Number, State]:
    n = sub(mul(config["momentum"], state["n"]), mul(rate, _decayed(config, w, g)))
    return add(w, n), {"n": n}


def moving_average(
    config: Mapping[str, Number], w: Number, state: State, g: Number, rate: Number
) -> tuple[Number, State]:
    mu = config["momentum"]
    return add(mul(mu, w), mul(sub(Fraction(1), mu), g)), {}


def adadelta(config: Mapping[str, Number], w: Number, state: State, g: Number, rate: Number) -> tuple[Number, State]:
    rho, eps = config["averaging_ratio"], config["epsilon"]
    rest, decayed = sub(Fraction(1), rho), _decayed(config, w, g)
    accum = add(mul(state["accum"], rho), mul(mul(decayed, decayed), rest))
    u = mul(div(root(add(state["accum_update"], eps)), root(add(accum, eps))), decayed)
    update = add(mul(state["accum_update"], rho), mul(mul(u, u), rest))
    return sub(w, mul(u, rate)), {"accum": accum, "accum_update": update}


def ftrl(config: Mapping[str, Number], w: Number, state: State, g: Number, rate: Number) -> tuple[Number, State]:
    l1, l2 = config["l1_regularization_strength"], config["l2_regularization_strength"]
    norm = add(mul(g, g), state["norm"])
    sigma = div(sub(root(norm), root(state["norm"])), rate)
    zero = add(state["zero"], sub(g, mul(sigma, w)))
    after = {"zero": zero, "norm": norm}
    if abs(zero) <= l1:
        return Fraction(0), after
    # The original's factor is the sign bit: 1 below zero, 0 above.
    top = mul(rate, sub(l1 if zero < 0 else Fraction(0), zero))
    return div(top, add(mul(l2, rate), add(root(norm), config["beta"]))), after


def group_adagrad(
    config: Mapping[str, Number], w: Number, state: State, g: Number, rate: Number
) -> tuple[Number, State]:
    """One element a row."""
    l2, decayed = config["l2_regularization_strength"], _decayed(config, w, g)
    total = add(state["grad_square_sum"], mul(decayed, decayed))
    alpha = div(rate, add(config["beta"], root(total)))
    z = sub(decayed, div(w, alpha))
    r = root(mul(z, z))
    after = {"grad_square_sum": total}
    if r < l2:
        return Fraction(0), after
    return mul(div(mul(-alpha, sub(r, l2)), r), z), after


RULES: dict[str, Rule] = {
    rule.__name__: rule for rule in (sgd, adagrad, momentum, moving_average, adadelta, ftrl, group_adagrad)
}
"""Rules that are made of single-precision operations alone, ieee profile."""
