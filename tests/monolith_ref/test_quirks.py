"""The register of switches, its presets and their text form."""

from __future__ import annotations

import pytest

from monolith_ref.errors import ConfigError
from monolith_ref.quirks import PRESETS, SWITCHES, Quirks, as_quirks


def test_presets_are_groups() -> None:
    rules = {name for name, switch in SWITCHES.items() if switch.group == "rules"}
    plumbing = {name for name, switch in SWITCHES.items() if switch.group == "plumbing"}
    assert PRESETS["default"] == rules
    assert PRESETS["original"] == rules | plumbing
    assert PRESETS["clean"] == frozenset()
    assert len(rules) == 9
    assert {"unbuilt_rules", "filter_signature_hash"} == set(SWITCHES) - rules - plumbing


def test_text_adds_and_takes_away() -> None:
    quirks = Quirks.parse("default -ftrl_l1_sign +multi_lr_insertion_order")
    assert "ftrl_l1_sign" not in quirks
    assert "multi_lr_insertion_order" in quirks
    assert Quirks.parse("clean +merge_collisions").names == ("merge_collisions",)
    assert Quirks.parse("+merge_collisions") == Quirks().plus("merge_collisions")
    assert Quirks.parse("original +unbuilt_rules").minus("unbuilt_rules") == Quirks.parse("original")


@pytest.mark.parametrize(
    "text", ["default", "clean", "original", "clean +merge_collisions", "default -zero_lr_division"]
)
def test_text_is_read_back(text: str) -> None:
    assert str(Quirks.parse(text)) == text
    assert Quirks.parse(str(Quirks.parse(text))) == Quirks.parse(text)


def test_names_are_sorted() -> None:
    assert list(Quirks.parse("original")) == sorted(PRESETS["original"])
    assert as_quirks(None) == Quirks.parse("default")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("orginal", "original"),
        ("default +ftrl_l1_sing", "ftrl_l1_sign"),
        ("default -merge_collision", "merge_collisions"),
        ("default clean", "must come first"),
        ("ftrl_l1_sign", "write '+ftrl_l1_sign'"),
    ],
)
def test_unknown_names_are_errors_with_the_nearest(text: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint.replace("+", r"\+")):
        Quirks.parse(text)


def test_asking_for_an_unknown_switch_is_an_error() -> None:
    with pytest.raises(ConfigError, match="ftrl_l1_sign"):
        "ftrl_l1_sgn" in Quirks()  # noqa: B015
    with pytest.raises(ConfigError):
        Quirks(frozenset(["nothing"]))
    with pytest.raises(ConfigError):
        Quirks.parse(3)  # type: ignore[arg-type]
