"""Unaligned little-endian words in byte arrays, and crc32c steps in hardware where the machine has them.

For host kernels. Offsets are not checked. Every machine that Numba compiles for here is little-endian.
"""

from __future__ import annotations

import platform
from typing import Any

import llvmlite.binding
import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

__all__ = ["HARDWARE_CRC", "crc_step8", "crc_step64", "load32", "load64", "store32", "store64"]


def _hardware_crc() -> bool:
    """Whether the code generator may use the crc32 instruction: an x86 host with SSE 4.2, no other CPU asked for."""
    if platform.machine() not in ("x86_64", "AMD64") or numba.config.CPU_NAME or numba.config.CPU_FEATURES:
        return False
    try:
        return bool(llvmlite.binding.get_host_cpu_features().get("sse4.2", False))
    except RuntimeError:
        return False


HARDWARE_CRC = _hardware_crc()


def _loader(bits: int) -> Any:
    @intrinsic
    def load(typing_context: Any, array: Any, offset: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            at = builder.gep(data, [arguments[1]])
            return builder.load(builder.bitcast(at, ir.IntType(bits).as_pointer()), align=1)

        return getattr(types, f"uint{bits}")(array, types.int64), generate

    return load


def _storer(bits: int) -> Any:
    @intrinsic
    def store(typing_context: Any, array: Any, offset: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            at = builder.gep(data, [arguments[1]])
            builder.store(arguments[2], builder.bitcast(at, ir.IntType(bits).as_pointer()), align=1)
            return context.get_dummy_value()

        return types.none(array, types.int64, getattr(types, f"uint{bits}")), generate

    return store


load32, load64 = _loader(32), _loader(64)
store32, store64 = _storer(32), _storer(64)


def _crc_step(bits: int) -> Any:
    """Advance a crc32c (inverted state, uint64 for 64 bits, uint32 for 8) by one word; only with HARDWARE_CRC."""
    state = 64 if bits == 64 else 32

    @intrinsic
    def step(typing_context: Any, crc: Any, word: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = ir.FunctionType(ir.IntType(state), [ir.IntType(state), ir.IntType(bits)])
            name = f"llvm.x86.sse42.crc32.{state}.{bits}"
            function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
            return builder.call(function, arguments)

        words = types.uint64 if bits == 64 else types.uint8
        states = types.uint64 if state == 64 else types.uint32
        return states(states, words), generate

    return step


crc_step64, crc_step8 = _crc_step(64), _crc_step(8)
