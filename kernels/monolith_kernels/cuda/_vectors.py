"""Four floats in one load or store, where their address is a multiple of 16 bytes.

Callers ask :func:`by_four` on the host and launch the kernel's form that moves four floats, or the plain one. The
simulator runs the plain meanings written here; compiled, they are ``ld.global.v4.f32`` and ``st.global.v4.f32``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from monolith_kernels.cuda.launch import SIMULATED
from monolith_kernels.prim import on_cuda
from monolith_kernels.rules import base

__all__ = ["by_four", "copy_four", "load_four", "load_states", "store_four", "store_states", "zero_four"]

_BYTES = 16


def _address(array: Any) -> int:
    return int(array.ctypes.data if SIMULATED else array.__cuda_array_interface__["data"][0])


def by_four(arrays: tuple[Any, ...], *words: int) -> bool:
    """Whether device arrays begin at multiples of 16 bytes and all offsets, strides and lengths are multiples of 4."""
    return all(value % 4 == 0 for value in words) and all(_address(array) % _BYTES == 0 for array in arrays)


def load_four(array: Any, i: Any) -> Any:
    """``array[i:i + 4]`` as a tuple."""
    return array[i], array[i + 1], array[i + 2], array[i + 3]


def store_four(array: Any, i: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    """``array[i:i + 4] = a, b, c, d``."""
    array[i], array[i + 1], array[i + 2], array[i + 3] = a, b, c, d


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    pointer = builder.gep(context.make_array(array_type)(context, builder, array).data, [index], inbounds=True)
    return builder.bitcast(pointer, ir.VectorType(ir.FloatType(), 4).as_pointer(pointer.type.addrspace))


@intrinsic
def _load(typingctx: Any, array: Any, i: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = builder.load(_pointer(context, builder, signature.args[0], args[0], args[1]), align=_BYTES)
        lanes = [builder.extract_element(value, ir.Constant(ir.IntType(32), k)) for k in range(4)]
        return context.make_tuple(builder, signature.return_type, lanes)

    return types.UniTuple(types.float32, 4)(array, types.intp), codegen


@intrinsic
def _store(typingctx: Any, array: Any, i: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = ir.Constant(ir.VectorType(ir.FloatType(), 4), ir.Undefined)
        for k in range(4):
            value = builder.insert_element(value, args[2 + k], ir.Constant(ir.IntType(32), k))
        builder.store(value, _pointer(context, builder, signature.args[0], args[0], args[1]), align=_BYTES)
        return context.get_dummy_value()

    return types.void(array, types.intp, *(types.float32,) * 4), codegen


@on_cuda(load_four)
def _load_four_cuda(array: Any, i: Any) -> Any:
    return lambda array, i: _load(array, i)


@on_cuda(store_four)
def _store_four_cuda(array: Any, i: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    return lambda array, i, a, b, c, d: _store(array, i, a, b, c, d)


def copy_four(out: Any, target: Any, source: Any, start: Any) -> None:
    """Copy four floats, bits preserved."""
    a, b, c, d = load_four(source, start)
    store_four(out, target, a, b, c, d)


@on_cuda(copy_four)
def _copy_four_cuda(out: Any, target: Any, source: Any, start: Any) -> Any:
    return copy_four


def zero_four(out: Any, target: Any) -> None:
    """Four times +0.0."""
    zero = np.float32(0.0)
    store_four(out, target, zero, zero, zero, zero)


@on_cuda(zero_four)
def _zero_four_cuda(out: Any, target: Any) -> Any:
    return zero_four


# ---- the states of four elements, as tuples of the rule's own length ---------------------------------------------


def load_states(h: Any, rows: Any, o: Any, pad: Any) -> Any:
    """The states of the four elements from offset o on, each a tuple as :func:`base.load_state` gives it."""
    return tuple(base.load_state(h, rows, o + k, pad) for k in range(4))


def _load_none(h: Any, rows: Any, o: Any, pad: Any) -> Any:
    return (), (), (), ()


def _load_one(h: Any, rows: Any, o: Any, pad: Any) -> Any:
    x = load_four(rows, o)
    return (x[0],), (x[1],), (x[2],), (x[3],)


def _load_two(h: Any, rows: Any, o: Any, pad: Any) -> Any:
    x, y = load_four(rows, o), load_four(rows, o + pad)
    return (x[0], y[0]), (x[1], y[1]), (x[2], y[2]), (x[3], y[3])


def _load_three(h: Any, rows: Any, o: Any, pad: Any) -> Any:
    x, y, z = load_four(rows, o), load_four(rows, o + pad), load_four(rows, o + 2 * pad)
    return (x[0], y[0], z[0]), (x[1], y[1], z[1]), (x[2], y[2], z[2]), (x[3], y[3], z[3])


def _states(h: Any, forms: tuple[Callable[..., Any], ...]) -> Callable[..., Any]:
    return forms[len(base.BY_PARAMS[h.instance_class].state)]


@on_cuda(load_states)
def _load_states_cuda(h: Any, rows: Any, o: Any, pad: Any) -> Any:
    return _states(h, (_load_none, _load_one, _load_two, _load_three))


def store_states(h: Any, rows: Any, o: Any, pad: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    """Store the states of four elements."""
    for k, state in enumerate((a, b, c, d)):
        base.store_state(h, rows, o + k, pad, state)


def _store_none(h: Any, rows: Any, o: Any, pad: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    return None


def _store_one(h: Any, rows: Any, o: Any, pad: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    store_four(rows, o, a[0], b[0], c[0], d[0])


def _store_two(h: Any, rows: Any, o: Any, pad: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    store_four(rows, o, a[0], b[0], c[0], d[0])
    store_four(rows, o + pad, a[1], b[1], c[1], d[1])


def _store_three(h: Any, rows: Any, o: Any, pad: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    store_four(rows, o, a[0], b[0], c[0], d[0])
    store_four(rows, o + pad, a[1], b[1], c[1], d[1])
    store_four(rows, o + 2 * pad, a[2], b[2], c[2], d[2])


@on_cuda(store_states)
def _store_states_cuda(h: Any, rows: Any, o: Any, pad: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    return _states(h, (_store_none, _store_one, _store_two, _store_three))
