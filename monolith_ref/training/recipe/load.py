"""A whole training configuration: the model, the data, the outputs, and every setting. Rule: sync_training 3, job 6."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from monolith_ref.errors import ConfigError
from monolith_ref.training.recipe.data import (
    EvaluationSpec,
    InputSpec,
    OutputSpec,
    read_evaluation,
    read_input,
    read_output,
)
from monolith_ref.training.recipe.document import Document, nearest
from monolith_ref.training.recipe.model import ModelSpec, read_model
from monolith_ref.training.settings import Settings, toml_text
from monolith_ref.training.settings_table import KEYS, key_of_option

__all__ = ["DEFAULTS", "TrainConfig", "load_train_config"]

DEFAULTS = {"training.batch_size": "512", "training.clip_norm": "0"}
"""Where training from a file has other defaults than the table of settings."""

_OWN = ("input", "evaluation", "model", "features", "output")
_GROUPS = tuple(dict.fromkeys(key.partition(".")[0] for key in KEYS))


@dataclass(frozen=True)
class TrainConfig:
    """Everything that a :class:`~monolith_ref.training.trainer.Trainer` needs; made by hand or from a file."""

    model: ModelSpec
    input: InputSpec
    settings: Settings
    evaluation: EvaluationSpec = field(default_factory=EvaluationSpec)
    output: OutputSpec = field(default_factory=OutputSpec)
    source: str = ""

    def digest(self) -> str:
        """SHA-256 (hex) of model, input and evaluation: equal on all ranks."""
        said = repr((self.model, self.input, self.evaluation))
        return hashlib.sha256(said.encode()).hexdigest()

    def with_output(self, **changes: Any) -> TrainConfig:
        """The same with other outputs."""
        return replace(self, output=replace(self.output, **changes))


def load_train_config(
    path: str | Path,
    overrides: Mapping[str, str] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
) -> TrainConfig:
    """Read and check a TOML file.

    Parameters
    ----------
    overrides : mapping
        Dotted key (``model.layers``, ``training.steps``, ``steps``, ``model.slices.0.dim``) -> text; a TOML value, or
        else a plain text. They win over environment and file.
    environment : mapping
        None: ``os.environ``.

    Raises
    ------
    ConfigError
        With file and line: what cannot be read, unknown keys (the nearest known one is named), missing, malformed or
        contradicting values. No data has been read then.
    """
    document = Document.read(path)
    line: dict[str, str] = {}
    for key, text in (overrides or {}).items():
        group = key.partition(".")[0]
        setting = key_of_option(key)
        if group in _OWN:
            document.override(key, text)
        elif setting is not None:
            line[setting] = text
        else:
            raise ConfigError(f"--set {key}: there is no such key{nearest(key, [*KEYS, *_OWN])}")
    settings = Settings.resolve(line, environment, defaults=DEFAULTS, file_texts=_setting_texts(document))
    root = document.root
    data = read_input(root)
    config = TrainConfig(
        read_model(root), data, settings, read_evaluation(root, data), read_output(root), Path(path).name
    )
    root.done(*_GROUPS)
    _check(config, document)
    return config


def _setting_texts(document: Document) -> dict[str, tuple[str, str]]:
    """Settings that the file gives: key -> (text, file and line)."""
    found: dict[str, tuple[str, str]] = {}
    for name, value in document.data.items():
        if name in _OWN:
            continue
        if name not in _GROUPS:
            raise document.error((name,), f"unknown key {name!r}{nearest(name, [*_OWN, *_GROUPS])}")
        nested = isinstance(value, dict)
        for part, each in value.items() if nested else [("", value)]:
            key = f"{name}.{part}" if nested else name
            path = (name, part) if nested else (name,)
            if key not in KEYS:
                known = [other for other in KEYS if other.startswith(f"{name}.")] or list(KEYS)
                raise document.error(path, f"unknown key {key!r}{nearest(key, known)}")
            where = document.where(path)
            found[key] = (toml_text(where, key, each), where)
    return found


def _check(config: TrainConfig, document: Document) -> None:
    """What one part says about another."""
    settings = config.settings
    if config.model.loss == "bce" and config.input.label_range not in (None, (0.0, 1.0)):
        raise document.error(("input", "label_range"), "input.label_range: bce needs labels from 0 to 1")
    if settings["sync.staleness"] and (
        settings["checkpoint.every_steps"] is not None or settings["checkpoint.every_seconds"] is not None
    ):
        raise ConfigError(
            f"sync.staleness ({settings.origin('sync.staleness')}) holds updates back, which checkpoints between "
            "steps would lose: leave out checkpoint.every_steps and checkpoint.every_seconds"
        )
    if settings["table.layout"] == "both":
        raise ConfigError(
            f"{settings.origin('table.layout')}: table.layout must be multi or merged to train, not 'both'"
        )
    if len(settings["targets"]) != 1:
        raise ConfigError(f"{settings.origin('targets')}: training runs on one target, not {settings.text('targets')}")
