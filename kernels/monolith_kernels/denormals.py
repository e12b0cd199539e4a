"""Subnormal numbers flushed to zero for a while: what a TensorFlow process does to its arithmetic. Rule: tables 1.

The switch is a control word of the calling thread (x86 only), so work inside must stay on that thread.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from monolith_kernels.jit import kernel

__all__ = ["available", "flushing"]

_FLUSH = 0x8000 | 0x0040
"""Results flushed to zero, subnormal inputs taken as zero."""


@intrinsic
def _control_word(typingctx: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = cgutils.alloca_once(builder, ir.IntType(32))
        pointer = builder.bitcast(word, ir.IntType(8).as_pointer())
        form = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()])
        builder.call(cgutils.get_or_insert_function(builder.module, form, "llvm.x86.sse.stmxcsr"), [pointer])
        return builder.load(word)

    return types.uint32(), code


@intrinsic
def _set_control_word(typingctx: Any, word: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = cgutils.alloca_once_value(builder, args[0])
        pointer = builder.bitcast(place, ir.IntType(8).as_pointer())
        form = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()])
        builder.call(cgutils.get_or_insert_function(builder.module, form, "llvm.x86.sse.ldmxcsr"), [pointer])
        return context.get_dummy_value()

    return types.void(types.uint32), code


@kernel
def _get() -> Any:
    return _control_word()


@kernel
def _set(word: Any) -> None:
    _set_control_word(word)


def available() -> bool:
    """Whether this machine has the switch."""
    return platform.machine() in ("x86_64", "AMD64")


@contextmanager
def flushing() -> Iterator[None]:
    """Flush subnormal inputs and results to zero on this thread until the end of the block."""
    import numpy as np

    before = np.uint32(_get())
    _set(np.uint32(before | np.uint32(_FLUSH)))
    try:
        yield
    finally:
        _set(before)
