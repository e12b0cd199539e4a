"""How a stub gets its machine forms: compiled for the CPU at once, for CUDA when its twins are first imported."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from numba.extending import overload

__all__ = ["both", "on_cpu", "on_cuda", "register_for_cuda", "shared"]

_Implementation = Callable[..., Any]
_FOR_CUDA: list[tuple[_Implementation, _Implementation]] = []
_cuda_active = False


def _in_terms_of(stub: _Implementation, implementation: _Implementation) -> _Implementation:
    """The overload, whose forms carry the stub's annotations: Numba compares whole signatures."""

    @functools.wraps(implementation)
    def typed(*args: Any, **kwargs: Any) -> Any:
        form = implementation(*args, **kwargs)
        if form is not None:
            form.__annotations__ = dict(stub.__annotations__)
        return form

    return typed


def on_cpu(stub: _Implementation) -> Callable[[_Implementation], _Implementation]:
    """Decorate the CPU form of a stub (a Numba overload)."""

    def register(implementation: _Implementation) -> _Implementation:
        overload(stub)(_in_terms_of(stub, implementation))
        return implementation

    return register


def on_cuda(stub: _Implementation) -> Callable[[_Implementation], _Implementation]:
    """Decorate the CUDA form of a stub; it is registered when the CUDA twins are first imported."""

    def register(implementation: _Implementation) -> _Implementation:
        if _cuda_active:
            _overload_on_cuda(stub, implementation)
        else:
            _FOR_CUDA.append((stub, implementation))
        return implementation

    return register


def both(stub: _Implementation) -> Callable[[_Implementation], _Implementation]:
    """Decorate the one form that serves both targets."""

    def register(implementation: _Implementation) -> _Implementation:
        on_cpu(stub)(implementation)
        on_cuda(stub)(implementation)
        return implementation

    return register


def shared(function: _Implementation) -> _Implementation:
    """Decorate a plain scalar function that compiled rules call, on both targets."""

    def same(*args: Any, **kwargs: Any) -> _Implementation:
        return function

    overload(function, strict=False)(same)
    if _cuda_active:
        _overload_on_cuda(function, same)
    else:
        _FOR_CUDA.append((function, same))
    return function


def _overload_on_cuda(stub: _Implementation, implementation: _Implementation) -> None:
    from numba.cuda.extending import overload as overload_on_cuda

    overload_on_cuda(stub)(_in_terms_of(stub, implementation))


def register_for_cuda() -> None:
    """Give the CUDA compiler its forms (once). The simulator runs the plain meanings and needs none."""
    global _cuda_active
    from numba import config

    if _cuda_active or config.ENABLE_CUDASIM:
        return
    _cuda_active = True
    for stub, implementation in _FOR_CUDA:
        _overload_on_cuda(stub, implementation)
    _FOR_CUDA.clear()
