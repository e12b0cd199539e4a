"""Losses and metrics as their definitions read: decimals of sixty digits, every pair counted. Rule: job 7."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal
from fractions import Fraction

import numpy as np

__all__ = ["area_under_curve", "cross_entropy", "cross_entropy_gradient", "exact_mean", "sigmoid", "squared_error"]

_DIGITS = Context(prec=60, Emin=-999_999, Emax=999_999)
_ONE = Decimal(1)
_FAR = Decimal(100_000)
"""Logits beyond have an exponential below every float."""


def _exponential(z: Decimal) -> Decimal:
    """e^-|z|."""
    size = abs(z)
    return Decimal(0) if size > _FAR else _DIGITS.exp(-size)


def _rounded(value: Decimal | Fraction) -> np.float32:
    """To the nearest float32, ties to even: by comparing with both neighbours, not by way of float64."""
    with np.errstate(over="ignore"):
        near = np.float32(float(value))
        candidates = [near, np.nextafter(near, np.float32(-np.inf)), np.nextafter(near, np.float32(np.inf))]
    finite = [c for c in candidates if np.isfinite(c)]
    if not np.isfinite(near):
        return near
    return min(finite, key=lambda c: (abs(Fraction(float(c)) - Fraction(value)), int(c.view(np.uint32)) & 1))


def sigmoid(z: np.float32) -> np.float32:
    """1 / (1 + e^-z), rounded once."""
    e = _exponential(Decimal(float(z)))
    return _rounded(_DIGITS.divide(_ONE if z >= 0 else e, _DIGITS.add(_ONE, e)))


def cross_entropy(z: np.float32, y: np.float32) -> np.float32:
    """-(y log s + (1 - y) log(1 - s)) of s = sigmoid(z), rounded once."""
    logit, label = Decimal(float(z)), Decimal(float(y))
    tail = _DIGITS.ln(_DIGITS.add(_ONE, _exponential(logit)))
    linear = _DIGITS.subtract(max(logit, Decimal(0)), _DIGITS.multiply(logit, label))
    return _rounded(_DIGITS.add(linear, tail))


def cross_entropy_gradient(z: np.float32, y: np.float32, divisor: np.float32) -> np.float32:
    """(sigmoid(z) - y) / divisor: the difference and the quotient in float32."""
    return np.float32(np.float32(sigmoid(z) - y) / divisor)


def squared_error(p: np.float32, y: np.float32) -> np.float32:
    """(p - y)^2, the difference and the square in float32."""
    difference = np.float32(p - y)
    return np.float32(difference * difference)


def exact_mean(terms: Sequence[np.float32]) -> np.float32:
    """The real sum of the terms, rounded once, divided by their number in float32."""
    total = sum((Fraction(float(term)) for term in terms), Fraction(0))
    return np.float32(_rounded(total) / np.float32(len(terms)))


def area_under_curve(predictions: Sequence[float], labels: Sequence[float]) -> float:
    """The share of pairs of a positive and a negative row that are in order, ties counting one half."""
    positive = [p for p, y in zip(predictions, labels, strict=True) if y > 0.5]
    negative = [p for p, y in zip(predictions, labels, strict=True) if not y > 0.5]
    won = sum(2 if p > n else 1 if p == n else 0 for p in positive for n in negative)
    return float(Fraction(won, 2 * len(positive) * len(negative)))
