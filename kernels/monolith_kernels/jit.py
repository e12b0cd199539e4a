"""The one place where kernels are decorated: options, disk cache and the lock around it.

Every CPU driver is a module-level function under :func:`kernel`. Nothing is compiled at import; a call compiles the
signature it needs, once per machine: compiled code is kept in a directory named after a digest of all kernel sources
and the versions of Numba, llvmlite and NumPy, so that changed sources never meet stale code.

Numba's own cache index is not safe against concurrent writers (two processes may take the same file number, and one
then loads the other's machine code). Saving therefore happens under a file lock, and so does compiling: of many ranks
that start together the first one compiles and the others load.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core.caching import FunctionCache
from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import Dispatcher

__all__ = ["JIT_OPTIONS", "cache_directory", "compiled_signatures", "kernel", "sources_digest"]

JIT_OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "fastmath": False}
"""Options of every kernel. ``error_model="numpy"`` is needed: with Python's, a loop with a division stays scalar."""


def cache_root() -> Path:
    """Directory above all kernel caches: ``MONOLITH_REF_CACHE_DIR``, else the user's cache directory."""
    chosen = os.environ.get("MONOLITH_REF_CACHE_DIR")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "monolith-ref"


@functools.cache
def sources_digest() -> str:
    """Digest of every kernel source and of the versions that decide the machine code."""
    digest = hashlib.sha256()
    for part in (numba.__version__, llvmlite.__version__, np.__version__, sys.version):
        digest.update(part.encode())
    here = Path(__file__).parent
    for source in sorted(here.rglob("*.py")):
        digest.update(str(source.relative_to(here)).encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()[:24]


@functools.cache
def cache_directory() -> Path:
    """The directory of compiled kernels of these sources; falls back to a temporary one where it is not writable."""
    wanted = cache_root() / "kernels" / sources_digest()
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=wanted):
            pass
    except OSError:
        fallback = Path(tempfile.gettempdir()) / f"monolith-ref-{os.getuid()}" / sources_digest()
        fallback.mkdir(parents=True, exist_ok=True)
        return fallback
    return wanted


_depth = 0


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """Hold the cache directory's lock: exclusive between processes, re-entrant within one.

    Numba's own compiler lock is taken first, always in this order, so that threads of one process take turns too.
    """
    global _depth
    with global_compiler_lock:
        if _depth:
            yield
            return
        with open(cache_directory() / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _depth = 1
            try:
                yield
            finally:
                _depth = 0
                fcntl.flock(lock, fcntl.LOCK_UN)


class _LockedCache(FunctionCache):  # type: ignore[misc]
    """Numba's disk cache, with the index read and written under the lock."""

    def save_overload(self, sig: Any, data: Any) -> None:
        with _locked():
            super().save_overload(sig, data)


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a module-level function for the CPU, lazily, cached on disk.

    Returns a Numba dispatcher. Rules and profiles reach it as argument *types* (empty or small named tuples), never as
    closures: the cache key is the signature.
    """
    dispatcher = numba.njit(**JIT_OPTIONS)(function)
    _attach_cache(dispatcher, function)
    compile_plain = dispatcher.compile

    def compile_under_lock(signature: Any) -> Any:
        with _locked():
            return compile_plain(signature)

    dispatcher.compile = compile_under_lock
    _KERNELS.append(dispatcher)
    return dispatcher


_KERNELS: list[Dispatcher] = []


def _attach_cache(dispatcher: Any, function: Callable[..., Any]) -> None:
    """Give the dispatcher a cache in our directory (Numba reads the directory when the cache object is made)."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(cache_directory())
    try:
        dispatcher._cache = _LockedCache(function)
        dispatcher._can_fallback = False
    finally:
        numba.config.CACHE_DIR = before


def compiled_signatures() -> dict[str, tuple[int, int]]:
    """Per kernel used so far in this process: (signatures loaded from the cache, signatures compiled)."""
    table: dict[str, tuple[int, int]] = {}
    for dispatcher in _KERNELS:
        hits = sum(dispatcher.stats.cache_hits.values())
        misses = sum(dispatcher.stats.cache_misses.values())
        if hits or misses:
            name = f"{dispatcher.py_func.__module__}.{dispatcher.py_func.__qualname__}"
            table[name] = (hits, misses)
    return table
