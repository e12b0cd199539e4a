"""feature_list.conf: features, feeds and caches by name, one a line; and slots to names. Rule: entry 4.

A line is ``key=value`` pairs. It is cut at every ``=``; a value runs to the last blank before the next ``=`` and so may
hold blanks; trailing commas, then semicolons, are dropped; unknown keys are ignored; a repeated name replaces. Lines
that the original misreads (a blank before ``=``, text before the first key, no ``=`` at all) are errors that name file
and line, unless ``lenient_feature_list``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from monolith_ref.errors import ArgumentError, ConfigError, UnknownNameError
from monolith_ref.fid import slot_of_v1, to_unsigned
from monolith_ref.quirks import Quirks, as_quirks

__all__ = ["Cache", "Feature", "FeatureList", "Feed", "parse_feature_list", "slot_feature_name"]

_TRUE = frozenset(["true", "yes", "t", "y", "1"])
_INTS = frozenset(["slot", "feature_id", "feature_version", "capacity", "timeout"])
_BOOLS = frozenset(["shared", "need_raw"])
_LISTS = frozenset(["depend", "args", "cache_keys", "feature_group"])


@dataclass(frozen=True)
class Feed:
    """A line that begins with ``feed``."""

    feed_name: str | None = None
    shared: bool | None = None
    feature_id: int | None = None


@dataclass(frozen=True)
class Cache:
    """A line that begins with ``cache``."""

    cache_column: str | None = None
    cache_name: str | None = None
    capacity: int | None = None
    timeout: int | None = None
    cache_type: str | None = None
    cache_key_class: str | None = None

    @property
    def name(self) -> str:
        """cache_name, else cache_key_class, else ``cache_column``."""
        return self.cache_name or self.cache_key_class or "cache_column"


@dataclass(frozen=True)
class Feature:
    """Any other line."""

    feature_name: str | None = None
    depend: tuple[str, ...] | None = None
    method: str | None = None
    slot: int | None = None
    args: tuple[str, ...] | None = None
    feature_version: int | None = None
    shared: bool | None = None
    cache_keys: tuple[str, ...] | None = None
    need_raw: bool | None = None
    feature_id: int | None = None
    input_optional: tuple[bool, ...] | None = None
    feature_group: tuple[str, ...] | None = None

    def short_name(self, lenient: bool = False) -> str:
        """The name in lower case without ``fc_`` or ``f_`` before its ``-``-terms.

        ``lenient``: where the whole name begins with ``f_``, every term without ``fc_`` loses two characters.
        """
        whole = self.feature_name or ""
        terms = []
        for term in whole.split("-"):
            if term.startswith("fc_"):
                term = term[3:]
            elif whole.startswith("f_") if lenient else term.startswith("f_"):
                term = term[2:]
            terms.append(term)
        return "-".join(terms).lower()


Kind = TypeVar("Kind", Feed, Cache, Feature)


def _pairs(line: str, where: str, lenient: bool) -> dict[str, str]:
    parts = line.split("=")
    if len(parts) == 1 and not lenient:
        raise ConfigError(f"{where}: no key=value in {line!r}")
    keys, values = [parts[0]], []
    for middle in parts[1:-1]:
        value, blank, key = middle.rpartition(" ")
        if not blank:
            raise ConfigError(f"{where}: {middle!r} is both a value and a key, and no blank parts them")
        values.append(value)
        keys.append(key)
    values += parts[-1:] if len(parts) > 1 else []
    if not lenient:
        for key in keys:
            if not key or key != key.strip() or " " in key:
                raise ConfigError(f"{where}: {key!r} is no key (a key stands right before its =)")
    found = {}
    for key, value in zip(keys, values, strict=False):
        found[key] = value.strip(" ").rstrip(",").rstrip(";")
    return found


def _value(key: str, text: str, where: str) -> Any:
    if key in _INTS:
        try:
            return int(text, 10)
        except ValueError:
            raise ConfigError(f"{where}: {key} must be an integer, got {text!r}") from None
    if key in _BOOLS:
        return text.lower() in _TRUE
    if key in _LISTS or key == "input_optional":
        items = [item.strip().strip("\"'") for item in text.split(",")]
        return tuple(item.lower() == "true" for item in items) if key == "input_optional" else tuple(items)
    return text


def _build(kind: type[Kind], pairs: Mapping[str, str], where: str) -> Kind:
    known = {field.name for field in fields(kind)}
    return kind(**{key: _value(key, text, where) for key, text in pairs.items() if key in known})


class FeatureList:
    """Features, feeds, caches and column names of a file.

    ``list[slot]`` is the first feature of a slot. ``list[name]`` looks for the name as it is, with ``f_``, with
    ``fc_``, then, where it holds ``-``, with ``fc_`` and with ``f_`` before every term. UnknownNameError for none.

    Attributes
    ----------
    features : dict of name to Feature
    feeds : dict of name to Feed
    caches : dict of name to Cache
    column_names : set of str
    """

    def __init__(self, quirks: str | Quirks | None = None, use_old_name: bool = True) -> None:
        self._lenient = "lenient_feature_list" in as_quirks(quirks)
        self._old = use_old_name
        self.features: dict[str | None, Feature] = {}
        self.feeds: dict[str | None, Feed] = {}
        self.caches: dict[str, Cache] = {}
        self.column_names: set[str] = set()

    def add_line(self, line: str, where: str = "line") -> None:
        """Read one line; blank ones and those that begin with ``#`` are nothing."""
        text = line.strip()
        if not text or text.startswith("#"):
            return
        if text.startswith("column_name:"):
            names = (name.strip() for name in text[len("column_name:") :].split(","))
            self.column_names |= {name for name in names if name}
        elif text.startswith("cache_column:"):
            cache = Cache(cache_column=text[len("cache_column:") :].strip())
            self.caches[cache.name] = cache
        elif text.startswith("feed"):
            feed = _build(Feed, _pairs(text, where, self._lenient), where)
            self.feeds[feed.feed_name] = feed
        elif text.startswith("cache"):
            cache = _build(Cache, _pairs(text, where, self._lenient), where)
            self.caches[cache.name] = cache
        else:
            feature = _build(Feature, _pairs(text, where, self._lenient), where)
            if feature.feature_name is None and not self._lenient:
                raise ConfigError(f"{where}: no feature_name in {text!r}")
            key = feature.feature_name if self._old else feature.short_name(self._lenient)
            self.features[key] = feature

    def __iter__(self) -> Iterator[Feature]:
        return iter(self.features.values())

    def __len__(self) -> int:
        return len(self.features)

    def _of_slot(self, slot: int) -> Feature | None:
        return next((feature for feature in self if feature.slot == slot), None)

    def __getitem__(self, item: int | str) -> Feature:
        if isinstance(item, int):
            found = self._of_slot(item)
            if found is not None:
                return found
        else:
            names = [item, f"f_{item}", f"fc_{item}"]
            if "-" in item:
                names += ["-".join(f"{start}{term}" for term in item.split("-")) for start in ("fc_", "f_")]
            for name in names:
                if name in self.features:
                    return self.features[name]
        raise UnknownNameError(f"there is no feature {item}")

    def __contains__(self, item: object) -> bool:
        if isinstance(item, int):
            return self._of_slot(item) is not None
        return isinstance(item, str) and any(name in self.features for name in (item, f"f_{item}", f"fc_{item}"))

    def names_of_fids(self, fids: Iterable[int]) -> list[str]:
        """Names of the features that ids belong to: by the v1 slot for versions None and 1, by bits 48..63 for 2.

        Every id is taken as its 64 bits. ArgumentError for an id that no feature has.
        """
        names = []
        for fid in fids:
            raw = to_unsigned(int(np.int64(fid)) if isinstance(fid, np.integer) else fid)
            slots = {1: slot_of_v1(raw), 2: raw >> 48}
            matching = [f.feature_name for f in self if f.slot == slots[2 if f.feature_version == 2 else 1]]
            if not matching:
                raise ArgumentError(f"Cannot find feature name for fid: {fid}")
            names += [name for name in matching if name is not None]
        return names


def parse_feature_list(
    path: str | Path, *, quirks: str | Quirks | None = None, use_old_name: bool = True
) -> FeatureList:
    """The features of a file. ConfigError, with file and line, for what cannot be read."""
    features = FeatureList(quirks, use_old_name)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"feature list {path}: {error}") from None
    for number, line in enumerate(text.splitlines(), start=1):
        features.add_line(line, f"{path}:{number}")
    return features


def slot_feature_name(slot: int, tob_env: bool = True) -> str:
    """``fc_slot_<n>``, or ``slot_<n>`` outside of ``tob_env`` (models turn it on)."""
    return f"fc_slot_{slot}" if tob_env else f"slot_{slot}"
