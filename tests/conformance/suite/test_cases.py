"""The cases as a whole: deviations and sections have theirs, budgets and refusals are what they say."""

from __future__ import annotations

import re

import pytest
from monolith_conformance.backends import make_backend
from monolith_conformance.cases import LEVELS, all_cases
from monolith_conformance.cases.checkpoint_reject import FILTERS, MULTI, SINGLE
from monolith_conformance.coverage import coverage, holes
from monolith_conformance.deviations import DEVIATIONS
from monolith_conformance.runner import run_cases

from monolith_ref.quirks import Quirks
from tests.support.shared import shared_path

QUIRKS = Quirks.parse("default")


def test_every_deviation_has_fixed_cases() -> None:
    assert sorted(DEVIATIONS) == list(range(1, 33))
    cases = all_cases()
    for number, deviation in DEVIATIONS.items():
        for case_id in deviation.cases:
            assert case_id in cases, number
            assert not cases[case_id].generated, number


def test_every_section_has_cases_or_a_reason() -> None:
    cases = all_cases()
    assert holes(cases, [case.section for case in cases.values()]) == []


def test_holes_are_found() -> None:
    assert "a case names tables 99, which is no section" in holes(all_cases(), ["tables 1, 99"])
    assert any(hole.startswith("optimizers 1: no case") for hole in holes([], []))


def test_no_section_of_the_rules_is_left_out() -> None:
    listed = set(coverage())
    for path in sorted(shared_path("spec").glob("*.md")):
        numbers = re.findall(r"^#{2,3} (\d+(?:\.\d+)?)\.? ", path.read_text(), re.MULTILINE)
        missing = {f"{path.stem} {number}" for number in numbers} - listed
        assert not missing, missing


def test_every_level_has_required_and_generated_cases() -> None:
    for level in LEVELS:
        of_level = [case for case in all_cases().values() if case.level == level]
        assert any(case.required for case in of_level), level
        assert any(case.generated for case in of_level), level


def test_a_generated_case_says_so_in_its_id() -> None:
    for case in all_cases().values():
        assert case.generated == ("/generated" in case.id), case.id


def test_what_takes_long_is_left_to_the_long_budget() -> None:
    long = [case for case in all_cases().values() if case.full]
    assert {case.id for case in long} == {"table/growth/two-to-the-twenty-and-one", "table/batch/million-and-one"}
    summary = run_cases(make_backend("oracle"), long, quirks=QUIRKS)
    assert summary.count("not_asked") == len(long)


@pytest.mark.parametrize("kind", ["single", "multi", "filter"])
def test_every_damage_has_a_case(kind: str) -> None:
    names = {"single": SINGLE, "multi": MULTI, "filter": FILTERS}[kind]
    assert {f"checkpoint/reject-{kind}/{name}" for name in names} <= set(all_cases())
    assert len(names) >= 10
