"""What a rule is, and the stubs through which drivers call it.

A rule is a handful of pure functions over scalars. Drivers own all loops and all memory; they call the stubs below,
which resolve to the rule's own functions by the *type* of the hyper-parameter tuple ``h``. The functions:

=================================================  ================================================================
``begin(p, h, lr, step, r)``                       once per row: coefficients ``c`` from the row's own words ``r``
``fold_start(h, k)``                               start of ordered reduction k over the row (``folds`` of them)
``fold(p, h, k, c, acc, w, g, s, i, in_block)``    one element of reduction k, in index order
``between(p, h, k, c, acc, r)``                    coefficients after reduction k
``element(p, h, c, w, g, s, i, in_block)``         new ``(w, s)`` of one element; ``s`` its state values
``finish(p, h, c, step, r)``                       the row's own words after the row
=================================================  ================================================================

``p`` is the profile value, ``lr`` float32, ``step`` int64, ``i`` the element's index in its segment and ``in_block``
whether it lies in a whole block of 8 elements.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_kernels.prim import Avx, at, both, put

__all__ = [
    "BY_PARAMS",
    "Rule",
    "begin",
    "between",
    "element",
    "finish",
    "fold",
    "fold_start",
    "load_state",
    "load_words",
    "of",
    "raw_block",
    "scan",
    "store_state",
    "store_words",
]


def _no_begin(p: Any, h: Any, lr: Any, step: Any, r: Any) -> Any:
    return (lr,)


def _keep_words(p: Any, h: Any, c: Any, step: Any, r: Any) -> Any:
    return r


def _no_fold_start(h: Any, k: Any) -> Any:
    return ()


def _no_fold(p: Any, h: Any, k: Any, c: Any, acc: Any, w: Any, g: Any, s: Any, i: Any, in_block: Any) -> Any:
    return acc


def _no_between(p: Any, h: Any, k: Any, c: Any, acc: Any, r: Any) -> Any:
    return c


def _float_fields(rule: Rule, words: NDArray[np.float32]) -> dict[str, Any]:
    return {name: np.ascontiguousarray(words[:, number]) for number, name in enumerate(rule.words)}


def _float_words(rule: Rule, words: NDArray[np.float32], fields: Mapping[str, Any]) -> NDArray[np.float32]:
    for number, name in enumerate(rule.words):
        if name in fields:
            words[:, number] = fields[name]
    return words


@dataclass(frozen=True)
class Rule:
    """One optimizer: its names, its state and its functions.

    Attributes
    ----------
    name : str
        Field name in ``OptimizerConfig.type``.
    params : type
        NamedTuple of the hyper-parameters that the arithmetic needs: config fields as float32 or bool, and quirks.
    defaults : mapping
        Every field of the config message with its proto default.
    state, fills : tuple
        Float arrays of a row by dump field name, and their initial values: a number or the name of a parameter.
    words, word_fills : tuple
        Single 32-bit words of a row, and their initial values.
    double : bool
        The rule computes in float64 on purpose.
    folds : int
        Ordered reductions over a row before its elements are updated.
    buildable : bool
        False where the original refuses to build it (extension ``unbuilt_rules``).
    """

    name: str
    params: type
    defaults: Mapping[str, float | bool | int]
    element: Callable[..., Any]
    state: tuple[str, ...] = ()
    fills: tuple[str | float, ...] = ()
    words: tuple[str, ...] = ()
    word_fills: tuple[str | float, ...] = ()
    begin: Callable[..., Any] = _no_begin
    finish: Callable[..., Any] = _keep_words
    folds: int = 0
    fold_start: Callable[..., Any] = _no_fold_start
    fold: Callable[..., Any] = _no_fold
    between: Callable[..., Any] = _no_between
    double: bool = False
    buildable: bool = True
    one_dimensional: bool = False
    needs_step: bool = False
    words_to_fields: Callable[[Rule, NDArray[np.float32]], dict[str, Any]] = field(default=_float_fields)
    fields_to_words: Callable[[Rule, NDArray[np.float32], Mapping[str, Any]], NDArray[np.float32]] = field(
        default=_float_words
    )

    def make(self, config: Mapping[str, Any], quirks: Collection[str] = ()) -> Any:
        """Hyper-parameters from config fields (absent: proto default) and the quirks in force.

        Raises ``ValueError`` for a field that the config message does not have.
        """
        unknown = sorted(set(config) - set(self.defaults))
        if unknown:
            known = ", ".join(sorted(self.defaults))
            raise ValueError(f"{self.name} has no config field {unknown[0]!r} (it has {known})")
        values: dict[str, Any] = {}
        for name in self.params._fields:  # type: ignore[attr-defined]
            if name not in self.defaults:
                values[name] = name in quirks
            elif isinstance(self.defaults[name], bool):
                values[name] = bool(config.get(name, self.defaults[name]))
            else:
                values[name] = np.float32(config.get(name, self.defaults[name]))
        return self.params(**values)

    def initial_state(self, h: Any) -> tuple[np.float32, ...]:
        """Initial value of every state array."""
        return tuple(_fill(h, fill) for fill in self.fills)

    def initial_words(self, h: Any) -> tuple[np.float32, ...]:
        """Initial value of every row word."""
        return tuple(_fill(h, fill) for fill in self.word_fills)


def _fill(h: Any, fill: str | float) -> np.float32:
    return np.float32(getattr(h, fill) if isinstance(fill, str) else fill)


BY_PARAMS: dict[type, Rule] = {}
"""Rule of every hyper-parameter class; filled by :mod:`monolith_kernels.rules`."""


def of(h: Any) -> Rule:
    """The rule of a hyper-parameter tuple."""
    return BY_PARAMS[type(h)]


# ---- the rule's functions, chosen by the type of h --------------------------------------------------------------


def begin(p: Any, h: Any, lr: Any, step: Any, r: Any) -> Any:
    """Coefficients of a row."""
    return of(h).begin(p, h, lr, step, r)


@both(begin)
def _begin(p: Any, h: Any, lr: Any, step: Any, r: Any) -> Any:
    return BY_PARAMS[h.instance_class].begin


def element(p: Any, h: Any, c: Any, w: Any, g: Any, s: Any, i: Any, in_block: Any) -> Any:
    """New weight and state of one element."""
    return of(h).element(p, h, c, w, g, s, i, in_block)


@both(element)
def _element(p: Any, h: Any, c: Any, w: Any, g: Any, s: Any, i: Any, in_block: Any) -> Any:
    return BY_PARAMS[h.instance_class].element


def finish(p: Any, h: Any, c: Any, step: Any, r: Any) -> Any:
    """The row's own words after an update."""
    return of(h).finish(p, h, c, step, r)


