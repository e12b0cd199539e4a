"""``monolith-ref train``: a TOML file trained on one or many ranks. Rule: job 1 to 6, sync_training 3 and 4."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from monolith_ref.errors import ConfigError
from monolith_ref.sync.guard import run_guarded

__all__ = ["train"]


def train(
    config: Annotated[Path, typer.Argument(help="TOML file: model, features, input, settings.")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="KEY=VALUE, over the file: --set model.layers=[64,32]; repeatable."),
    ] = None,
    reduction: Annotated[str | None, typer.Option(help="sequential, sum, mean or exact.")] = None,
    steps: Annotated[str | None, typer.Option(help="Steps in all (default: all epochs).")] = None,
    model_dir: Annotated[str | None, typer.Option(help="Where outputs go (runs/<name of the model>).")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the newest checkpoint.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run's outputs.")] = False,
    report: Annotated[Path | None, typer.Option(help="Directory for report.html and report.json.")] = None,
    export: Annotated[Path | None, typer.Option(help="Directory for serving tables and dense variables.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json instead of a table.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, no table: digests only.")] = False,
) -> int:
    """Train a model that a TOML file describes, on real logs.

    On several ranks: mpiexec -n 4 monolith-ref train CONFIG. With --reduction exact the digests at the end are the
    same for every number of ranks, and --resume may have another number of them.

    Examples: 'monolith-ref train docs/examples/movielens-train.toml'; 'monolith-ref train model.toml --resume --set
    training.epochs=3'.
    """
    overrides: dict[str, str] = {}
    for change in changes or ():
        key, equals, text = change.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set needs KEY=VALUE, not {change!r}")
        overrides[key.strip()] = text.strip()
    for key, value in (("sync.reduction", reduction), ("training.steps", steps), ("model_dir", model_dir)):
        if value is not None:
            overrides[key] = value

    def main() -> int:
        # Late: the command line shows its help without loading kernels.
        from monolith_ref.training.command import train_from_file

        text = train_from_file(
            config,
            overrides,
            resume=resume,
            overwrite=overwrite,
            report=report,
            export=export,
            progress=not quiet,
            as_json=as_json,
        )
        if text is not None:
            typer.echo(text if not isinstance(text, dict) else json.dumps(text, indent=2, sort_keys=True))
        return 0

    return run_guarded(main)
