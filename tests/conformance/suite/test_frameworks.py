"""torch and TensorFlow as backends: what is shipped as known of them is what they do.

Runs where one of them is installed, in the version that its file of known failures was measured on.
"""

from __future__ import annotations

import importlib.util

import pytest
from monolith_conformance.api import run_conformance
from monolith_conformance.backend import Backend
from monolith_conformance.backends import make_backend
from monolith_conformance.known import KnownFailure, apply_known, known_path, measured_on, read_known

FRAMEWORKS = ["torch", "tensorflow"]
PART = ["core/optimizer.adagrad/", "core/optimizer.sgd/", "core/combiner.", "core/compressor/comp", "table/"]


def _backend(name: str) -> Backend:
    """The backend in the version of its file; else the test is skipped and says why."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed (pip install 'monolith-ref[{name}]')")
    backend = make_backend(name)
    here, measured = f"{name} {getattr(backend, 'version', '')}", measured_on(known_path("shipped", name))
    if not measured.startswith(f"{here},"):
        pytest.skip(f"known failures were measured on {measured}; this is {here}")
    return backend


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_every_failure_is_known_and_every_known_one_fails(name: str) -> None:
    summary = run_conformance(_backend(name), select=PART, known="shipped")
    wrong = {case: (o.status, o.message) for case, o in summary.outcomes.items() if o.status in ("failed", "fault")}
    assert not wrong
    assert not summary.failed
    assert summary.count("known") > 20
    assert summary.count("passed") > 20


@pytest.mark.slow
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_whole_suite_is_as_known(name: str) -> None:
    summary = run_conformance(_backend(name), known="shipped")
    assert not summary.failed, summary.line
    assert summary.count("known") > 100


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_known_failure_that_passes_is_reported(name: str) -> None:
    case = "core/optimizer.sgd/sgd-p0-d1-0"
    summary = run_conformance(_backend(name), select=[case])
    apply_known(summary, [KnownFailure(case, False, None, "it is said to be fused")], [case])
    assert summary.failed
    assert "passes" in summary.outcomes[case].message


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_shipped_file_names_cases_once_and_states_a_reason_for_each(name: str) -> None:
    from monolith_conformance.cases import all_cases

    lines = read_known(known_path("shipped", name))
    ids = [line.id for line in lines]
    assert len(set(ids)) == len(ids) > 100
    assert set(ids) <= all_cases().keys()
    assert all(line.group and "not yet stated" not in line.reason for line in lines)
    assert measured_on(known_path("shipped", name)).startswith(f"{name} ")
