"""feature_list.conf."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monolith_ref.errors import ArgumentError, ConfigError, UnknownNameError
from monolith_ref.feature_list import Feature, FeatureList, parse_feature_list, slot_feature_name

TEXT = """
# a comment
column_name: user, item
cache_column: uid
feed_name=clicks shared=True feature_id=7
cache_name=c1 cache_key_class=K capacity=10 timeout=5
feature_name=fc_user depend=uid,cid method=Direct slot=3 args="a",b; need_raw=yes feature_version=2
feature_name=f_item-brand slot=5 shared=no input_optional=true,yes,
feature_name=fc_a-fc_b slot=5 unknown=x
"""


def load(tmp_path: Path, text: str, **options: object) -> FeatureList:
    path = tmp_path / "feature_list.conf"
    path.write_text(text)
    return parse_feature_list(path, **options)  # type: ignore[arg-type]


def test_lines_of_every_kind(tmp_path: Path) -> None:
    features = load(tmp_path, TEXT)
    assert features.column_names == {"user", "item"}
    assert set(features.caches) == {"cache_column", "c1"}
    assert features.caches["c1"].capacity == 10
    assert features.feeds["clicks"].shared is True
    user = features["fc_user"]
    assert (user.depend, user.args, user.need_raw, user.slot) == (("uid", "cid"), ("a", "b"), True, 3)
    assert features["f_item-brand"].input_optional == (True, False)
    assert features["f_item-brand"].shared is False


def test_names_and_slots_are_found_in_their_order(tmp_path: Path) -> None:
    features = load(tmp_path, TEXT)
    assert features["user"] is features["fc_user"]
    assert features["item-brand"] is features["f_item-brand"]
    assert features["a-b"] is features["fc_a-fc_b"]
    assert features[5] is features["f_item-brand"]
    assert "user" in features
    assert "a-b" not in features
    assert 3 in features
    assert 4 not in features
    for missing in ("nobody", 4):
        with pytest.raises(UnknownNameError, match=f"there is no feature {missing}"):
            features[missing]  # type: ignore[index]


def test_short_names(tmp_path: Path) -> None:
    assert Feature("f_user-item").short_name() == "user-item"
    assert Feature("f_user-item").short_name(lenient=True) == "user-em"
    assert Feature("fc_User-fc_Item").short_name() == "user-item"
    assert set(load(tmp_path, TEXT, use_old_name=False).features) == {"user", "item-brand", "a-b"}


def test_values_may_hold_blanks_and_repeated_names_replace(tmp_path: Path) -> None:
    features = load(tmp_path, "feature_name=a b slot=1\nfeature_name=a b slot=2\n")
    assert features["a b"].slot == 2
    assert len(features) == 1


@pytest.mark.parametrize(
    "line",
    ["feature_name=a slot=x", "a=b=c", "feature_name=a slot = 7", "just words", "feed feed_name=x", "slot=3"],
)
def test_bad_lines_name_file_and_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match=r"feature_list\.conf:2"):
        load(tmp_path, f"# first\n{line}\n")


def test_the_lenient_reader_takes_what_the_original_takes(tmp_path: Path) -> None:
    features = load(tmp_path, "feature_name=a slot = 7\njust words\nfeed feed_name=x\n", quirks="original")
    assert set(features.features) == {"a slot", None}
    assert set(features.feeds) == {None}
    for line in ("feature_name=a slot=x", "a=b=c"):
        with pytest.raises(ConfigError):
            load(tmp_path, line, quirks="original")


def test_features_of_fids(tmp_path: Path) -> None:
    features = load(tmp_path, TEXT)
    assert features.names_of_fids([3 << 48, (5 << 54) | 9]) == ["fc_user", "f_item-brand", "fc_a-fc_b"]
    high = load(tmp_path, "feature_name=z slot=600\n")
    assert high.names_of_fids([np.int64(-(1 << 63) + (88 << 54))]) == ["z"]
    with pytest.raises(ArgumentError, match="Cannot find feature name for fid: 12"):
        features.names_of_fids([12])


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="feature list"):
        parse_feature_list(tmp_path / "nothing.conf")
    assert slot_feature_name(3) == "fc_slot_3"
    assert slot_feature_name(3, tob_env=False) == "slot_3"