@both(finish)
def _finish(p: Any, h: Any, c: Any, step: Any, r: Any) -> Any:
    return BY_PARAMS[h.instance_class].finish


def fold_start(h: Any, k: Any) -> Any:
    """Start value of reduction k."""
    return of(h).fold_start(h, k)


@both(fold_start)
def _fold_start(h: Any, k: Any) -> Any:
    return BY_PARAMS[h.instance_class].fold_start


def fold(p: Any, h: Any, k: Any, c: Any, acc: Any, w: Any, g: Any, s: Any, i: Any, in_block: Any) -> Any:
    """Reduction k after one more element."""
    return of(h).fold(p, h, k, c, acc, w, g, s, i, in_block)


@both(fold)
def _fold(p: Any, h: Any, k: Any, c: Any, acc: Any, w: Any, g: Any, s: Any, i: Any, in_block: Any) -> Any:
    return BY_PARAMS[h.instance_class].fold


def between(p: Any, h: Any, k: Any, c: Any, acc: Any, r: Any) -> Any:
    """Coefficients after reduction k."""
    return of(h).between(p, h, k, c, acc, r)


@both(between)
def _between(p: Any, h: Any, k: Any, c: Any, acc: Any, r: Any) -> Any:
    return BY_PARAMS[h.instance_class].between


def raw_block(p: Any, in_block: Any) -> Any:
    """Whether the hand-written block path of the original's production build applies (never under ``Ieee``)."""
    return type(p) is Avx and in_block


@both(raw_block)
def _raw_block(p: Any, in_block: Any) -> Any:
    if p.instance_class is Avx:
        return lambda p, in_block: in_block
    return lambda p, in_block: False


# ---- a row's words and an element's state, as tuples of the rule's own length ------------------------------------


def load_words(h: Any, rows: Any, o: Any) -> Any:
    """The row words at offset o, as a tuple."""
    return tuple(rows[o + k] for k in range(len(of(h).words)))


@both(load_words)
def _load_words(h: Any, rows: Any, o: Any) -> Any:
    forms: tuple[Callable[..., Any], ...] = (
        lambda h, rows, o: (),
        lambda h, rows, o: (at(rows, o),),
        lambda h, rows, o: (at(rows, o), at(rows, o + 1)),
    )
    return forms[len(BY_PARAMS[h.instance_class].words)]


