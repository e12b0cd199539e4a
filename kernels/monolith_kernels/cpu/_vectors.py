"""Eight float32 or float64 at a time, said outright.

A loop over one row's floats is short and its length is known at run time only. Compiled as a loop, it spends more time
on asking whether source and destination overlap and on leftover floats than on moving them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from monolith_kernels.prim import on_cpu

__all__ = ["LANES", "add_lanes", "clear_lanes", "move_lanes", "move_lanes_if"]

LANES = 8


def move_lanes(out: Any, target: Any, source: Any, start: Any) -> None:
    """``out[target:target + 8] = source[start:start + 8]``, bits preserved, one type, not checked."""
    out[target : target + LANES] = source[start : start + LANES]


def move_lanes_if(out: Any, target: Any, source: Any, start: Any, keep: Any) -> None:
    """As :func:`move_lanes` (float32) where ``keep`` is -1; +0.0 where it is 0, though the source is read. No jump."""
    out[target : target + LANES] = source[start : start + LANES] if keep else np.float32(0.0)


def add_lanes(out: Any, target: Any, source: Any, start: Any) -> None:
    """``out[target:target + 8] += source[start:start + 8]``."""
    out[target : target + LANES] += source[start : start + LANES]


def clear_lanes(out: Any, target: Any) -> None:
    """``out[target:target + 8] = +0.0``."""
    out[target : target + LANES] = np.float32(0.0)


def _vector(array_type: Any) -> ir.VectorType:
    return ir.VectorType(ir.DoubleType() if array_type.dtype == types.float64 else ir.FloatType(), LANES)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, place: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place], inbounds=True), _vector(array_type).as_pointer())


@intrinsic
def _move(typingctx: Any, out: Any, target: Any, source: Any, start: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = builder.load(_pointer(context, builder, signature.args[2], args[2], args[3]), align=4)
        builder.store(value, _pointer(context, builder, signature.args[0], args[0], args[1]), align=4)
        return context.get_dummy_value()

    return types.void(out, types.intp, source, types.intp), codegen


@intrinsic
def _move_if(typingctx: Any, out: Any, target: Any, source: Any, start: Any, keep: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits, i32 = ir.VectorType(ir.IntType(32), LANES), ir.IntType(32)
        value = builder.load(_pointer(context, builder, signature.args[2], args[2], args[3]), align=4)
        first = builder.insert_element(ir.Constant(bits, ir.Undefined), args[4], ir.Constant(i32, 0))
        mask = builder.shuffle_vector(first, ir.Constant(bits, ir.Undefined), ir.Constant(bits, [0] * LANES))
        value = builder.bitcast(builder.and_(builder.bitcast(value, bits), mask), value.type)
        builder.store(value, _pointer(context, builder, signature.args[0], args[0], args[1]), align=4)
        return context.get_dummy_value()

    return types.void(out, types.intp, source, types.intp, types.int32), codegen


@intrinsic
def _add(typingctx: Any, out: Any, target: Any, source: Any, start: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = _pointer(context, builder, signature.args[0], args[0], args[1])
        term = builder.load(_pointer(context, builder, signature.args[2], args[2], args[3]), align=4)
        builder.store(builder.fadd(builder.load(place, align=4), term), place, align=4)
        return context.get_dummy_value()

    return types.void(out, types.intp, source, types.intp), codegen


@intrinsic
def _clear(typingctx: Any, out: Any, target: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        zeros = ir.Constant(_vector(signature.args[0]), [0.0] * LANES)
        builder.store(zeros, _pointer(context, builder, signature.args[0], args[0], args[1]), align=4)
        return context.get_dummy_value()

    return types.void(out, types.intp), codegen


@on_cpu(move_lanes)
def _move_lanes_cpu(out: Any, target: Any, source: Any, start: Any) -> Any:
    return lambda out, target, source, start: _move(out, target, source, start)


@on_cpu(move_lanes_if)
def _move_lanes_if_cpu(out: Any, target: Any, source: Any, start: Any, keep: Any) -> Any:
    return lambda out, target, source, start, keep: _move_if(out, target, source, start, keep)


@on_cpu(add_lanes)
def _add_lanes_cpu(out: Any, target: Any, source: Any, start: Any) -> Any:
    return lambda out, target, source, start: _add(out, target, source, start)


@on_cpu(clear_lanes)
def _clear_lanes_cpu(out: Any, target: Any) -> Any:
    return lambda out, target: _clear(out, target)
