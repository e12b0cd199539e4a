"""How slices become segments and features become tables: merging, names, restore names. Rule: entry 6."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monolith_protos.hash_table_pb2 import EntryConfig

from monolith_ref.entry import HashTableConfigInstance
from monolith_ref.errors import ConfigError
from monolith_ref.quirks import Quirks, as_quirks

__all__ = ["MergedTable", "default_learning_rate", "merge_segments", "merge_tables", "table_name"]

_OLD_SLOT = re.compile(r"^fc_slot_[0-9]*$")


def _joined_md5(names: Sequence[str]) -> str:
    return hashlib.md5(",".join(names).encode(), usedforsecurity=False).hexdigest()


def table_name(features: Sequence[str]) -> tuple[str, list[str]]:
    """Name of the table of these features and its further restore names.

    Features are sorted by code points, joined by commas and hashed. Where ``fc_slot_N`` written as ``slot_N`` gives
    another hash, that is the one further name.
    """
    names = sorted(features)
    name = _joined_md5(names)
    other = _joined_md5([n[len("fc_") :] if _OLD_SLOT.match(n) else n for n in names])
    return name, [] if other == name else [other]


@dataclass(frozen=True)
class MergedTable:
    """Features that share one table: ``name``, the ``features`` in sorted order, and the table's configuration."""

    name: str
    features: tuple[str, ...]
    config: HashTableConfigInstance


def merge_tables(
    configs: Mapping[str, HashTableConfigInstance], *, quirks: str | Quirks | None = None
) -> list[MergedTable]:
    """Group features whose configuration identity (``str``) is equal; tables come in order of their first feature.

    The merged table takes the first feature's message and rates, and the extra restore names of all its features in
    feature order (``merged_restore_names_first_only``: of the first). Nothing given is changed. ConfigError for no
    feature at all.
    """
    if not configs:
        raise ConfigError("merging needs at least one feature")
    groups: dict[str, list[str]] = {}
    for feature in sorted(configs):
        groups.setdefault(str(configs[feature]), []).append(feature)
    first_only = "merged_restore_names_first_only" in as_quirks(quirks)
    merged = []
    for features in groups.values():
        name, others = table_name(features)
        first = configs[features[0]]
        extra: list[str] = []
        for feature in features[:1] if first_only else features:
            extra += [n for n in configs[feature].extra_restore_names if n not in extra]
        extra += [n for n in others if n not in extra]
        instance = HashTableConfigInstance(first.table_config, first.learning_rate_fns, extra)
        merged.append(MergedTable(name, tuple(features), instance))
    return merged


def merge_segments(
    segments: Sequence[EntryConfig.Segment], rates: Sequence[Any]
) -> tuple[list[EntryConfig.Segment], list[Any], list[int]]:
    """Join neighbours whose messages (apart from dim_size) and ``str(rate)`` are equal.

    Returns the new segments (copies, dims summed), one rate for each, and for every given segment the number of the
    segment that it became part of.
    """
    merged: list[EntryConfig.Segment] = []
    merged_rates: list[Any] = []
    owner: list[int] = []
    last_key: tuple[bytes, str] | None = None
    for segment, rate in zip(segments, rates, strict=True):
        bare = EntryConfig.Segment()
        bare.CopyFrom(segment)
        bare.ClearField("dim_size")
        key = (bare.SerializeToString(), str(rate))
        if key == last_key:
            merged[-1].dim_size += segment.dim_size
        else:
            copy = EntryConfig.Segment()
            copy.CopyFrom(segment)
            merged.append(copy)
            merged_rates.append(rate)
            last_key = key
        owner.append(len(merged) - 1)
    return merged, merged_rates, owner


def default_learning_rate(
    segment: EntryConfig.Segment, learning_rate_fn: Any = None, *, quirks: str | Quirks | None = None
) -> Any:
    """The rate that a slice gets: the given one, else a warm-up, else the message's. Rule: entry 5.1.

    Only None counts as not given (``falsy_learning_rate``: 0 does too). A message with ``warmup_steps > 0`` gives a
    linear schedule from 0 to its learning rate, which is the float32 of the message in a Python float. ConfigError for
    rules without a learning rate, except moving_average, which needs none and gets 0.0.
    """
    from monolith_ref.learning_rate import PolynomialDecay

    given = learning_rate_fn is not None
    if given and not callable(learning_rate_fn) and "falsy_learning_rate" in as_quirks(quirks):
        given = bool(learning_rate_fn)
    if given:
        return learning_rate_fn
    rule = segment.opt_config.WhichOneof("type")
    if rule is None:
        raise ConfigError("a segment without optimizer has no learning rate")
    message = getattr(segment.opt_config, rule)
    if rule == "moving_average":
        return 0.0
    if not hasattr(message, "learning_rate"):
        raise ConfigError(f"{rule} has no learning rate of its own; give one")
    rate = float(message.learning_rate)
    warmup = getattr(message, "warmup_steps", 0)
    if warmup > 0:
        return PolynomialDecay(0.0, decay_steps=warmup, end_learning_rate=rate)
    return rate
