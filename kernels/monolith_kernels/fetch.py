"""Asking for a cache line before it is read.

Two steps, as measured (docs/decisions/0001-hot-loops.md): far ahead into the second cache, which has many more
requests under way than the first, and near ahead into the first.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

__all__ = ["prefetch_near", "prefetch_read"]


def prefetch_read(array: Any, i: Any) -> None:
    """Ask for the cache line of element i of a contiguous array (CPU only). Any i is allowed: nothing is read."""


def prefetch_near(array: Any, i: Any) -> None:
    """As :func:`prefetch_read`, into the first cache: for lines that were asked for before and are read soon."""


def _request(locality: int) -> Any:
    """The intrinsic that asks for a line; ``locality`` 3: all caches, 1: not the first."""

    @intrinsic
    def request(typingctx: Any, array: Any, i: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            pointer = builder.gep(data, [args[1]])
            i8p, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
            function = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(ir.VoidType(), [i8p, i32, i32, i32]), "llvm.prefetch.p0i8"
            )
            # to read, how near, data
            constants = [ir.Constant(i32, value) for value in (0, locality, 1)]
            builder.call(function, [builder.bitcast(pointer, i8p), *constants])
            return context.get_dummy_value()

        return types.void(array, types.intp), codegen

    return request


_far = _request(1)
_near = _request(3)


def _prefetch_read_compiled(array: Any, i: Any) -> Any:
    return _far(array, i)


def _prefetch_near_compiled(array: Any, i: Any) -> Any:
    return _near(array, i)


@overload(prefetch_read)
def _prefetch_read_cpu(array: Any, i: Any) -> Any:
    return _prefetch_read_compiled


@overload(prefetch_near)
def _prefetch_near_cpu(array: Any, i: Any) -> Any:
    return _prefetch_near_compiled