def store_words(h: Any, rows: Any, o: Any, r: Any) -> None:
    """Store the row words at offset o."""
    for k, value in enumerate(r):
        rows[o + k] = value


def _store_none(h: Any, rows: Any, o: Any, r: Any) -> None:
    return None


def _store_one(h: Any, rows: Any, o: Any, r: Any) -> None:
    put(rows, o, r[0])


def _store_two(h: Any, rows: Any, o: Any, r: Any) -> None:
    put(rows, o, r[0])
    put(rows, o + 1, r[1])


@both(store_words)
def _store_words(h: Any, rows: Any, o: Any, r: Any) -> Any:
    return (_store_none, _store_one, _store_two)[len(BY_PARAMS[h.instance_class].words)]


def load_state(h: Any, rows: Any, o: Any, pad: Any) -> Any:
    """State values of the element whose first one lies at offset o, as a tuple."""
    return tuple(rows[o + k * pad] for k in range(len(of(h).state)))


@both(load_state)
def _load_state(h: Any, rows: Any, o: Any, pad: Any) -> Any:
    forms: tuple[Callable[..., Any], ...] = (
        lambda h, rows, o, pad: (),
        lambda h, rows, o, pad: (at(rows, o),),
        lambda h, rows, o, pad: (at(rows, o), at(rows, o + pad)),
        lambda h, rows, o, pad: (at(rows, o), at(rows, o + pad), at(rows, o + 2 * pad)),
    )
    return forms[len(BY_PARAMS[h.instance_class].state)]


def store_state(h: Any, rows: Any, o: Any, pad: Any, s: Any) -> None:
    """Store the state values of an element."""
    for k, value in enumerate(s):
        rows[o + k * pad] = value


def _store_state_0(h: Any, rows: Any, o: Any, pad: Any, s: Any) -> None:
    return None


def _store_state_1(h: Any, rows: Any, o: Any, pad: Any, s: Any) -> None:
    put(rows, o, s[0])


def _store_state_2(h: Any, rows: Any, o: Any, pad: Any, s: Any) -> None:
    put(rows, o, s[0])
    put(rows, o + pad, s[1])


def _store_state_3(h: Any, rows: Any, o: Any, pad: Any, s: Any) -> None:
    put(rows, o, s[0])
    put(rows, o + pad, s[1])
    put(rows, o + 2 * pad, s[2])


@both(store_state)
def _store_state(h: Any, rows: Any, o: Any, pad: Any, s: Any) -> Any:
    return (_store_state_0, _store_state_1, _store_state_2, _store_state_3)[len(BY_PARAMS[h.instance_class].state)]


# ---- the reductions of a row ------------------------------------------------------------------------------------


def scan(p: Any, h: Any, c: Any, r: Any, rows: Any, w0: Any, s0: Any, pad: Any, grads: Any, g0: Any, d: Any) -> Any:
    """Run the rule's reductions over a row in index order; c where it has none."""
    if of(h).folds == 0:
        return c
    return (_scan_once, _scan_twice)[of(h).folds - 1](p, h, c, r, rows, w0, s0, pad, grads, g0, d)


def _scan_once(
    p: Any, h: Any, c: Any, r: Any, rows: Any, w0: Any, s0: Any, pad: Any, grads: Any, g0: Any, d: Any
) -> Any:
    blocks = d & ~7
    acc = fold_start(h, 0)
    for i in range(d):
        s = load_state(h, rows, s0 + i, pad)
        acc = fold(p, h, 0, c, acc, at(rows, w0 + i), at(grads, g0 + i), s, i, i < blocks)
    return between(p, h, 0, c, acc, r)


def _scan_twice(
    p: Any, h: Any, c: Any, r: Any, rows: Any, w0: Any, s0: Any, pad: Any, grads: Any, g0: Any, d: Any
) -> Any:
    blocks = d & ~7
    for k in range(2):
        acc = fold_start(h, k)
        for i in range(d):
            s = load_state(h, rows, s0 + i, pad)
            acc = fold(p, h, k, c, acc, at(rows, w0 + i), at(grads, g0 + i), s, i, i < blocks)
        c = between(p, h, k, c, acc, r)
    return c


@both(scan)
def _scan(p: Any, h: Any, c: Any, r: Any, rows: Any, w0: Any, s0: Any, pad: Any, grads: Any, g0: Any, d: Any) -> Any:
    folds = BY_PARAMS[h.instance_class].folds
    if folds == 0:
        return lambda p, h, c, r, rows, w0, s0, pad, grads, g0, d: c
    return (_scan_once, _scan_twice)[folds - 1]
