"""Where rows come from, what they are judged by, and where results go. Rule: job 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from monolith_ref.errors import ConfigError
from monolith_ref.training.input.label import parse_label
from monolith_ref.training.input.readers import FORMATS
from monolith_ref.training.recipe.document import Section

__all__ = ["EvaluationSpec", "InputSpec", "OutputSpec", "read_evaluation", "read_input", "read_output"]


@dataclass(frozen=True)
class InputSpec:
    """Training rows.

    Attributes
    ----------
    files : tuple of str
        Paths or globs, in order; the matches of a glob in string order.
    label : str
        An expression over columns: ``rating >= 4``.
    format : str or None
        A name of :data:`~monolith_ref.training.input.readers.FORMATS`; None: by the ending of each name.
    label_range : (low, high) or None
        Labels outside are errors; ``bce`` always needs 0 to 1.
    time_column : str or None
        Seconds since the epoch: the time of a row's updates, by which rows of tables expire.
    shuffle : bool
        A new order in every epoch (stream (5, epoch, 0) of the seed); else the order of the files.
    prefetch : int
        Batches that a thread prepares ahead; 0: none.
    """

    files: tuple[str, ...]
    label: str
    format: str | None = None
    label_range: tuple[float, float] | None = None
    time_column: str | None = None
    shuffle: bool = True
    prefetch: int = 2


@dataclass(frozen=True)
class EvaluationSpec:
    """Rows that are kept apart.

    Attributes
    ----------
    files : tuple of str
        Files of their own; or
    split : "none", "random" or "time"
        ``random``: the last ``ratio`` of the rows in the order of stream (6, 0, 0) of ``seed``; ``time``: the latest
        ``ratio`` of them by ``time_column`` (of equal times, the later ones in the files).
    every_steps : int or None
        Steps between evaluations; there is always one at the end.
    batch_size : int
        Rows of a global batch of evaluation; changes no number.
    """

    files: tuple[str, ...] = ()
    split: Literal["none", "random", "time"] = "none"
    ratio: float = 0.2
    seed: int = 42
    every_steps: int | None = None
    batch_size: int = 8192

    @property
    def wanted(self) -> bool:
        """Is there anything to evaluate on?"""
        return bool(self.files) or self.split != "none"


@dataclass(frozen=True)
class OutputSpec:
    """What a run leaves in its directory, besides checkpoints.

    Attributes
    ----------
    events : bool
        TensorBoard event files in ``events/``.
    report : bool
        ``report.html`` and ``report.json``.
    model_dump : bool
        ``model_dump``.
    export : str or None
        Directory for serving tables and dense variables.
    """

    events: bool = True
    report: bool = True
    model_dump: bool = True
    export: str | None = None


def _label(section: Section) -> str:
    label: str = section.text("label")
    try:
        parse_label(label)
    except ConfigError as error:
        raise section.error(str(error), "label") from None
    return label


def read_input(root: Section) -> InputSpec:
    """``[input]``."""
    section = root.section("input")
    label_range = section.numbers("label_range", 2, None)
    if label_range is not None and label_range[0] > label_range[1]:
        raise section.error("input.label_range must be [low, high]", "label_range")
    made = InputSpec(
        section.texts("files"),
        _label(section),
        section.choice("format", tuple(FORMATS), None),
        label_range,
        section.text("time_column", None),
        section.flag("shuffle", True),
        section.whole("prefetch", 2, 0, 1024),
    )
    if not made.files:
        raise section.error("input.files must name at least one file", "files")
    section.done()
    return made


def read_evaluation(root: Section, data: InputSpec) -> EvaluationSpec:
    """``[evaluation]``."""
    section = root.section("evaluation")
    files = section.texts("files", ())
    split: Literal["none", "random", "time"] = section.choice("split", ("none", "random", "time"), "none")
    if files and split != "none":
        raise section.error("evaluation.files and evaluation.split exclude each other", "split")
    if split == "time" and data.time_column is None:
        raise section.error("evaluation.split = 'time' needs input.time_column", "split")
    ratio: float = section.number("ratio", 0.2)
    if not 0 < ratio < 1:
        raise section.error(f"evaluation.ratio must be above 0 and below 1, not {ratio!r}", "ratio")
    made = EvaluationSpec(
        files,
        split,
        ratio,
        section.whole("seed", 42, 0, 2**64 - 1),
        section.whole("every_steps", None, 1),
        section.whole("batch_size", 8192, 1),
    )
    section.done()
    return made


def read_output(root: Section) -> OutputSpec:
    """``[output]``."""
    section = root.section("output")
    made = OutputSpec(
        section.flag("events", True),
        section.flag("report", True),
        section.flag("model_dump", True),
        section.text("export", None),
    )
    section.done()
    return made
