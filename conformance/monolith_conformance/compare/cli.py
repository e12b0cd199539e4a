"""``monolith-ref compare``: the comparison from its options to its exit code. Rule: sync_training 6, job 2 to 6."""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from monolith_conformance.compare.job import DEFAULTS, GENERATED_STEPS, Job, Request, make_job, versions
from monolith_conformance.compare.plants import KINDS
from monolith_conformance.compare.results import RunResult, Verdict
from monolith_conformance.compare.targets import available_target, choose_simulator
from monolith_ref.errors import ConfigError, EnvironmentMissing
from monolith_ref.sync.agreement import check_agreement
from monolith_ref.sync.guard import run_guarded
from monolith_ref.sync.launch import make_communicator
from monolith_ref.training.input.mapping import InputMap, load_map, make_map
from monolith_ref.training.settings import Settings

__all__ = ["compare"]

EXIT_PASS, EXIT_DIFFERENCES = 0, 1


def compare(
    context: typer.Context,
    steps: Annotated[str | None, typer.Option(help="Synchronous steps in all (50; real input: all of it).")] = None,
    reduction: Annotated[str | None, typer.Option(help="sequential, sum, mean or exact.")] = None,
    layout: Annotated[str | None, typer.Option(help="merged, multi or both.")] = None,
    targets: Annotated[str | None, typer.Option(help="cpu, cuda or cpu,cuda.")] = None,
    batch_size: Annotated[str | None, typer.Option(help="Rows of a global batch (455).")] = None,
    batch_size_per_rank: Annotated[str | None, typer.Option(help="Rows of each rank, instead.")] = None,
    seed: Annotated[str | None, typer.Option(help="Of data, kernels and orders (42).")] = None,
    model_dir: Annotated[str | None, typer.Option(help="Where outputs go.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run's outputs.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the newest checkpoint.")] = False,
    plant: Annotated[str | None, typer.Option(help=f"Put a fault into the engine: {', '.join(KINDS)}.")] = None,
    as_published: Annotated[bool, typer.Option("--as-published", help="The original's test as it was.")] = False,
    inputs: Annotated[list[Path] | None, typer.Option("--input", help="Log files instead of the generator.")] = None,
    input_map: Annotated[Path | None, typer.Option("--map", help="TOML file: columns and label of the logs.")] = None,
    columns: Annotated[
        list[str] | None, typer.Option("--column", help="NAME[:SLOT[:SEPARATOR]], instead of --map; repeatable.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="Label expression, as 'rating >= 4'.")] = None,
    epochs: Annotated[str | None, typer.Option(help="Passes over the logs (1).")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file of settings.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json instead of a table.")] = False,
    explain_settings: Annotated[bool, typer.Option("--explain-settings", help="Show settings, then stop.")] = False,
) -> int:
    """Train embeddings on the engine and on plain NumPy at once, and compare every number bit for bit.

    Further settings are options of their own: --<key> VALUE, as in --sync.timeout 10 (see --explain-settings). On
    several ranks: mpiexec -n 2 monolith-ref compare.

    Examples: 'mpiexec -n 2 monolith-ref compare'; 'monolith-ref compare --steps 5 --plant one-ulp'.
    """
    given = {
        "steps": steps,
        "reduction": reduction,
        "layout": layout,
        "targets": targets,
        "batch-size": batch_size,
        "batch-size-per-rank": batch_size_per_rank,
        "seed": seed,
        "model-dir": model_dir,
        "epochs": epochs,
    }
    line = {key: text for key, text in given.items() if text is not None} | _further(context.args)

    def main() -> int:
        settings = Settings.resolve(line, config_file=config, defaults=DEFAULTS)
        if explain_settings:
            return _explain(settings)
        if plant is not None and plant not in KINDS:
            raise ConfigError(f"--plant: there is no kind {plant!r}; there are: {', '.join(KINDS)}")
        mapping = _mapping(input_map, columns, label)
        request = Request(plant, as_published, resume, overwrite, tuple(inputs or ()), mapping)
        return _compare(settings, request, as_json)

    return run_guarded(main)


compare.command_settings = {  # type: ignore[attr-defined]
    "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True}
}


def _further(words: list[str]) -> dict[str, str]:
    """``--key value`` and ``--key=value`` pairs that are no options of the command's own."""
    found: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") or len(word) == 2:
            raise ConfigError(f"unexpected argument {word!r}")
        key, equals, text = word[2:].partition("=")
        if not equals:
            if not rest or rest[0].startswith("--"):
                # An unknown name is a better complaint than a missing value.
                _known_option(key)
                raise ConfigError(f"--{key} needs a value")
            text = rest.pop(0)
        found[key] = text
    return found


def _known_option(key: str) -> None:
    from monolith_ref.training.settings_table import key_of_option

    if key_of_option(key) is None:
        raise ConfigError(f"there is no option --{key}")


def _mapping(path: Path | None, columns: list[str] | None, label: str | None) -> InputMap | None:
    if path is not None:
        if columns or label:
            raise ConfigError("--map and --column or --label exclude each other")
        return load_map(path)
    if not columns and label is None:
        return None
    entries: list[dict[str, Any]] = []
    for text in columns or ():
        name, *more = text.split(":", 2)
        entry: dict[str, Any] = {"name": name}
        if more and more[0]:
            if not more[0].isdecimal():
                raise ConfigError(f"--column {text}: the slot must be a whole number, not {more[0]!r}")
            entry["slot"] = int(more[0])
        if len(more) > 1:
            entry["separator"] = more[1]
        entries.append(entry)
    if label is None:
        raise ConfigError("--column needs --label")
    return make_map(entries, label, "--column, --label")


def _explain(settings: Settings) -> int:
    communicator = make_communicator(settings["sync.communicator"], settings["sync.timeout"])
    if communicator.rank == 0:
        rows = settings.explain()
        widths = [max(len(row[i]) for row in rows) for i in range(2)]
        for key, value, origin in rows:
            print(f"{key:{widths[0]}}  {value:{widths[1]}}  {origin}")
    return EXIT_PASS


def _compare(settings: Settings, request: Request, as_json: bool) -> int:
    from monolith_conformance.compare.directories import prepare_directory

    steps = settings["training.steps"] or GENERATED_STEPS
    if "cuda" in settings["targets"]:
        choose_simulator(settings["training.batch_size"] or settings["training.batch_size_per_rank"], steps)
    started = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    communicator = make_communicator(settings["sync.communicator"], settings["sync.timeout"])
    wanted = settings.shared() | {f"version of {name}": text for name, text in versions(communicator).items()}
    check_agreement(communicator, wanted | {"command": _asked(request)})
    job = make_job(settings, request, communicator)
    check_agreement(communicator, job.facts | {"steps": str(job.steps)})
    directory = prepare_directory(
        settings["model_dir"], communicator, overwrite=request.overwrite, resume=request.resume
    )
    if request.resume:
        _check_checkpoints(job, directory)
    runs = _run_all(job, directory, quiet=as_json)
    if all(run.skipped for run in runs):
        raise EnvironmentMissing("; ".join(sorted({run.skipped for run in runs})))
    verdict = _verdict(runs)
    sentence = _sentence(runs, verdict, request)
    code = EXIT_PASS if verdict == "pass" or (verdict == "vacuous" and request.as_published) else EXIT_DIFFERENCES
    if communicator.rank == 0:
        _write_and_print(job, runs, verdict, sentence, directory, started, code, as_json)
    return code


def _asked(request: Request) -> str:
    plain = {
        "plant": request.plant,
        "as_published": request.as_published,
        "resume": request.resume,
        "inputs": [str(path) for path in request.inputs],
        "map": request.input_map.digest() if request.input_map is not None else None,
    }
    return json.dumps(plain, sort_keys=True)


def _check_checkpoints(job: Job, directory: Path) -> None:
    """Refuse what cannot be continued before any layout makes a step."""
    from monolith_conformance.compare.run import checkpoint_of

    for name in job.settings["targets"]:
        for layout in job.layouts:
            checkpoint_of(job, layout, name, directory)


def _run_all(job: Job, directory: Path, quiet: bool) -> list[RunResult]:
    from monolith_conformance.compare.progress import progress_of
    from monolith_conformance.compare.run import run_one

    settings = job.settings
    runs = []
    for name in settings["targets"]:
        target, why_not = available_target(name, settings["threads"], job.batch_size, job.steps)
        for layout in job.layouts:
            if target is None:
                runs.append(RunResult(layout, name, verdict="pass", skipped=why_not))
                continue
            with progress_of(job, layout, name, quiet) as tell:
                runs.append(run_one(job, layout, target, directory, tell))
            if runs[-1].findings:
                return runs
    return runs


def _verdict(runs: list[RunResult]) -> Verdict:
    found = {run.verdict for run in runs if not run.skipped}
    return "fail" if "fail" in found else "vacuous" if "vacuous" in found else "pass"


def _sentence(runs: list[RunResult], verdict: Verdict, request: Request) -> str:
    done = [run for run in runs if not run.skipped]
    if verdict == "pass":
        numbers = sum(run.comparisons for run in done)
        runs_made = f"{len(done)} run{'s' * (len(done) > 1)}"
        return f"{numbers:,} numbers compared in {runs_made}: every bit is equal, and rows move."
    if verdict == "vacuous":
        expected = " That is what the published test gives." if request.as_published else ""
        return f"Everything is equal, but nothing moves: this proves nothing about updates.{expected}"
    failed = next(run for run in done if run.verdict == "fail")
    if failed.findings:
        first = failed.findings[0]
        return f"The engine and the oracle differ in step {first.difference.step}: {first.cause}."
    return "; ".join(failed.notes) or "The comparison failed."


def _write_and_print(
    job: Job,
    runs: list[RunResult],
    verdict: Verdict,
    sentence: str,
    directory: Path,
    started: str,
    code: int,
    as_json: bool,
) -> None:
    from rich.console import Console

    from monolith_conformance.report.compare_html import render
    from monolith_conformance.report.terminal import print_runs

    report = {
        "format": "monolith-ref comparison",
        "version": 1,
        "verdict": verdict,
        "sentence": sentence,
        "exit_code": code,
        "command": " ".join(["monolith-ref", *sys.argv[1:]]),
        "started": started,
        "ranks": job.communicator.size,
        "steps": job.steps,
        "global_batch": job.batch_size,
        "settings": [list(row) for row in job.settings.explain()],
        "versions": dict(versions(job.communicator)),
        "runs": [run.as_dict() for run in runs],
    }
    _write_whole(directory / "report.json", json.dumps(report, indent=1, allow_nan=False) + "\n")
    _write_whole(directory / "report.html", render(report, runs, sentence))
    if as_json:
        print(json.dumps(report, indent=1))
        return
    terminal = sys.stdout.isatty()
    print_runs(runs, verdict, sentence, directory / "report.html", Console(width=None if terminal else 140))


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
