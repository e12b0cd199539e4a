"""The register of switches: every named defect of the original, its group, its page, and the presets.

What happens to a row's numbers follows the original by default ("rules"); everything around it is sound
("plumbing"). A set of switches is written as a preset with names added and taken away::

    Quirks.parse("default -ftrl_l1_sign +multi_lr_insertion_order")

The names in force are part of every configuration digest, checkpoint manifest and report. Rule: quirks.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from monolith_ref.errors import ConfigError

__all__ = ["PRESETS", "SWITCHES", "Quirks", "Switch", "as_quirks"]

Group = Literal["rules", "plumbing", "extension"]


@dataclass(frozen=True)
class Switch:
    """One switch: ``name``, ``group`` (rules, plumbing or extension), the ``page`` that defines it, and one line."""

    name: str
    group: Group
    page: str
    summary: str


_REGISTER: tuple[tuple[Group, str, str, str], ...] = (
    ("rules", "optimizers", "ftrl_l1_sign", "ftrl enlarges positive weights by l1 and never shrinks negative ones"),
    ("rules", "optimizers", "group_adagrad_zero_row_nan", "a zero row with a zero gradient becomes NaN at l2 = 0"),
    ("rules", "optimizers", "batch_softmax_any_dim", "batch_softmax accepts dims above one and updates element 0"),
    ("rules", "optimizers", "decorator_drops_global_step", "decorated rules see global step 0"),
    ("rules", "optimizers", "sr_rounds_rest_of_row", "stochastic rounding reaches to the end of the row"),
    ("rules", "optimizers", "sr_stuck_generator", "the rounding generator starts stuck (z = 0) and rounds up"),
    ("rules", "optimizers", "fixed_r8_int_overflow", "huge values quantise to the most negative code"),
    ("rules", "entry 5.2", "zero_lr_division", "ftrl and group_adagrad divide by a rate of zero"),
    ("rules", "filters", "filter_zero_count", "adding a count of 0 still grows the number of elements"),
    ("plumbing", "optimizers", "adam_restore_powers", "restore writes beta2_power into beta1_power"),
    ("plumbing", "tables", "flush_denormals", "arithmetic flushes subnormal numbers to zero"),
    ("plumbing", "tables", "wrap_timestamps", "times are taken modulo 2^32 instead of refused"),
    ("plumbing", "tables", "table_max_ts_int32", "a table's maximum time is computed in int32"),
    ("plumbing", "tables", "multi_ignore_unknown_slots", "unknown table names are ignored"),
    ("plumbing", "tables", "multi_assign_ignores_req_time", "assign of a multi table stores time 0"),
    ("plumbing", "tables", "multi_restore_keeps_rows", "restore of a multi table does not clear first"),
    ("plumbing", "tables", "multi_lr_insertion_order", "rates are taken in insertion order of the dictionary"),
    ("plumbing", "tables", "multi_expiry_first_table", "saving uses the first table's expiry for all"),
    ("plumbing", "tables", "multi_lookup_batched_first_request", "batched lookups all read the first request"),
    ("plumbing", "tables", "reinit_status_shard_order", "sharded reinitialize gives statuses by shard"),
    ("plumbing", "tables", "merged_restore_names_first_only", "a merged table keeps the first slot's extra names"),
    ("plumbing", "tables", "extra_learning_rates", "surplus learning rates are ignored"),
    ("plumbing", "filters", "filter_threshold_overflow", "thresholds above 15 never admit, counts wrap"),
    ("plumbing", "filters", "filter_split_num_small", "a split number below 5 is reported uncorrected"),
    ("plumbing", "filters", "filter_equal_probability_ignored", "filter_equal_probability is not passed on"),
    ("plumbing", "filters", "multi_assign_add_filters_existing", "assign_add of a multi table filters known ids"),
    ("plumbing", "entry", "auto_slot_numbers", "unnumbered feature names get slots 1, 2, 3 by first question"),
    ("plumbing", "entry", "falsy_learning_rate", "a learning rate of 0 counts as not given"),
    ("plumbing", "entry", "lenient_feature_list", "malformed lines of a feature list are accepted"),
    ("plumbing", "entry", "wide_slot_mask", "slot functions on tensors mask one bit too wide"),
    ("plumbing", "features", "reduce_mean_empty_nan", "the mean of an empty row is NaN"),
    ("plumbing", "features", "layout_sequence_overlap", "sequence layouts overlap"),
    ("plumbing", "features", "slice_redefinition_ignored", "a slice asked for again keeps its first definition"),
    ("plumbing", "sync_training", "merge_collisions", "merged tables let features share rows"),
    ("extension", "quirks", "unbuilt_rules", "tables may use group_ftrl and dynamic_wd_adagrad"),
    ("extension", "filters 2", "filter_signature_hash", "filter signatures come from the hash"),
)

SWITCHES: dict[str, Switch] = {name: Switch(name, group, page, line) for group, page, name, line in _REGISTER}
"""Every switch by name, in the order of the register."""

PRESETS: dict[str, frozenset[str]] = {
    "default": frozenset(s.name for s in SWITCHES.values() if s.group == "rules"),
    "original": frozenset(s.name for s in SWITCHES.values() if s.group != "extension"),
    "clean": frozenset(),
}
"""The switches that each preset turns on."""


def _unknown(name: str, known: Iterable[str]) -> ConfigError:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)
    hint = f"; the nearest known name is {near[0]!r}" if near else ""
    return ConfigError(f"unknown quirk or preset {name!r}{hint}")


@dataclass(frozen=True)
class Quirks:
    """An immutable set of switches. ``"name" in quirks`` asks for one; an unknown name raises ConfigError."""

    on: frozenset[str] = PRESETS["default"]

    def __post_init__(self) -> None:
        for name in self.on:
            if name not in SWITCHES:
                raise _unknown(name, SWITCHES)

    @classmethod
    def parse(cls, text: str) -> Quirks:
        """The set written as ``"<preset> [+name | -name] ..."``; without a preset, ``default`` is changed.

        Raises ConfigError on an unknown name (naming the nearest), on a preset that is not first, and on text that
        is not a string.
        """
        if not isinstance(text, str):
            raise ConfigError(f"quirks must be text such as 'default +name', not {type(text).__name__}")
        names = set(PRESETS["default"])
        for position, word in enumerate(text.replace(",", " ").split()):
            if word[0] in "+-":
                if word[1:] not in SWITCHES:
                    raise _unknown(word[1:], SWITCHES)
                if word[0] == "+":
                    names.add(word[1:])
                else:
                    names.discard(word[1:])
            elif word not in PRESETS:
                if word in SWITCHES:
                    raise ConfigError(f"write '+{word}' or '-{word}': {word!r} is a switch, not a preset")
                raise _unknown(word, [*PRESETS, *SWITCHES])
            elif position:
                raise ConfigError(f"the preset {word!r} must come first in {text!r}")
            else:
                names = set(PRESETS[word])
        return cls(frozenset(names))

    @property
    def names(self) -> tuple[str, ...]:
        """The names in force, sorted: the form that digests and manifests hold."""
        return tuple(sorted(self.on))

    def __contains__(self, name: object) -> bool:
        if name not in SWITCHES:
            raise _unknown(str(name), SWITCHES)
        return name in self.on

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.on)

    def plus(self, *names: str) -> Quirks:
        """This set with ``names`` on."""
        return Quirks(self.on | frozenset(names))

    def minus(self, *names: str) -> Quirks:
        """This set with ``names`` off."""
        for name in names:
            if name not in SWITCHES:
                raise _unknown(name, SWITCHES)
        return Quirks(self.on - frozenset(names))

    def __str__(self) -> str:
        """The shortest text from a preset that :meth:`parse` reads back."""

        def distance(preset: str) -> int:
            return len(PRESETS[preset] ^ self.on)

        preset = min(PRESETS, key=distance)
        added = [f"+{name}" for name in sorted(self.on - PRESETS[preset])]
        taken = [f"-{name}" for name in sorted(PRESETS[preset] - self.on)]
        return " ".join([preset, *added, *taken])


def as_quirks(value: str | Quirks | None) -> Quirks:
    """``value`` as a :class:`Quirks`: text is parsed, None is the default preset."""
    if value is None:
        return Quirks()
    return value if isinstance(value, Quirks) else Quirks.parse(value)
