"""Every wrong variant of the oracle is failed by the cases that name it: the suite finds what it says it finds."""

from __future__ import annotations

import json

import pytest
from monolith_conformance.backends import make_backend
from monolith_conformance.cases import all_cases
from monolith_conformance.cli import conform_app
from monolith_conformance.deviations import DEVIATIONS
from monolith_conformance.mutants import AREAS, Mutant, catalogue
from monolith_conformance.mutants.mutant import applied, edit
from monolith_conformance.mutants.verdict import judge_mutant
from monolith_conformance.runner import run_cases, select
from typer.testing import CliRunner

from monolith_ref.errors import ConfigError, UnknownNameError
from monolith_ref.quirks import Quirks

MUTANTS = catalogue()
CASES = list(all_cases().values())
FULL = {case.id for case in CASES if case.full}
LONG = {name for name, mutant in MUTANTS.items() if FULL & set(mutant.killed_by)}
pytestmark = pytest.mark.filterwarnings("ignore:slot 40000")


@pytest.mark.parametrize("area", AREAS)
def test_no_mutant_of_an_area_survives(area: str) -> None:
    module = __import__(f"monolith_conformance.mutants.{area}", fromlist=["MUTANTS"])
    verdicts = [judge_mutant(MUTANTS[m.name], CASES) for m in module.MUTANTS if m.name not in LONG]
    assert len(verdicts) >= 5
    assert [(v.mutant.name, v.killer, v.broken) for v in verdicts if not v.as_expected] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(LONG))
def test_mutants_that_only_very_large_tables_show(name: str) -> None:
    assert judge_mutant(MUTANTS[name], CASES).killed


def test_there_are_enough_of_them_and_survivors_are_few() -> None:
    assert len(MUTANTS) >= 120
    survivors = [mutant for mutant in MUTANTS.values() if mutant.survives]
    assert len(survivors) <= 3
    assert all(len(mutant.survives) > 40 for mutant in survivors)


def test_every_deviation_of_the_port_has_a_mutant_and_its_cases_exist() -> None:
    assert {mutant.deviation for mutant in MUTANTS.values()} - {None} == set(DEVIATIONS) == set(range(1, 33))
    ids = {case.id for case in CASES}
    assert [case for deviation in DEVIATIONS.values() for case in deviation.cases if case not in ids] == []


def test_only_the_cases_that_name_a_mutant_are_run_for_it() -> None:
    mutant = MUTANTS["adagrad-multiplies-first"]
    assert mutant.killed_by == DEVIATIONS[1].cases
    verdict = judge_mutant(mutant, CASES)
    assert verdict.cases <= len(select(CASES, mutant.killed_by))
    assert "1 ulp" in verdict.difference


def test_a_mutant_that_changes_nothing_is_said_to_survive() -> None:
    same = edit("oracle.rules.sgd:update", ("return madd(", "return (madd)("))
    verdict = judge_mutant(Mutant("same", "the same", (same,), ("core/optimizer.sgd/",)), CASES)
    assert (verdict.killed, verdict.as_expected, verdict.broken) == (False, False, "")


def test_a_mutant_that_falls_over_counts_as_broken_not_as_killed() -> None:
    wrong = edit("oracle.rules.sgd:update", ("F(-lr)", "undefined_name"))
    verdict = judge_mutant(Mutant("broken", "nonsense", (wrong,), ("core/optimizer.sgd/",)), CASES)
    assert not verdict.killed
    assert "undefined_name" in verdict.broken


def test_an_entry_that_fits_the_oracle_no_more_is_refused() -> None:
    for changes in (("no such text", "x"), ("profile", "x")):
        with pytest.raises(ConfigError, match="times"), applied([edit("oracle.rules.sgd:update", changes)]):
            pass
    with pytest.raises(ConfigError, match="which there is not"), applied([edit("oracle.rules.sgd:gone", ("a", "b"))]):
        pass


def test_the_oracle_is_itself_again_after_every_answer() -> None:
    """A mutant is wrong only while it answers: what the cases expect comes from the unchanged oracle."""
    cases = select(CASES, ["core/optimizer.adagrad/", "table/trace/edge"])
    wrong = run_cases(make_backend("mutant:adagrad-row-wise"), cases, quirks=Quirks.parse("default"))
    right = run_cases(make_backend("oracle"), cases, quirks=Quirks.parse("default"))
    assert wrong.count("failed") > 10
    assert right.count("failed") == right.count("fault") == 0


def test_an_unknown_mutant_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="no mutant 'nobody'"):
        make_backend("mutant:nobody")


def test_the_table_is_printed_and_is_json_on_request() -> None:
    shown = CliRunner().invoke(conform_app, ["mutants", "sgd-", "sliding-window-too-long"], standalone_mode=False)
    assert shown.return_value == 0
    assert "killed by core/optimizer.sgd/" in shown.output
    assert "survives: the split" in shown.output
    assert "4 killed, 0 alive, 0 broken, 1 listed survivors" in shown.output
    plain = json.loads(CliRunner().invoke(conform_app, ["mutants", "sgd-", "--json"], standalone_mode=False).output)
    assert [m["killed"] for m in plain["mutants"]] == [True] * 4
    listed = CliRunner().invoke(conform_app, ["mutants", "--list"], standalone_mode=False).output
    assert len(listed.splitlines()) == len(MUTANTS)


def test_a_survivor_that_is_not_listed_fails_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    import monolith_conformance.mutants as package

    alive = Mutant("alive", "nothing wrong", (), ("core/optimizer.sgd/",))
    monkeypatch.setattr(package, "catalogue", lambda: {"alive": alive})
    result = CliRunner().invoke(conform_app, ["mutants"], standalone_mode=False)
    assert result.return_value == 1
    assert "SURVIVES" in result.output
