"""Texts of Python literals, as the recorder writes them: read without evaluating anything. Rule: model_dump 1.3, 7.3.

Besides Python's own literals a dtype may stand bare: ``{'name': 'x:0', 'dtype': tf.float32}``.
"""

from __future__ import annotations

import re
from typing import Any

from monolith_ref.errors import DumpError

__all__ = ["DTYPES", "TfDtype", "parse_literal", "write_literal"]

DEPTH_LIMIT = 50

_BASE = [
    "float16",
    "float32",
    "float64",
    "bfloat16",
    "float8_e5m2",
    "float8_e4m3fn",
    "int4",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint4",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
    "string",
    "complex64",
    "complex128",
    "resource",
    "variant",
    "qint8",
    "qint16",
    "qint32",
    "quint8",
    "quint16",
]
DTYPES = frozenset(_BASE) | {f"{name}_ref" for name in _BASE}
"""TensorFlow's dtype names."""


class TfDtype(str):
    """A dtype's name; its literal is ``tf.<name>``."""

    __slots__ = ()


_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>[+-]?(?:\d+\.\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\d+))(?![\w.])
    |(?P<dtype>tf\.(?P<dtype_name>\w+))(?![\w.(])
    |(?P<text>[bB]?(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"))
    |(?P<word>True|False|None|nan|inf|-inf)(?!\w)
    |(?P<mark>[][(){},:])
    )""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_WORDS: dict[str, Any] = {
    "True": True,
    "False": False,
    "None": None,
    "nan": float("nan"),
    "inf": float("inf"),
    "-inf": float("-inf"),
}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|(\n)|(.))", re.DOTALL)
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_DIGITS_LIMIT = 4000
_NAME = re.compile(r"'([^'\\\n]*)'")
_NAMES = re.compile(r"\['[^'\\\n]*'(?:, '[^'\\\n]*')*\]")


def parse_literal(text: str) -> Any:
    """The value of one literal: None, bool, int, float, str, bytes, list, tuple, dict, set or :class:`TfDtype`.

    Raises
    ------
    DumpError
        ``bad_repr``; the offset counts characters of ``text``.
    """
    if _NAMES.fullmatch(text):
        # The usual case, ten times faster: a list of plain names.
        return _NAME.findall(text)
    parser = _Parser(text)
    value = parser.value(0)
    parser.expect_end()
    return value


def write_literal(value: Any) -> str:
    """Python's repr of plain values, in which dtypes stand bare."""
    if isinstance(value, TfDtype):
        return f"tf.{value}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{write_literal(k)}: {write_literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(write_literal, value)) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(write_literal, value)) + ("," if len(value) == 1 else "") + ")"
    return repr(value)


class _Parser:
    """Recursive descent over tokens, with a limit on depth."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.kind = ""
        self.token = ""
        self.start = 0
        self.advance()

    def fail(self, reason: str) -> DumpError:
        shown = self.text if len(self.text) <= 60 else self.text[:57] + "..."
        return DumpError(f"{reason} at character {self.start} of {shown!r}", kind="bad_repr", offset=self.start)

    def advance(self) -> None:
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            rest = len(self.text) - len(self.text[self.at :].lstrip())
            self.start = rest
            if rest != len(self.text):
                raise self.fail("not a literal")
            self.kind, self.token = "end", ""
            return
        assert match.lastgroup is not None
        self.kind = "dtype" if match.lastgroup == "dtype_name" else match.lastgroup
        self.token = match.group(self.kind)
        self.start = match.start(self.kind)
        self.at = match.end()

    def expect(self, mark: str) -> None:
        if self.kind != "mark" or self.token != mark:
            raise self.fail(f"'{mark}' expected")
        self.advance()

    def expect_end(self) -> None:
        if self.kind != "end":
            raise self.fail("more than one literal")

    def taken(self, mark: str) -> bool:
        if self.kind == "mark" and self.token == mark:
            self.advance()
            return True
        return False

    def value(self, depth: int) -> Any:
        if depth > DEPTH_LIMIT:
            raise self.fail(f"more than {DEPTH_LIMIT} levels")
        kind, token = self.kind, self.token
        if kind == "mark" and token in "[({":
            self.advance()
            return self._list(depth) if token == "[" else self._tuple(depth) if token == "(" else self._braces(depth)
        if kind == "text":
            return self._joined_text()
        if kind == "number":
            out: Any = self._number(token)
        elif kind == "word":
            out = _WORDS[token]
        elif kind == "dtype":
            name = token[3:]
            if name not in DTYPES:
                raise self.fail(f"no dtype '{name}'")
            out = TfDtype(name)
        else:
            raise self.fail("a value expected")
        self.advance()
        return out

    def _joined_text(self) -> str | bytes:
        out: Any = self._text(self.token)
        self.advance()
        while isinstance(out, str) and self.kind == "text" and self.token[0] not in "bB":
            out += str(self._text(self.token))
            self.advance()
        return str(out) if isinstance(out, str) else bytes(out)

    def _number(self, token: str) -> int | float:
        if token.lstrip("+-").isdigit():
            digits = token.lstrip("+-")
            if len(digits) > _DIGITS_LIMIT or (digits[0] == "0" and digits.strip("0")):
                raise self.fail("not a number")
            return int(token)
        return float(token)

    def _list(self, depth: int) -> list[Any]:
        out: list[Any] = []
        while not self.taken("]"):
            if out:
                self.expect(",")
                if self.taken("]"):
                    break
            out.append(self.value(depth + 1))
        return out

    def _tuple(self, depth: int) -> Any:
        if self.taken(")"):
            return ()
        out = [self.value(depth + 1)]
        if self.taken(")"):
            return out[0]
        while True:
            self.expect(",")
            if self.taken(")"):
                return tuple(out)
            out.append(self.value(depth + 1))
            if self.taken(")"):
                return tuple(out)

    def _braces(self, depth: int) -> dict[Any, Any] | set[Any]:
        if self.taken("}"):
            return {}
        first = self._hashable(self.value(depth + 1))
        if not self.taken(":"):
            members = {first}
            while not self.taken("}"):
                self.expect(",")
                if self.taken("}"):
                    break
                members.add(self._hashable(self.value(depth + 1)))
            return members
        out = {first: self.value(depth + 1)}
        while not self.taken("}"):
            self.expect(",")
            if self.taken("}"):
                break
            key = self._hashable(self.value(depth + 1))
            self.expect(":")
            out[key] = self.value(depth + 1)
        return out

    def _hashable(self, value: Any) -> Any:
        try:
            hash(value)
        except TypeError:
            raise self.fail("a key that cannot be one") from None
        return value

    def _text(self, token: str) -> str | bytes:
        of_bytes = token[0] in "bB"
        body = token[2:-1] if of_bytes else token[1:-1]

        def unescape(match: re.Match[str]) -> str:
            short, middle, long, octal, newline, other = match.groups()
            if of_bytes and (middle or long):
                return match.group()
            if short or middle or long:
                number = int(short or middle or long, 16)
            elif octal:
                number = int(octal, 8)
            elif newline:
                return ""
            else:
                if other == "N" and not of_bytes:
                    raise self.fail("a character by name")
                return _SIMPLE.get(other, "\\" + other)
            if number > (0xFF if of_bytes else 0x10FFFF):
                raise self.fail("no such character")
            return chr(number)

        plain = _ESCAPE.sub(unescape, body) if "\\" in body else body
        if not of_bytes:
            return plain
        try:
            return plain.encode("latin-1")
        except UnicodeEncodeError:
            raise self.fail("bytes that are no bytes") from None
