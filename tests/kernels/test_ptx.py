"""The reader of compiled CUDA kernels finds what it must find, and real kernels pass it."""

from __future__ import annotations

from inspect import signature
from typing import Any

import pytest
from monolith_kernels import ptx

CLEAN = """
    ld.global.v4.f32 {%f1, %f2, %f3, %f4}, [%rd1];
    mul.rn.f32 %f5, %f1, %f2;
    add.rn.f32 %f6, %f5, %f3;
    mul.f32 %f7, %f6, %f4;
    div.rn.f32 %f8, %f7, %f1;
    sqrt.rn.f32 %f9, %f8;
    div.s64 %rd3, %rd1, %rd2;
    st.global.v4.f32 [%rd2], {%f1, %f2, %f3, %f9};
"""


def test_clean_code_passes() -> None:
    assert ptx.violations(CLEAN, double=False, vectors=True) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("fma.rn.f32 %f9, %f1, %f2, %f3;", "fused"),
        ("add.ftz.f32 %f9, %f1, %f2;", "flushes to zero"),
        ("div.approx.f32 %f9, %f1, %f2;", "not correctly rounded"),
        ("div.full.f32 %f9, %f1, %f2;", "not correctly rounded"),
        ("sqrt.approx.f32 %f9, %f1;", "not correctly rounded"),
        ("rsqrt.approx.f32 %f9, %f1;", "not correctly rounded"),
        ("add.f32 %f9, %f7, %f1;", "bare product"),
        ("sub.f32 %f9, %f1, %f7;", "bare product"),
        ("@%p1 add.f32 %f9, %f7, 0f3F800000;", "bare product"),
        ("add.rn.f64 %fd9, %fd1, %fd2;", "float64"),
    ],
)
def test_what_breaks_bits_is_found(line: str, words: str) -> None:
    found = ptx.violations(CLEAN + "    " + line, double=False)
    assert len(found) == 1
    assert words in found[0]


def test_what_a_kernel_means_is_allowed() -> None:
    assert ptx.violations("fma.rn.f32 %f9, %f1, %f2, %f3;", fused=True) == []
    assert ptx.violations("add.rn.f64 %fd9, %fd1, %fd2;") == []
    assert ptx.violations("mul.f32 %f1, %f2, %f3;", vectors=True) == ["no vector load and store"]


def test_occupancy_is_bounded_by_registers_and_by_shared_memory() -> None:
    assert ptx.occupancy(ptx.Resources(32, 0, 0), "sm_80", 256) == 1
    assert ptx.occupancy(ptx.Resources(33, 0, 0), "sm_80", 256) == 48 / 64
    assert ptx.occupancy(ptx.Resources(64, 0, 0), "sm_90", 256) == 32 / 64
    assert ptx.occupancy(ptx.Resources(16, 40 << 10, 0), "sm_80", 256) == 4 * 8 / 64
    assert ptx.occupancy(ptx.Resources(16, 40 << 10, 0), "sm_90", 256) == 5 * 8 / 64


def test_vector_accesses_are_counted() -> None:
    assert ptx.vector_accesses(CLEAN) == (1, 1)
    assert ptx.vector_accesses("ld.global.f32 %f1, [%rd1];") == (0, 0)


def test_accesses_to_global_memory_are_counted() -> None:
    assert ptx.accesses(CLEAN) == (1, 1, 0)
    atomics = "atom.global.cas.b64 %rd1, [%rd2], %rd3, %rd4;\nred.global.add.u32 [%rd1], 1;\nld.shared.f32 %f1, [%rd1];"
    assert ptx.accesses(atomics + "\nld.global.nc.u64 %rd1, [%rd2];\nst.volatile.global.u32 [%rd1], %r1;") == (1, 1, 2)


@pytest.fixture(scope="module")
def chosen() -> list[Any]:
    pytest.importorskip("numba_cuda", reason="the CUDA compiler is an extra")
    ptx.load_kernels()
    from monolith_kernels.cuda.signatures import variants

    return list(variants())


def test_every_kernel_has_types_and_its_own_label(chosen: list[Any]) -> None:
    from monolith_kernels.cuda.launch import KERNELS

    labels = [variant.label for variant in chosen]
    assert len(set(labels)) == len(labels)
    assert {id(kernel) for kernel in KERNELS} == {id(variant.kernel) for variant in chosen}


def test_some_kernels_compile_and_assemble(chosen: list[Any]) -> None:
    wanted = ("optimize._update ieee adagrad", "_index.claim", "_index.find", "_segment.roots_of_squares")
    some = [variant for variant in chosen if variant.label.startswith(wanted)]
    texts, failed = ptx.compile_all(some)
    assert failed == []
    assembler = ptx.find_assembler()
    for variant in some:
        text = texts[variant.label]
        assert ptx.violations_of(variant, text) == []
        used = ptx.assemble(text, "sm_90", assembler)
        assert used.spilled == 0
        assert 0 < used.registers <= 64


def test_what_moves_four_floats_has_a_twin_that_moves_one(chosen: list[Any]) -> None:
    kernels = {variant.kernel.name: variant.kernel.function for variant in chosen}
    vectors = {name for name in kernels if name.endswith(ptx.VECTOR_SUFFIX)}
    assert len(vectors) == 5
    for name in vectors:
        assert signature(kernels[name]) == signature(kernels[name.removesuffix(ptx.VECTOR_SUFFIX)])


def test_rows_move_by_four_floats(chosen: list[Any]) -> None:
    rules = ("ieee adagrad", "avx adam", "ieee sgd")
    some = [
        variant
        for variant in chosen
        if variant.kernel.name.endswith(ptx.VECTOR_SUFFIX) and (not variant.rule or variant.label.endswith(rules))
    ]
    assert len(some) == 4 + len(rules)
    texts, failed = ptx.compile_all(some)
    assert failed == []
    assembler = ptx.find_assembler()
    for variant in some:
        text = texts[variant.label]
        assert ptx.violations_of(variant, text) == []
        loads, stores = ptx.vector_accesses(text)
        assert loads > 0
        assert stores > 0
        assert ptx.assemble(text, "sm_90", assembler).spilled == 0
        scalar = text.replace("ld.global.v4.f32", "ld.global.f32")
        assert "no vector load and store" in ptx.violations_of(variant, scalar)


def test_passes_over_rows_are_counted(chosen: list[Any]) -> None:
    counted = {variant.label: ptx.passes(variant) for variant in chosen}
    assert counted["optimize._update_by_four ieee adagrad"] == 1
    assert counted["optimize._update_by_four ieee group_adagrad"] == 3
    assert counted["_rows.copy_rows"] == 1
    assert counted["_index.claim"] is None


def test_the_profiles_differ_where_they_should(chosen: list[Any]) -> None:
    some = [variant for variant in chosen if variant.label == "_segment.roots_of_squares avx"]
    texts, _ = ptx.compile_all(some)
    (text,) = texts.values()
    assert "fma.rn.f32" in text
    assert any("fused" in words for words in ptx.violations(text))


def test_an_assembler_that_refuses_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"(?i)syntax|parsing"):
        ptx.assemble(".version 8.0\n.target sm_80\nnonsense;", "sm_80", ptx.find_assembler())
