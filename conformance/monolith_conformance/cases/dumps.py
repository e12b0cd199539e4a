"""ModelDump files: read or refused, the canonical form, and slices of graphs."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from monolith_protos import graph_pb2, model_dump_pb2, testee_pb2

from monolith_conformance.cases.case import Case, case, register
from monolith_conformance.dumps.recipes import derived
from monolith_conformance.session import Session

__all__ = ["dump", "golden_bytes"]

NAMES = (
    "ctr_one_head", "two_heads", "two_heads_local", "train_only_local", "odd_encoding", "foreign_fields",
)  # fmt: skip


@functools.cache
def golden_bytes(name: str) -> bytes:
    return (files("monolith_conformance") / "golden" / "model_dump" / name).read_bytes()


@functools.cache
def _document(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(golden_bytes(f"{name}.json"))
    return document


def dump(op: str, data: bytes, argument: str = "") -> testee_pb2.Request:
    """The request about a dump file."""
    request = testee_pb2.Request()
    request.dump.op, request.dump.file, request.dump.argument = op, data, argument
    return request


def _add(id: str, rule: str, section: str, op: str, judge: Callable[[Session], None]) -> None:
    register(Case(id=id, rule=rule, section=section, judge=judge, needs=frozenset({f"dump.{op}"}), accuracy="exact"))


def _expect_hash(session: Session, size: int, digest: str) -> bytes:
    """The last blob has this size and SHA-256."""
    reply = session.transcript.steps[-1].reply
    assert reply is not None
    blob = reply.result.blob
    found = f"{len(blob)} bytes, {hashlib.sha256(blob).hexdigest()}"
    if found != f"{size} bytes, {digest}":
        session.fail("canonical form", found, f"{size} bytes, {digest}")
    return blob


def _canonical(name: str) -> Callable[[Session], None]:
    def judge(session: Session) -> None:
        expected = _document(name)["canonical_size"], _document(name)["canonical_sha256"]
        session.ask(dump("canonical", golden_bytes(f"{name}.pb")))
        once = _expect_hash(session, *expected)
        session.ask(dump("canonical", once))
        session.expect(blob=once)

    return judge


def _lines(session: Session, expected: Sequence[str]) -> None:
    """The last blob is these lines; the first other line is named in words."""
    reply = session.transcript.steps[-1].reply
    assert reply is not None
    found = reply.result.blob.decode("utf-8", "replace").splitlines()
    for number, line in enumerate(expected):
        if number >= len(found) or found[number] != line:
            session.fail(f"line {number}", found[number] if number < len(found) else "nothing", line)
    session.expect(blob="\n".join(expected).encode())


def _slice(name: str, wanted: Mapping[str, Any]) -> Callable[[Session], None]:
    field, _, key = wanted["graph"].removesuffix("}").partition("{")
    argument = [f"graph {field} {key}", *(f"dest {ref}" for ref in wanted["dests"])]
    argument += [f"source {ref}" for ref in wanted["sources"]]
    expected = wanted["port_level"]

    def judge(session: Session) -> None:
        request = dump("slice", golden_bytes(f"{name}.pb"), "\n".join(argument))
        if "error" in expected:
            session.expect_error(request)
            return
        session.ask(request)
        lines = [f"node {node}" for node in expected["nodes"]]
        lines += [" ".join(["input", item["ref"], *item["consumers"]]) for item in expected["external_inputs"]]
        lines += [f"dest {ref}" for ref in expected["external_dests"]]
        lines += [f"variable {variable['name']}" for variable in expected["variables"]]
        lines += [f"function {function}" for function in expected["functions"]]
        lines += [f"gradient {pair[0]} {pair[1]}" for pair in expected["gradients"]]
        _lines(session, lines)

    return judge


def _read(data: Callable[[], bytes], outcome: str) -> Callable[[Session], None]:
    def judge(session: Session) -> None:
        request = dump("read", data())
        if outcome != "ok":
            session.expect_error(request)
        else:
            session.ask(request)

    return judge


def _models(name: str) -> Callable[[Session], None]:
    def judge(session: Session) -> None:
        session.ask(dump("read", golden_bytes(f"{name}.pb")))
        _lines(session, [f"model {key}" for key in sorted(_document(name)["message"]["model_dump"], key=str.encode)])

    return judge


def _register_golden() -> None:
    for name in NAMES:
        label = name.replace("_", "-")
        _add(f"dump/read/{label}", "a dump is read, and its models are named", "model_dump 7.5", "read", _models(name))
        _add(
            f"dump/canonical/{label}",
            "the canonical form is the measured one, and its own canonical form",
            "model_dump 2.4, 7.5",
            "canonical",
            _canonical(name),
        )
        for number, wanted in enumerate(_document(name)["slices"]):
            _add(
                f"dump/slice/{label}[number={number}]",
                f"a slice has the measured nodes and edges: {wanted['title']}",
                "model_dump 3.3",
                "slice",
                _slice(name, wanted),
            )


def _register_damaged() -> None:
    for recipe in _document("corrupted")["cases"]:
        refused = recipe["read"] != "ok"
        _add(
            f"dump/{'reject' if refused else 'strange'}/{recipe['name'].replace('_', '-')}",
            "a damaged dump is refused" if refused else "a strange dump is read; nothing inside of it is executed",
            "model_dump 7.5",
            "read",
            _read(functools.partial(derived, recipe, golden_bytes), recipe["read"]),
        )


def _flipped(flip: Mapping[str, Any]) -> bytes:
    data = bytearray(golden_bytes(_document("flips")["from"]))
    data[flip["offset"]] ^= int(flip["with"], 16)
    return bytes(data)


@case("dump/reject/flipped-bits", "model_dump 7.5", needs=("dump.read",), accuracy="exact")
def _flips_refused(session: Session) -> None:
    """Flipped bits that leave no dump are refused; those that leave one are read."""
    for flip in _document("flips")["flips"]:
        _read(functools.partial(_flipped, flip), flip["read"])(session)


@case("dump/canonical/flipped-bits", "model_dump 7.5", needs=("dump.canonical",), accuracy="exact")
def _flips_canonical(session: Session) -> None:
    """Flipped bits that leave a dump have the measured canonical form."""
    for flip in _document("flips")["flips"]:
        if flip.get("canonical_sha256"):
            blob = session.ask(dump("canonical", _flipped(flip))).blob
            _expect_hash(session, len(blob), flip["canonical_sha256"])


@case("dump/canonical/strange-ones", "model_dump 7.5", needs=("dump.canonical",), accuracy="exact")
def _strange_canonical(session: Session) -> None:
    """Duplicated, split and foreign fields have the measured canonical form."""
    for recipe in _document("corrupted")["cases"]:
        if "canonical_sha256" in recipe:
            blob = session.ask(dump("canonical", derived(recipe, golden_bytes))).blob
            _expect_hash(session, len(blob), recipe["canonical_sha256"])


@case("dump/canonical/keys-by-their-bytes", "model_dump 7.5", needs=("dump.canonical",), accuracy="exact")
def _keys(session: Session) -> None:
    """Map entries come in order of their keys' bytes, a key before those that it begins."""
    message = model_dump_pb2.ModelDump()
    for key in ("train", "T", "Tshape", "é", "Z", "", "infer"):
        message.model_dump[key].params = key.encode()
    session.ask(dump("canonical", message.SerializeToString()))
    parts = []
    for key in sorted(message.model_dump, key=str.encode):
        value = message.model_dump[key].SerializeToString()
        name = key.encode()
        entry = bytes([0x0A, len(name)]) + name + bytes([0x12, len(value)]) + value
        parts.append(bytes([0x0A, len(entry)]) + entry)
    session.expect(blob=b"".join(parts))


