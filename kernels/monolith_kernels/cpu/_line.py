"""The five keys of an index bucket compared at once, in one vector where the processor has such."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from monolith_kernels.prim import on_cpu

__all__ = ["SLOTS", "slot_in_line"]

SLOTS = 5
"""Keys of a bucket, which are its first words; the words behind them hold other things."""
_WORDS = 8


def slot_in_line(words: Any, first: Any, key: Any) -> Any:
    """The first of the words ``first`` to ``first + 4`` of a 64-byte aligned int64 array that equals ``key``, else 5.

    ``first`` is a multiple of 8.
    """
    for slot in range(SLOTS):
        if words[first + slot] == key:
            return slot
    return SLOTS


@intrinsic
def _slot_in_line(typingctx: Any, words: Any, first: Any, key: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        i64, lanes = ir.IntType(64), ir.VectorType(ir.IntType(64), _WORDS)
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        pointer = builder.bitcast(builder.gep(data, [args[1]], inbounds=True), lanes.as_pointer())
        line = builder.load(pointer, align=64)
        single = builder.insert_element(ir.Constant(lanes, ir.Undefined), args[2], ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), _WORDS), [0] * _WORDS)
        equal = builder.icmp_signed("==", line, builder.shuffle_vector(single, ir.Constant(lanes, ir.Undefined), zeros))
        mask = builder.zext(builder.bitcast(equal, ir.IntType(_WORDS)), i64)
        stop = ir.Constant(i64, 1 << SLOTS)
        return builder.cttz(builder.or_(mask, stop), ir.Constant(ir.IntType(1), 1))

    return types.int64(words, types.intp, types.int64), codegen


@on_cpu(slot_in_line)
def _slot_in_line_cpu(words: Any, first: Any, key: Any) -> Any:
    return lambda words, first, key: _slot_in_line(words, first, key)
