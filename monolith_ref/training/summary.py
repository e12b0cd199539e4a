"""A finished run in words and numbers: the table on the terminal, and ``report.json``."""

from __future__ import annotations

import io
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from monolith_ref import __version__

if TYPE_CHECKING:
    from monolith_ref.training.trainer import Trainer, TrainResult

__all__ = ["report_of", "summary_text"]

_PACKAGES = ("numpy", "numba", "mpi4py", "protobuf")


def _versions() -> dict[str, str]:
    found = {"monolith-ref": __version__, "python": platform.python_version(), "machine": platform.machine()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def report_of(trainer: Trainer, result: TrainResult) -> dict[str, Any]:
    """Everything that a run came to, as plain values."""
    config = trainer.config
    data = trainer.dataset
    return {
        "configuration": config.source,
        "model": config.model.name,
        "ranks": trainer.communicator.size,
        "reduction": config.settings["sync.reduction"],
        "steps": result.steps,
        "resumed_at": result.resumed_at,
        "batch_size": trainer.batch_size,
        "rows": {"train": data.train.data.rows, "evaluation": 0 if data.evaluation is None else data.evaluation.rows},
        "split": config.evaluation.split,
        "files": list(data.files),
        "loss": result.loss,
        "digests": result.digests,
        "evaluations": [one.as_dict() for one in result.evaluations],
        "windows": [window.as_dict() for window in result.windows],
        "tables": result.rows,
        "notes": result.notes,
        "seconds": result.seconds,
        "checkpoint": None if result.checkpoint is None else str(result.checkpoint),
        "settings": [list(row) for row in config.settings.explain()],
        "versions": _versions(),
    }


def summary_text(report: dict[str, Any], width: int = 100) -> str:
    """The table that ``train`` prints."""
    from rich.console import Console
    from rich.table import Table

    out = io.StringIO()
    console = Console(file=out, width=width, no_color=True, highlight=False)
    ranks = f"{report['ranks']} rank{'s' * (report['ranks'] > 1)}"
    resumed = f", continued at step {report['resumed_at']}" if report["resumed_at"] else ""
    head = Table(title=f"{report['model']}: {ranks}, {report['reduction']}", show_header=False, title_justify="left")
    head.add_column()
    head.add_column(overflow="fold")
    rows = report["rows"]
    head.add_row("steps", f"{report['steps']} of {report['batch_size']} rows{resumed}")
    head.add_row("rows", f"{rows['train']} to train on, {rows['evaluation']} to judge by (split: {report['split']})")
    head.add_row("last loss", f"{report['loss']:.6g}")
    for one in report["evaluations"][-1:]:
        head.add_row("AUC", "undefined: one kind of label" if one["auc"] is None else f"{one['auc']:.6f}")
        head.add_row("evaluation loss", f"{one['loss']:.6g}")
        head.add_row("mean prediction", f"{one['mean_prediction']:.6g} (labels {one['mean_label']:.6g})")
    windows = [window for window in report["windows"] if window["seconds"] > 0]
    if windows:
        seconds = sum(window["seconds"] for window in windows)
        head.add_row("ids per second", f"{sum(window['ids'] for window in windows) / seconds:,.0f}")
        owned = windows[-1]["owned"]
        head.add_row("rows by owner", f"{', '.join(map(str, owned))} ({sum(report['tables'].values())} in all)")
    head.add_row("seconds", f"{report['seconds']:.1f}")
    for name, digest in report["digests"].items():
        head.add_row(f"{name} digest", digest)
    for note in report["notes"]:
        head.add_row("note", note)
    console.print(head)
    return out.getvalue().rstrip()
