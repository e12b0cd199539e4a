"""Unchecked memory access for rules and drivers: an element without a look at its index, and asking for its line."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from monolith_kernels.forms import on_cpu, on_cuda

__all__ = ["at", "prefetch", "put"]


def at(array: Any, i: Any) -> Any:
    """Element i of a contiguous one-dimensional array; i is never negative and never checked."""
    return array[i]


def put(array: Any, i: Any, value: Any) -> None:
    """Store an element, as :func:`at`."""
    array[i] = value


def prefetch(array: Any, i: Any) -> None:
    """Ask for the cache line of element i (CPU; nothing elsewhere). Any i is allowed: nothing is read."""


def _element_pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index], inbounds=True)


@intrinsic
def _load(typingctx: Any, array: Any, i: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _element_pointer(context, builder, signature.args[0], args[0], args[1])
        return context.unpack_value(builder, signature.return_type, pointer)

    return array.dtype(array, types.intp), codegen


@intrinsic
def _store(typingctx: Any, array: Any, i: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _element_pointer(context, builder, signature.args[0], args[0], args[1])
        context.pack_value(builder, signature.args[0].dtype, args[2], pointer)
        return context.get_dummy_value()

    return types.void(array, types.intp, array.dtype), codegen


@intrinsic
def _prefetch(typingctx: Any, array: Any, i: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _element_pointer(context, builder, signature.args[0], args[0], args[1])
        i8p, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [i8p, i32, i32, i32]), "llvm.prefetch.p0i8"
        )
        # to read, into the second cache, data
        constants = [ir.Constant(i32, value) for value in (0, 1, 1)]
        builder.call(function, [builder.bitcast(pointer, i8p), *constants])
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


@on_cpu(at)
def _at_cpu(array: Any, i: Any) -> Any:
    return lambda array, i: _load(array, i)


@on_cpu(put)
def _put_cpu(array: Any, i: Any, value: Any) -> Any:
    return lambda array, i, value: _store(array, i, value)


@on_cpu(prefetch)
def _prefetch_cpu(array: Any, i: Any) -> Any:
    return lambda array, i: _prefetch(array, i)


@on_cuda(at)
def _at_cuda(array: Any, i: Any) -> Any:
    return lambda array, i: array[i]


def _put_in_cuda(array: Any, i: Any, value: Any) -> None:
    array[i] = value


@on_cuda(put)
def _put_cuda(array: Any, i: Any, value: Any) -> Any:
    return _put_in_cuda


def _no_prefetch(array: Any, i: Any) -> None:
    return None


@on_cuda(prefetch)
def _prefetch_cuda(array: Any, i: Any) -> Any:
    return _no_prefetch
