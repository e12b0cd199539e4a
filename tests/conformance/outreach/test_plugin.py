"""The pytest plugin in three lines: every case as a test of its own, and references beside one's own tests."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

PLUGIN = ("-p", "no:monolith_ref", "-p", "monolith_conformance.pytest_plugin", "-p", "no:cacheprovider")
CONFORMS = "def test_conforms(conformance_case):\n    conformance_case()\n"


def test_every_case_is_a_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(CONFORMS)
    result = pytester.runpytest_subprocess(
        *PLUGIN, "--conform-backend", "oracle", "--conform-select", "core/optimizer.sgd/", "-v"
    )
    result.assert_outcomes(passed=len([line for line in result.outlines if "PASSED" in line]))
    assert "test_conforms[core/optimizer.sgd/" in result.stdout.str()
    assert result.ret == 0


def test_what_a_backend_lacks_is_skipped(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(CONFORMS)
    result = pytester.runpytest_subprocess(
        *PLUGIN, "--conform-backend", "null", "--conform-select", "core/optimizer.sgd/sgd-p0-d1", "-rs"
    )
    result.stdout.fnmatch_lines(["*unsupported: not among the backend's capabilities*"])


def test_a_failure_says_where_it_lies(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        CONFORMS,
        wrong="""
        from monolith_conformance.backends.oracle import OracleBackend

        class Wrong(OracleBackend):
            def op(self, message):
                result = super().op(message)
                if message.op == "lookup":
                    result.ints[0] += 1
                return result
        """,
    )
    result = pytester.runpytest_subprocess(
        *PLUGIN,
        "--conform-backend",
        "wrong:Wrong",
        "--conform-select",
        "core/optimizer.sgd/sgd-p0-d1",
        "-p",
        "no:xdist",
    )
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*first     request *, ints[[]0]: 2, expected 1*"])


def test_without_a_backend_the_tests_say_so(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(CONFORMS)
    result = pytester.runpytest_subprocess(*PLUGIN, "--conform-select", "core/optimizer.sgd/sgd-p0-d1", "-rs")
    result.stdout.fnmatch_lines(["*no --conform-backend was given*"])


def test_a_reference_in_three_lines(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from monolith_conformance import assert_parity

        def test_mine(monolith_reference):
            reference = monolith_reference(1)
            reference.optimize([3], [[1.0]], rate=0.5)
            assert_parity({3: [-0.5]}, reference)
        """
    )
    pytester.runpytest_subprocess(*PLUGIN).assert_outcomes(passed=1)
