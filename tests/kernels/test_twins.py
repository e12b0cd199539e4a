"""The two targets offer the same functions, and nothing is decorated outside its one place."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import monolith_kernels
import pytest
from monolith_kernels.target import TWIN_MODULES

ROOT = Path(monolith_kernels.__file__).parent
DECORATING = {"jit.py", "cuda/launch.py"}
"""The only modules that may call ``njit``, ``jit`` or ``cuda.jit``."""


def public_modules(folder: str) -> set[str]:
    return {path.stem for path in (ROOT / folder).glob("*.py") if not path.stem.startswith("_")}


def parameters(function: object) -> list[object]:
    """Names, kinds and defaults; annotations may say where an array lives."""
    signature = inspect.signature(function)  # type: ignore[arg-type]
    return [(p.name, p.kind, p.default) for p in signature.parameters.values()]


def test_both_folders_hold_the_twins() -> None:
    assert set(TWIN_MODULES) <= public_modules("cpu")
    assert set(TWIN_MODULES) <= public_modules("cuda")
    helpers = {"launch", "scan", "signatures", "sort", "storage"}
    # Sums of repeated rows come from a sort on CUDA: there is no word beside a row that threads could share in order.
    assert public_modules("cpu") - set(TWIN_MODULES) == {"repeats"}
    assert public_modules("cuda") - set(TWIN_MODULES) <= helpers


@pytest.mark.parametrize("module", TWIN_MODULES)
def test_twins_have_the_same_names_and_signatures(module: str) -> None:
    cpu = importlib.import_module(f"monolith_kernels.cpu.{module}")
    cuda = importlib.import_module(f"monolith_kernels.cuda.{module}")
    assert sorted(cpu.__all__) == sorted(cuda.__all__)
    for name in cpu.__all__:
        one, other = getattr(cpu, name), getattr(cuda, name)
        if inspect.isfunction(one):
            assert parameters(one) == parameters(other), f"{module}.{name}"
            assert one.__doc__, f"{module}.{name}"
        elif not inspect.isclass(one):
            assert one == other, f"{module}.{name}"


def test_nothing_is_decorated_outside_its_place() -> None:
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        where = str(path.relative_to(ROOT))
        if where in DECORATING:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            if name in {"njit", "jit", "vectorize", "guvectorize", "cfunc", "stencil"}:
                found.append(f"{where}:{node.lineno}")
    assert found == []


def test_the_cpu_side_never_imports_cuda() -> None:
    code = (
        "import sys\n"
        "from monolith_kernels.target import TWIN_MODULES, target\n"
        "t = target('cpu')\n"
        "[getattr(t, m) for m in TWIN_MODULES]\n"
        "import monolith_kernels.reduction\n"
        "bad = [m for m in sys.modules if m == 'numba.cuda' or m.startswith('monolith_kernels.cuda')]\n"
        "sys.exit(', '.join(bad) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
