"""Engine and oracle conform to what the suite asks of them; what they lack is refused, not passed."""

from __future__ import annotations

import pytest
from monolith_conformance.backends import make_backend
from monolith_conformance.cases import LEVELS, Case, all_cases
from monolith_conformance.outcome import RunSummary
from monolith_conformance.runner import run_cases

from monolith_ref.errors import ConfigError
from monolith_ref.quirks import Quirks

CONDITIONS = [
    (quirks, profile) for profile in ("ieee", "avx") for quirks in ("default", "original +unbuilt_rules", "clean")
]


def _conforms(name: str, quirks: str, profile: str, cases: list[Case]) -> RunSummary:
    summary = run_cases(make_backend(name), cases, profile=profile, quirks=Quirks.parse(quirks))
    bad = [
        (o.case.id, str(o.mismatch or o.message)) for o in summary.outcomes.values() if o.status in ("failed", "fault")
    ]
    assert bad == []
    assert summary.conforms == list(LEVELS)
    return summary


@pytest.mark.parametrize(("quirks", "profile"), CONDITIONS)
@pytest.mark.parametrize("name", ["engine-cpu", "oracle"])
def test_it_conforms_to_every_level(name: str, quirks: str, profile: str) -> None:
    fixed = [case for case in all_cases().values() if not case.generated]
    assert _conforms(name, quirks, profile, fixed).count("passed") > 700


@pytest.mark.parametrize(("name", "quirks", "profile"), [("engine-cpu", "original +unbuilt_rules", "avx")])
def test_it_conforms_on_generated_examples(name: str, quirks: str, profile: str) -> None:
    generated = [case for case in all_cases().values() if case.generated]
    summary = _conforms(name, quirks, profile, generated)
    assert summary.count("passed") == len(generated)


def test_the_null_backend_passes_nothing() -> None:
    summary = run_cases(make_backend("null"), list(all_cases().values()), quirks=Quirks.parse("default"))
    assert summary.count("passed") == 0
    assert summary.conforms == []


def test_an_unknown_backend_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="engine-cpu"):
        make_backend("engine")
