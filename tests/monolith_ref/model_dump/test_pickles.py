"""Pickles and literals: read inert, with limits; written so that Python reads the same."""

from __future__ import annotations

import io
import pickletools
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monolith_ref.errors import DumpError
from monolith_ref.model_dump.literals import TfDtype, parse_literal, write_literal
from monolith_ref.model_dump.pickles import Inert, assemble, disassemble, is_optimizer, read_pickle, write_pickle
from tests.monolith_ref.model_dump.support import DUMPS, golden

FIXED = settings(derandomize=True, deadline=None, max_examples=150, database=None)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


def kind_of(data: bytes, **options: Any) -> str:
    try:
        read_pickle(data, **options)
    except DumpError as error:
        return error.kind
    return "ok"


@FIXED
@given(VALUES)
def test_written_values_are_read_again(value: Any) -> None:
    data = write_pickle(value)
    assert read_pickle(data).value == value
    # Python's own disassembler finds the stream complete and its stack sound.
    pickletools.dis(data, out=io.StringIO())
    assert assemble(disassemble(data) or []) == data


@FIXED
@given(VALUES)
def test_literals_are_read_as_python_writes_them(value: Any) -> None:
    assert parse_literal(repr(value)) == value
    assert parse_literal(write_literal(value)) == value


def test_objects_keep_class_arguments_and_state() -> None:
    mode = Inert("monolith.native_training.model_export.export_context.ExportMode", (2,))
    value = Inert("monolith.core.hyperparams.Params", state={"_immutable": False, "_params": {"mode": mode}})
    found = read_pickle(write_pickle({"p": value}))
    assert found.globals == tuple(sorted({mode.class_name, value.class_name}))
    assert found.value["p"].state["_params"]["mode"].args == (2,)


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "copyreg._reconstructor", "tensorflow.python.Evil"])
def test_nothing_outside_of_the_list_is_written_or_read(name: str) -> None:
    with pytest.raises(DumpError) as caught:
        write_pickle(Inert(name))
    assert caught.value.kind == "forbidden_global"
    module, _, attribute = name.rpartition(".")
    data = b"\x80\x04c" + f"{module}\n{attribute}\n".encode() + b")R."
    assert kind_of(data) == "forbidden_global"
    assert kind_of(data, allowed=is_optimizer) == "forbidden_global"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "without STOP"),
        (b"\x80\x04", "without STOP"),
        (b"\x80\x06N.", "protocol 6"),
        (b"\x80\x04.", "0 values"),
        (b"NN.", "2 values"),
        (b"(.", "1 values"),
        (b"\x80\x02Q.", "BINPERSID"),
        (b"P1\n.", "PERSID"),
        (b"\x82\x01.", "EXT1"),
        (b"\x97.", "NEXT_BUFFER"),
        (b"\xfe.", "no instruction"),
        (b"X\xff\xff\xff\x7fab.", "are left"),
        (b"\x8b\xff\xff\xff\x7f.", "are left"),
        (b"h\x07.", "BINGET"),
        (b"]2a.", "contains itself"),
        (b"}]Ns.", "plain value"),
        (b"N)R.", "allowed class"),
        (b"]N}b.", "plain value"),
        (b"]" * 200 + b"a" * 199 + b".", "levels"),
        (b"\x8c\x02\xff\xfe.", "UTF-8"),
        (b"I" + b"9" * 5000 + b"\n.", "long number"),
    ],
)
def test_streams_that_are_none_are_refused(data: bytes, text: str) -> None:
    if data.startswith(b"]2a"):
        data = b"]q\x00h\x00a."
    with pytest.raises(DumpError) as caught:
        read_pickle(data)
    assert caught.value.kind == "malformed_pickle"
    assert text in str(caught.value)


def test_values_that_grow_by_sharing_are_refused() -> None:
    """Thirty lists, each twice in the next: a billion values in a few hundred bytes."""
    body = b"]q\x00"
    for number in range(30):
        body += b"](" + b"h" + bytes([number]) + b"h" + bytes([number]) + b"eq" + bytes([number + 1])
    with pytest.raises(DumpError) as caught:
        read_pickle(b"\x80\x02(" + body + b"l.")
    assert "values" in str(caught.value)


def test_mutations_end_in_a_value_or_an_error_of_ours() -> None:
    generator = random.Random(7)
    sources = [write_pickle({"a": [1, (2.5, None)], "b": b"x" * 300}), _params()]
    for _ in range(4000):
        data = bytearray(generator.choice(sources))
        for _ in range(generator.randrange(1, 5)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        assert kind_of(bytes(data), allowed=is_optimizer) in ("ok", "malformed_pickle", "forbidden_global")


def _params() -> bytes:
    from monolith_ref.model_dump import parse_dump

    return parse_dump(golden("two_heads.pb")).model_dump["train"].params


@pytest.mark.parametrize("name", [name for name in DUMPS if "heads" in name or "train" in name])
def test_real_pickles_are_instructions_without_loss(name: str) -> None:
    from monolith_ref.model_dump import parse_dump

    for proto in parse_dump(golden(name)).model_dump.values():
        for data in filter(None, (proto.params, proto.optimizer)):
            assert assemble(disassemble(data) or []) == data
            again = write_pickle(read_pickle(data, is_optimizer).value)
            assert write_pickle(read_pickle(again, is_optimizer).value) == again


def test_dtypes_stand_bare() -> None:
    text = "{'name': 'x:0', 'is_ragged': False, 'dtype': tf.float32, 'last_dim': None}"
    value = parse_literal(text)
    assert value["dtype"] == "float32"
    assert isinstance(value["dtype"], TfDtype)
    assert write_literal(value) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "__import__('os')",
        "tf.system",
        "tf.float32()",
        "[1, 2",
        "1 2",
        "{[]: 1}",
        "a",
        "[" * 500,
        "'\\N{DIGIT ONE}'",
        "1_000",
        "07",
    ],
)
def test_what_is_no_literal_is_refused(text: str) -> None:
    with pytest.raises(DumpError) as caught:
        parse_literal(text)
    assert caught.value.kind == "bad_repr"


def test_mutated_literals_end_in_a_value_or_an_error_of_ours() -> None:
    generator = random.Random(3)
    kinds = set()
    for _ in range(5000):
        text = list("{'a': [1, tf.float32, (2.5, None)], 'b\\x41': b'x', \"c\": {True, -inf}}")
        for _ in range(generator.randrange(1, 5)):
            text[generator.randrange(len(text))] = generator.choice("[](){}'\"\\,:0123456789.eEtfxubB #\n")
        kinds.add(literal_kind("".join(text)))
    assert kinds == {"ok", "bad_repr"}


def literal_kind(text: str) -> str:
    try:
        parse_literal(text)
    except DumpError as error:
        return error.kind
    return "ok"
