"""Compile every CUDA kernel without a device, read what came out, and assemble it: ``python -m monolith_kernels.ptx``.

Kernels become PTX (for the oldest architecture; newer ones take the same), which must hold what bit equality needs:

* profile ``ieee``: no fused multiply-add, and no product that a later stage could fuse with a sum;
* both profiles: nothing flushed to zero, only correctly rounded divisions and roots, no float64 in a float32 rule;
* vector loads and stores where a kernel says that rows allow them.

``ptxas`` then assembles for every architecture; registers must not spill. Exit status 1 on any violation.
``--table`` adds what the code says of speed: occupancy, accesses to memory, passes over rows.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest import mock

if TYPE_CHECKING:
    from monolith_kernels.cuda.signatures import Variant

__all__ = [
    "ARCHITECTURES",
    "Resources",
    "accesses",
    "assemble",
    "compile_all",
    "main",
    "occupancy",
    "vector_accesses",
    "violations",
]

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
_OLDEST = (8, 0)
_DIM = 16

LIBRARY_FUNCTIONS = frozenset({"_filter.probabilistic_admit"})
"""Kernels that call a double-precision library function, which fuses and approximates inside."""

VECTOR_SUFFIX = "_by_four"
"""How the names of kernels end that must move four floats at a time."""


class Resources(NamedTuple):
    """What ``ptxas`` reports of one kernel on one architecture: registers, bytes of shared memory, bytes spilled."""

    registers: int
    shared: int
    spilled: int


def load_kernels() -> None:
    """Import every CUDA module, so that all kernels are registered."""
    package = importlib.import_module("monolith_kernels.cuda")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"monolith_kernels.cuda.{module.name}")


class _Device:
    compute_capability = _OLDEST


def compile_all(chosen: list[Variant]) -> tuple[dict[str, str], list[str]]:
    """PTX of each variant by its label, and what could not be compiled; no driver is asked for."""
    from numba import cuda
    from numba.core.errors import NumbaError

    from monolith_kernels.prim import register_for_cuda

    register_for_cuda()
    texts: dict[str, str] = {}
    bad: list[str] = []
    # Device functions that are compiled on their own ask for the current device's architecture.
    with mock.patch("numba.cuda.dispatcher.get_current_device", _Device):
        for variant in chosen:
            try:
                texts[variant.label], _ = cuda.compile_ptx(variant.kernel.function, variant.types, cc=_OLDEST)
            except NumbaError as error:
                bad.append(f"{variant.label} does not compile: {error}")
    return texts, bad


_RESULT = re.compile(r"^\s*(?:@%p\d+\s+)?(mul|add|sub)\.(f32|f64)\s+(%f[d]?\d+),\s*(.*);", re.MULTILINE)


def violations(
    text: str, fused: bool = False, double: bool = True, vectors: bool = False, library: bool = False
) -> list[str]:
    """What a kernel's PTX must not hold, as sentences.

    Parameters
    ----------
    text : str
        PTX.
    fused : bool
        Fused multiply-adds are asked for (profile ``avx``).
    double : bool
        Float64 arithmetic is meant.
    vectors : bool
        Four floats must be moved at a time.
    library : bool
        A library function is called, which fuses and approximates inside: only float32 code could be judged.
    """
    found: list[str] = []
    if not fused and not library and (hit := re.search(r"\bfma\.\S+", text)):
        found.append(f"fused multiply-add ({hit.group()})")
    if not library and (hit := re.search(r"\S*\.ftz\b\S*", text)):
        found.append(f"flushes to zero ({hit.group()})")
    if not library and (hit := re.search(r"\b(?:div|sqrt|rcp)\.(?!rn\b|[su]\d+\b)\S*f(?:32|64)\b|\brsqrt\.\S+", text)):
        found.append(f"not correctly rounded ({hit.group()})")
    if not library:
        products = {match[3] for match in _RESULT.finditer(text) if match[1] == "mul"}
        for match in _RESULT.finditer(text):
            if match[1] != "mul" and products & set(re.findall(r"%fd?\d+", match[4])):
                found.append(f"a bare product feeds a bare sum ({match.group().strip()})")
                break
    if not double and (hit := re.search(r"\b\S+\.f64\b\S*", text)):
        found.append(f"float64 in a float32 rule ({hit.group()})")
    if vectors and not (re.search(r"\bld\.global\S*\.v4\.f32", text) and re.search(r"\bst\.global\S*\.v4\.f32", text)):
        found.append("no vector load and store")
    return found


def violations_of(variant: Variant, text: str) -> list[str]:
    """:func:`violations` with what the variant is allowed."""
    name = variant.kernel.name.removeprefix("monolith_kernels.cuda.")
    return violations(
        text,
        fused=variant.fused,
        double=variant.rule is None or variant.rule.double,
        vectors=name.endswith(VECTOR_SUFFIX),
        library=name in LIBRARY_FUNCTIONS,
    )


def find_assembler() -> Path:
    """``ptxas`` of the CUDA wheel, or of the machine."""
    spec = find_spec("nvidia.cuda_nvcc")
    for folder in spec.submodule_search_locations or [] if spec else []:
        path = Path(folder) / "bin" / "ptxas"
        if path.exists():
            return path
    return Path("ptxas")


def assemble(text: str, architecture: str, assembler: Path) -> Resources:
    """Assemble PTX for an architecture; raises ``RuntimeError`` with ``ptxas``'s words where it refuses."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.ptx"
        source.write_text(text)
        command = [str(assembler), "-v", f"-arch={architecture}", "-o", str(source.with_suffix(".cubin")), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return Resources(
        registers=max((int(count) for count in re.findall(r"Used (\d+) registers", done.stderr)), default=0),
        shared=max((int(count) for count in re.findall(r"(\d+) bytes smem", done.stderr)), default=0),
        spilled=sum(int(count) for count in re.findall(r"(\d+) bytes spill", done.stderr)),
    )


_WARPS = 64
"""Warps that a multiprocessor of these architectures holds."""
_REGISTERS = 65_536
_SHARED_BYTES = {"sm_80": 164 << 10, "sm_90": 228 << 10, "sm_100": 228 << 10}


def occupancy(used: Resources, architecture: str, threads: int) -> float:
    """Share of a multiprocessor's warps that may run at once, in blocks of ``threads``; 1 is all of them.

    Registers go to warps in units of 256, shared memory to blocks with 1 KiB for the system.
    """
    warps = -(-threads // 32)
    by_registers = _REGISTERS // (-(-max(used.registers, 1) * 32 // 256) * 256) // warps
    by_memory = _SHARED_BYTES[architecture] // (used.shared + 1024)
    return min(_WARPS // warps, by_registers, by_memory) * warps / _WARPS


def vector_accesses(text: str) -> tuple[int, int]:
    """(loads, stores) of four floats at a time in a kernel's PTX."""
    return len(re.findall(r"\bld\.global\S*\.v4\.f32", text)), len(re.findall(r"\bst\.global\S*\.v4\.f32", text))


def accesses(text: str) -> tuple[int, int, int]:
    """(loads, stores, atomics) of global memory in a kernel's PTX, each of any width."""
    patterns = (r"\bld\.(?:volatile\.)?global\b", r"\bst\.(?:volatile\.)?global\b", r"\b(?:atom|red)\.\S*global\b")
    loads, stores, atomics = (len(re.findall(pattern, text)) for pattern in patterns)
    return loads, stores, atomics


def passes(variant: Variant) -> int | None:
    """How often a kernel goes through each row that it works on: once, and once more for every ordered reduction."""
    if bytes_per_row(variant) is None:
        return None
    return 1 + (variant.rule.folds if variant.rule else 0)


def bytes_per_row(variant: Variant) -> int | None:
    """Bytes that a kernel moves between memory and chip for a row of 16 floats, where it works on rows."""
    name = variant.kernel.name.removeprefix("monolith_kernels.cuda.").removesuffix(VECTOR_SUFFIX)
    if variant.rule is not None:
        state, words = len(variant.rule.state), len(variant.rule.words)
        return 4 + 4 * _DIM + 2 * 4 * (_DIM * (1 + state) + words)
    return {
        "_rows.copy_rows": 4 + 2 * 4 * _DIM,
        "_rows.assign_sorted": 8 + 2 * 4 * _DIM,
        "_rows.add_sorted": 8 + 3 * 4 * _DIM,
        "_index.find": 8 + 8 + 4 + 4,
        "_index.find_and_gather": 8 + 8 + 4 + 4 + 2 * 4 * _DIM,
        "_shard.move": 16 + 2 * 4 * _DIM,
        "_segment.sum_of_vectors": 4 + 8 + 4 * _DIM,
        "_segment.sum_of_rows": 4 + 4 + 4 * _DIM,
        "_gradient_sums.gradient_sums": 4 + 4 + 8 + 2 * 4 * _DIM,
        "_gradient_sums.gradient_sums_exact": 4 + 4 + 8 + 5 * 4 * _DIM,
        "optimize._fill": 4 + 4 * _DIM,
        "optimize._scatter_rows": 4 + 2 * 4 * _DIM,
    }.get(name)


def _line(label: str, *columns: Any) -> str:
    return f"{label:58}" + "".join(f"{column:>13}" for column in columns)


def main(arguments: list[str] | None = None) -> int:
    """Compile, check, assemble, print a table; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m monolith_kernels.ptx", description="Judge CUDA kernels by their code."
    )
    parser.add_argument("--table", action="store_true", help="occupancy, accesses to memory and passes too")
    options = parser.parse_args(arguments)
    load_kernels()
    from monolith_kernels.cuda.launch import THREADS
    from monolith_kernels.cuda.signatures import variants

    chosen = variants()
    texts, bad = compile_all(chosen)
    chosen = [variant for variant in chosen if variant.label in texts]
    assembler = find_assembler()
    more = (
        (*(f"warps {name}" for name in ARCHITECTURES), "ld/st/atomic", "vector ld/st", "passes")
        if options.table
        else ()
    )
    print(_line("kernel", *ARCHITECTURES, "shared bytes", "bytes/row", *more))
    with ThreadPoolExecutor(2) as pool:
        jobs = {
            variant.label: [pool.submit(assemble, texts[variant.label], arch, assembler) for arch in ARCHITECTURES]
            for variant in chosen
        }
        for variant in chosen:
            results = [job.result() for job in jobs[variant.label]]
            bad += [f"{variant.label}: {words}" for words in violations_of(variant, texts[variant.label])]
            for arch, used in zip(ARCHITECTURES, results, strict=True):
                if used.spilled:
                    bad.append(f"{variant.label}: spills {used.spilled} bytes on {arch}")
            moved = bytes_per_row(variant)
            shared = max(used.shared for used in results)
            if options.table:
                shares = (occupancy(used, arch, THREADS) for used, arch in zip(results, ARCHITECTURES, strict=True))
                loads, stores = vector_accesses(texts[variant.label])
                more = (
                    *(f"{share:.0%}" for share in shares),
                    "/".join(map(str, accesses(texts[variant.label]))),
                    f"{loads}/{stores}",
                    str(passes(variant) or "-"),
                )
            print(_line(variant.label, *(used.registers for used in results), shared, moved if moved else "-", *more))
    print(f"{len(chosen)} kernels, {len(chosen) * len(ARCHITECTURES)} assembled, {len(bad)} violations")
    for words in bad:
        print(f"VIOLATION {words}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
