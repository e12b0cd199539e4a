"""The loops that carry a step are vector code: read from the assembly, compiled afresh."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import pytest

PROGRAM = """
import json, re, numpy as np
from monolith_kernels.target import target
from monolith_kernels.cpu import _gradient_sums, _index, _matmul, _rows, _segment

t = target("cpu")
f = lambda *shape: np.ones(shape, np.float32)
i8, i4 = np.arange(3), np.arange(2, dtype=np.int32)
t.lookup.gather(f(4, 16), i4, 0, 16, f(64), 0, 16)
t.segment.sum(f(64), i8[:2] * 16, i4, i8, 16, f(2, 16), 0)
t.segment.sum_rows(f(4, 16), i4, i4, i8, 0, 16, f(2, 16), 0)
t.segment.gradient_sums(f(2, 16), 0, 16, i8, i4, f(0), i8[:2] * 16, f(64), 0)
zeros = np.zeros(64)
t.segment.gradient_sums_exact(f(2, 16), 0, 16, i8, i4, f(0), i8[:2] * 16, zeros, zeros.copy(), 0)
t.dense.matmul(f(4, 8), f(8, 16), f(4, 16))
t.dense.weight_gradient(f(4, 8), f(4, 16), f(8, 16))
t.dense.weight_gradient_exact(f(4, 8), f(4, 16), np.zeros((8, 16)), np.zeros((8, 16)))
t.lookup.find(t.lookup.make_index(), i8, np.empty(3, np.int32))
from monolith_kernels import rules
from monolith_kernels.cpu import optimize
from monolith_kernels.layout import RowLayout, Segment
for rule in ("adagrad", "adadelta", "ftrl", "adam", "rmsprop", "momentum", "group_adagrad"):
    layout = RowLayout.of([Segment(16, rules.make(rule))])
    optimize.update("ieee", layout, f(2, layout.width), np.zeros(1, np.int32), f(16), 16, f(1))

def rule_of(signature):
    return next(r for r in rules.ALL if re.search(rf"\\b{type(rules.make(r)).__name__}\\(", str(signature[1])))

updates = {f"rule {rule_of(s)}": optimize._update.inspect_asm(s) for s in optimize._update.signatures}
bodies = {f"llvm {rule_of(s)}": optimize._update.inspect_llvm(s) for s in optimize._update.signatures}
kernels = {
    "gather": _rows.gather_rows,
    "sum": _segment.sum_of_vectors,
    "sum_rows": _segment.sum_of_rows,
    "gradient_sums": _gradient_sums.gradient_sums,
    "gradient_sums_exact": _gradient_sums.gradient_sums_exact,
    "matmul": _matmul.products,
    "weight_gradient": _matmul.weight_gradient,
    "weight_gradient_exact": _matmul.weight_gradient_exact,
    "find": _index.find,
}
asm = {name: "".join(k.inspect_asm(s) for s in k.signatures) for name, k in kernels.items()}
print(json.dumps({**asm, **updates, **bodies}))
"""

EXPECTED = {
    "gather": r"vmovups\s.*%[yz]mm",
    "sum": r"vaddps\s.*%[yz]mm",
    "sum_rows": r"vaddps\s.*%[yz]mm",
    "gradient_sums": r"vaddps\s.*%[yz]mm",
    "gradient_sums_exact": r"vaddpd\s.*%[yz]mm",
    "matmul": r"vmulps\s.*%[yz]mm",
    "weight_gradient": r"vmulps\s.*%[yz]mm",
    "weight_gradient_exact": r"vsubpd\s.*%[yz]mm",
    "find": r"vpcmpeqq\s.*%[xyz]mm",
}


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    if not llvm.get_host_cpu_features().get("avx"):
        pytest.skip("this processor has no AVX")
    # what comes from the cache has no assembly to show
    environment = {**os.environ, "MONOLITH_REF_CACHE_DIR": str(tmp_path_factory.mktemp("cache"))}
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment, cwd=root
    )
    texts: dict[str, str] = json.loads(done.stdout)
    return texts


@pytest.mark.parametrize("name", EXPECTED)
def test_loops_are_vectors(name: str, assembly: dict[str, str]) -> None:
    assert re.search(EXPECTED[name], assembly[name]), f"{name} is scalar code"


@pytest.mark.parametrize("name", ["find", "gather", "sum", "sum_rows"])
def test_rows_are_asked_for_before_they_are_read(name: str, assembly: dict[str, str]) -> None:
    assert "prefetch" in assembly[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_nothing_is_fused(name: str, assembly: dict[str, str]) -> None:
    assert not re.search(r"vfn?m(?:add|sub)\d", assembly[name])


@pytest.mark.parametrize("rule", ["adagrad", "adadelta", "ftrl", "adam", "rmsprop"])
def test_rows_are_updated_by_vector_code(rule: str, assembly: dict[str, str]) -> None:
    wide = "vdivpd" if rule in ("adam", "rmsprop") else "vdivps"
    assert re.search(rf"{wide}\s.*%[yz]mm", assembly[f"rule {rule}"])


@pytest.mark.parametrize("rule", ["adagrad", "adadelta", "ftrl", "momentum", "group_adagrad"])
def test_float32_rules_never_widen(rule: str, assembly: dict[str, str]) -> None:
    body = assembly[f"llvm {rule}"].split("define")[1]
    assert "fmul" in body, "this is not the rule's own function"
    assert "fpext" not in body
    assert "fptrunc" not in body