def _graph_dump(*nodes: tuple[str, str, list[str]]) -> bytes:
    graph = graph_pb2.GraphDef()
    for name, op, inputs in nodes:
        graph.node.add(name=name, op=op, input=inputs)
    message = model_dump_pb2.ModelDump()
    message.model_dump["train"].graph_def = graph.SerializeToString()
    return message.SerializeToString()


_CHAIN: tuple[tuple[str, str, list[str]], ...] = (
    ("a", "Split", []),
    ("b", "Add", ["a", "a:1", "^c"]),
    ("c", "NoOp", []),
    ("d", "Add", ["b", "a:2"]),
)
_SLICES: dict[str, tuple[str, str, list[str]]] = {
    "port-by-port": (
        "a source cuts one tensor, not the node's others",
        "dest d\nsource a:1",
        ["node a", "node b", "node c", "node d", "input a:1 b:1"],
    ),
    "whole-node": (
        "a bare source cuts all of a node",
        "dest d\nsource a\nsource c",
        ["node b", "node d", "input a:0 b:0", "input a:1 b:1", "input ^c b", "input a:2 d:1"],
    ),
    "control-edge": (
        "a control source cuts control edges alone",
        "dest b\nsource ^c",
        ["node a", "node b", "input ^c b"],
    ),
    "cut-destination": (
        "a destination that is cut is not visited",
        "dest a:1\ndest c\nsource a:1",
        ["node c", "dest a:1"],
    ),
}


def _judge_chain(argument: str, expected: list[str]) -> Callable[[Session], None]:
    def judge(session: Session) -> None:
        session.ask(dump("slice", _graph_dump(*_CHAIN), f"graph model_dump train\n{argument}"))
        _lines(session, expected)

    return judge


_REFUSED: dict[str, tuple[str, str, list[tuple[str, str, list[str]]]]] = {
    "cycle": ("nodes that depend on themselves are refused", "dest x", [("x", "A", ["y"]), ("y", "A", ["x"])]),
    "dangling": ("an input that names no node is refused", "dest x", [("x", "A", ["nobody"])]),
    "twice": ("two nodes of one name are refused", "dest x", [("x", "A", []), ("x", "B", [])]),
    "unknown": ("a destination that is no node is refused", "dest nobody", [("x", "A", [])]),
    "port": ("a port that is no number is refused", "dest x:one", [("x", "A", [])]),
}


def _judge_refused(argument: str, nodes: list[tuple[str, str, list[str]]]) -> Callable[[Session], None]:
    def judge(session: Session) -> None:
        session.expect_error(dump("slice", _graph_dump(*nodes), f"graph model_dump train\n{argument}"))

    return judge


def _register_slices() -> None:
    for name, (rule, argument, lines) in _SLICES.items():
        _add(f"dump/slice/{name}", rule, "model_dump 3.3", "slice", _judge_chain(argument, lines))
    for name, (rule, argument, nodes) in _REFUSED.items():
        _add(f"dump/reject-slice/{name}", rule, "model_dump 3.3", "slice", _judge_refused(argument, nodes))


_register_golden()
_register_damaged()
_register_slices()
