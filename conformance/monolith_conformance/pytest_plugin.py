"""The suite beside one's own tests: fixtures for parity, and every case as a test of one's own implementation.

Loaded by pytest itself (entry point ``monolith_ref``); it imports nothing of the suite until a test asks for it.

    def test_my_embedding(monolith_reference):
        reference = monolith_reference(4, "adagrad", initial_accumulator_value=0.1)
        ...
        assert_parity(mine, reference)

    def test_conforms(conformance_case):        # pytest --conform-backend 'testee:./my-port'
        conformance_case()
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

__all__: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("monolith-ref", "conformance to the Monolith reference")
    group.addoption("--conform-backend", metavar="B", help="oracle, engine-cpu, torch, testee:COMMAND, module:class")
    group.addoption("--conform-select", metavar="PREFIX", action="append", default=[], help="beginnings of case ids")
    group.addoption("--conform-profile", default="ieee", help="rounding contract: ieee or avx")
    group.addoption("--conform-quirks", default="default", help="preset of switches")
    group.addoption(
        "--conform-known",
        metavar="FILE",
        help="file of known failures (shipped: the suite's own), which become expected ones",
    )
    group.addoption("--conform-encoding", default="protobuf", help="of a testee: protobuf or json")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes ``conformance_case`` is run once for every case."""
    if "conformance_case" not in metafunc.fixturenames:
        return
    from monolith_conformance.cases import all_cases
    from monolith_conformance.runner import select

    chosen = select(all_cases().values(), metafunc.config.getoption("--conform-select"))
    ids = [case.id for case in chosen if not case.full]
    metafunc.parametrize("conformance_case", ids, ids=ids, indirect=True, scope="session")


@pytest.fixture
def monolith_reference() -> Callable[..., Any]:
    """Makes reference tables; see :class:`monolith_conformance.Reference`."""
    from monolith_conformance.parity import Reference

    return Reference


@pytest.fixture(scope="session")
def conformance_backend(request: pytest.FixtureRequest) -> Any:
    """The implementation under test, named by ``--conform-backend``; a project may override this with its own."""
    from monolith_conformance.backends import make_backend

    name = request.config.getoption("--conform-backend")
    if not name:
        pytest.skip("no --conform-backend was given")
    return make_backend(name, encoding=request.config.getoption("--conform-encoding"))


@pytest.fixture(scope="session")
def _conformance_judge(request: pytest.FixtureRequest, conformance_backend: Any) -> Iterator[Any]:
    from monolith_conformance.api import Judge
    from monolith_conformance.known import known_path, read_known

    option = request.config.getoption
    known = option("--conform-known")
    judge = Judge(
        conformance_backend,
        option("--conform-profile"),
        option("--conform-quirks"),
        read_known(known_path(known, conformance_backend.name)) if known else [],
    )
    yield judge
    judge.close()


@pytest.fixture
def conformance_case(request: pytest.FixtureRequest, _conformance_judge: Any) -> Callable[[], None]:
    """One case, to be called: passes, fails with the first difference, or skips where the backend cannot do it."""

    def run() -> None:
        outcome = _conformance_judge(request.param)
        if outcome.status in ("unsupported", "not_asked"):
            pytest.skip(f"{outcome.status.replace('_', ' ')}: {outcome.message}")
        if outcome.status == "known":
            pytest.xfail(outcome.message)
        if outcome.status != "passed":
            pytest.fail(_conformance_judge.explain(outcome), pytrace=False)

    return run
