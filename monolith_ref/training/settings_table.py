"""The table of settings: every key with its type, default and meaning. Rule: sync_training 3, job 6."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from monolith_ref.errors import ConfigError
from monolith_ref.quirks import Quirks

__all__ = ["KEYS", "Key", "key_of_option", "variable_of"]


@dataclass(frozen=True, slots=True)
class Key:
    """One setting.

    Attributes
    ----------
    name : str
        ``group.name``.
    parse : callable
        Text to value; ValueError with what was expected.
    default : str
        Text; empty: no value (None).
    help : str
    per_rank : bool
        May differ between ranks.
    """

    name: str
    parse: Callable[[str], Any]
    default: str
    help: str
    per_rank: bool = False


def _whole(low: int, high: int | None = None) -> Callable[[str], int]:
    expected = f"a whole number from {low}" + (f" to {high}" if high is not None else "")

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]+", text):
            raise ValueError(expected)
        value = int(text)
        if value < low or (high is not None and value > high):
            raise ValueError(expected)
        return value

    return parse


def _number(positive: bool = False) -> Callable[[str], float]:
    expected = "a number above 0" if positive else "a number, 0 or above"

    def parse(text: str) -> float:
        if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
            raise ValueError(expected)
        value = float(text)
        if not math.isfinite(value) or value < 0 or (positive and value == 0):
            raise ValueError(expected)
        return value

    return parse


def _flag(text: str) -> bool:
    words = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in words:
        raise ValueError("true or false")
    return words[text.lower()]


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return text

    return parse


def _some_of(*words: str) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        parts = tuple(part.strip() for part in text.split(","))
        if not all(part in words for part in parts) or len(set(parts)) < len(parts):
            raise ValueError(f"a list of {', '.join(words)}, each at most once")
        return parts

    return parse


def _text(text: str) -> str:
    if not text or "\n" in text:
        raise ValueError("a text of one line")
    return text


def _quirks(text: str) -> str:
    try:
        Quirks.parse(text)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return text


KEYS: dict[str, Key] = {
    key.name: key
    for key in (
        Key("training.steps", _whole(1), "", "synchronous steps in all"),
        Key("training.epochs", _whole(1), "1", "passes over finite input"),
        Key("training.batch_size", _whole(1), "", "rows of a global batch"),
        Key("training.batch_size_per_rank", _whole(1), "", "rows of each rank's batch, instead of batch_size"),
        Key("training.seed", _whole(0, 2**64 - 1), "42", "of the generator and of row orders"),
        Key("training.clip_norm", _number(), "1000", "largest global norm of gradients; 0: no clipping"),
        Key("training.dense_weight_decay", _number(), "0", "added to dense gradients"),
        Key("training.lr_profile", _one_of("plain", "rewritten"), "plain", "arithmetic of learning-rate schedules"),
        Key("training.non_finite", _one_of("raise", "propagate", "skip"), "raise", "on NaN or infinite gradients"),
        Key("training.uneven", _one_of("stop", "pad"), "stop", "when some rank runs out of rows"),
        Key("training.log_every", _whole(1), "100", "steps between log lines of rank 0"),
        Key("training.report_every", _whole(1), "100", "steps between points of a report"),
        Key("table.layout", _one_of("multi", "merged", "both"), "multi", "a table per feature, or equal ones merged"),
        Key("table.initial_capacity", _whole(0), "0", "rows to make room for at the start"),
        Key("table.evict_every_steps", _whole(1), "", "steps between removals of expired rows (before a save, always)"),
        Key(
            "filter.type",
            _one_of("sliding_hash_filter", "probabilistic_filter", "no_filter"),
            "sliding_hash_filter",
            "admission filter",
        ),
        Key("filter.capacity", _whole(1), "300000000", "ids that a hash filter is made for"),
        Key("filter.split_num", _whole(1), "7", "parts of a sliding filter"),
        Key("sync.communicator", _one_of("auto", "serial", "mpi"), "auto", "how ranks talk"),
        Key("sync.timeout", _number(), "60", "seconds until a silent rank ends the job; 0: never"),
        Key(
            "sync.reduction",
            _one_of("sequential", "sum", "mean", "exact"),
            "sequential",
            "what becomes of the gradients of several ranks",
        ),
        Key("sync.embedding_grad_wire", _one_of("f32", "f16"), "f32", "how embedding gradients travel"),
        Key("sync.dense_wire", _one_of("f32", "f16"), "f32", "how dense gradients travel"),
        Key("sync.allreduce_fusion", _one_of("none", "one"), "none", "one exchange per dense gradient, or for all"),
        Key("sync.skip_allreduce", _flag, "false", "leave dense gradients unreduced: ranks drift apart"),
        Key("sync.empty_rank0", _flag, "false", "rank 0 owns no rows (above 4 ranks)"),
        Key("sync.staleness", _whole(0), "0", "steps by which embedding updates lag"),
        Key("checkpoint.every_steps", _whole(1), "", "steps between checkpoints"),
        Key("checkpoint.every_seconds", _number(positive=True), "", "seconds between checkpoints"),
        Key("checkpoint.keep", _whole(1), "10", "checkpoints kept"),
        Key("cuda.processes_per_device", _whole(1), "1", "ranks that share a GPU", per_rank=True),
        Key("cache.dir", _text, "", "directory of compiled kernels", per_rank=True),
        Key("targets", _some_of("cpu", "cuda"), "cpu", "where kernels run"),
        Key("threads", _whole(1), "1", "threads of each rank; never changes a bit", per_rank=True),
        Key("quirks", _quirks, "default", "preset of quirks, with names added and taken away"),
        Key("model_dir", _text, "", "directory of outputs (rank 0's counts)", per_rank=True),
    )
}
"""All settings, in the order in which they are shown."""


def variable_of(key: str) -> str:
    """``MONOLITH_REF_SYNC_TIMEOUT`` of ``sync.timeout``."""
    return "MONOLITH_REF_" + key.replace(".", "_").upper()


def key_of_option(option: str) -> str | None:
    """The key that an option names: in full, with ``-`` or ``_``, or by its last part where that is one key's
    only."""
    name = option.lstrip("-").replace("-", "_")
    if name in KEYS:
        return name
    found = [key for key in KEYS if key.rpartition(".")[2] == name or key.replace(".", "_") == name]
    return found[0] if len(found) == 1 else None
