"""Label expressions over the columns of a log: ``rating >= 4``, ``click == 1 and dwell > 2.5``. Never evaluated as
code.

Grammar::

    or    := and ("or" and)*           and  := not ("and" not)*
    not   := "not" not | test          test := value (op value)?        op := >= > <= < == !=
    value := number | 'text' | column | "(" or ")"
    column := a plain name, or any text between back-quotes

A comparison gives 1 or 0; a column alone gives its number. Columns compared with a text are compared as texts, all
others as numbers. Rule: job 1.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from monolith_ref.errors import ConfigError

__all__ = ["LabelExpression", "parse_label"]

Kind = Literal["number", "text"]
Column = Callable[[str, Kind], NDArray[Any]]

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<text>'[^']*'|"[^"]*")
      | `(?P<quoted>[^`]+)`
      | (?P<name>[^\W\d]\w*(?:[.:]\w+)*)
      | (?P<op>>=|<=|==|!=|>|<|\(|\)|-)
    )""",
    re.VERBOSE,
)

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}
_ORDER_ONLY = (">=", ">", "<=", "<")


@dataclass(frozen=True, slots=True)
class _Node:
    """``kind`` is what the node's value is; ``columns`` are the columns below it."""

    kind: Kind
    columns: tuple[tuple[str, Kind], ...]
    run: Callable[[Column], Any]


@dataclass(frozen=True, slots=True)
class LabelExpression:
    """A parsed expression.

    Attributes
    ----------
    text : str
        As given.
    columns : tuple of (name, "number" | "text")
        Columns that it reads and how, each once.
    """

    text: str
    columns: tuple[tuple[str, Kind], ...]
    _root: _Node

    def evaluate(self, column: Column, rows: int) -> NDArray[np.float32]:
        """Labels of all rows, float32 [rows]; ``column(name, kind)`` gives float64 [rows] or an object array of
        texts."""
        value = self._root.run(column)
        return np.broadcast_to(np.asarray(value, np.float64), (rows,)).astype(np.float32)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str, int]] = []
        position = 0
        end = len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if match is None:
                raise self.error(
                    "unexpected character", position + len(text[position:]) - len(text[position:].lstrip())
                )
            kind = match.lastgroup or ""
            self.tokens.append((kind, match.group(kind), match.start(kind)))
            position = match.end()
        self.at = 0

    def error(self, what: str, position: int) -> ConfigError:
        return ConfigError(f"label expression {self.text!r}: {what} at position {position + 1}")

    def peek(self) -> tuple[str, str, int]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "", len(self.text))

    def accept(self, kind: str, *values: str) -> str | None:
        found, value, _ = self.peek()
        if found == kind and value in values:
            self.at += 1
            return value
        return None

    def number(self, node: _Node, position: int) -> _Node:
        """The node as a number: a column read as a number, or the node itself."""
        if node.kind == "text":
            raise self.error("a text where a number is needed", position)
        return node

    def disjunction(self) -> _Node:
        left = self.conjunction()
        while self.accept("name", "or"):
            left = self.logic(np.logical_or, left, self.conjunction())
        return left

    def conjunction(self) -> _Node:
        left = self.negation()
        while self.accept("name", "and"):
            left = self.logic(np.logical_and, left, self.negation())
        return left

    def logic(self, function: Callable[[Any, Any], Any], left: _Node, right: _Node) -> _Node:
        position = self.peek()[2]
        left, right = self.number(left, position), self.number(right, position)
        return _Node(
            "number",
            left.columns + right.columns,
            lambda column: function(np.not_equal(left.run(column), 0), np.not_equal(right.run(column), 0)),
        )

    def negation(self) -> _Node:
        if self.accept("name", "not"):
            inner = self.number(self.negation(), self.peek()[2])
            return _Node("number", inner.columns, lambda column: np.equal(inner.run(column), 0))
        return self.test()

    def test(self) -> _Node:
        start = self.peek()[2]
        left_name = self.column_name()
        left = None if left_name is not None else self.value()
        position = self.peek()[2]
        op = self.accept("op", *_COMPARE)
        if op is None:
            return self.number(left or _column(left_name or "", "number"), start)
        right_name = self.column_name()
        right = None if right_name is not None else self.value()
        textual = "text" in (left.kind if left else "", right.kind if right else "")
        kind: Kind = "text" if textual else "number"
        left = left or _column(left_name or "", kind)
        right = right or _column(right_name or "", kind)
        if left.kind != right.kind:
            raise self.error("a text compared with a number", position)
        if kind == "text" and op in _ORDER_ONLY:
            raise self.error(f"texts can be compared with == and != only, not {op}", position)
        if self.peek()[1] in _COMPARE and self.peek()[0] == "op":
            raise self.error("comparisons cannot be chained; use 'and'", self.peek()[2])
        function = _COMPARE[op]
        first, second = left, right
        return _Node(
            "number", left.columns + right.columns, lambda column: function(first.run(column), second.run(column))
        )

    def column_name(self) -> str | None:
        kind, value, _ = self.peek()
        if kind == "quoted" or (kind == "name" and value not in ("and", "or", "not")):
            self.at += 1
            return value
        return None

    def value(self) -> _Node:
        kind, value, position = self.peek()
        self.at += 1
        if kind == "op" and value == "(":
            inner = self.disjunction()
            if not self.accept("op", ")"):
                raise self.error("expected ')'", self.peek()[2])
            return inner
        negative = kind == "op" and value == "-"
        if negative:
            kind, value, position = self.peek()
            self.at += 1
        if kind == "number":
            constant = -float(value) if negative else float(value)
            return _Node("number", (), lambda column: constant)
        if kind == "text" and not negative:
            text = value[1:-1]
            return _Node("text", (), lambda column: text)
        raise self.error("expected a column, a number or a text", position)


def _column(name: str, kind: Kind) -> _Node:
    return _Node(kind, ((name, kind),), lambda column: column(name, kind))


def parse_label(text: str) -> LabelExpression:
    """Parse an expression; ConfigError with the position of the fault. It must read at least one column."""
    if not isinstance(text, str) or not text.strip():
        raise ConfigError(f"label must be an expression over columns such as 'rating >= 4', not {text!r}")
    parser = _Parser(text)
    root = parser.number(parser.disjunction(), 0)
    if parser.peek()[0] != "end":
        raise parser.error(f"unexpected {parser.peek()[1]!r}", parser.peek()[2])
    if not root.columns:
        raise ConfigError(f"label expression {text!r} reads no column")
    return LabelExpression(text, tuple(dict.fromkeys(root.columns)), root)
