"""Assembles the command line, runs it, and turns every error into one line and an exit code."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NoReturn

import typer

from monolith_ref import __version__
from monolith_ref.errors import EnvironmentMissing, MonolithRefError, SyncError

__all__ = ["BUILT_IN", "EXIT_DIFFERENCES", "EXIT_ENVIRONMENT", "EXIT_FAULT", "EXIT_OK", "EXIT_USAGE", "main", "run"]

EXIT_OK, EXIT_DIFFERENCES, EXIT_USAGE, EXIT_ENVIRONMENT, EXIT_FAULT = range(5)

BUILT_IN = {
    "train": "monolith_ref.cli.train:train",
    "table": "monolith_ref.cli.table:table_app",
    "dump": "monolith_ref.cli.dump:dump_app",
    "doctor": "monolith_ref.cli.doctor:doctor",
    "plan": "monolith_ref.cli.plan:plan",
    "warmup": "monolith_ref.cli.warmup:warmup",
}
"""The engine's own commands: name → ``module:object`` (a function or a :class:`typer.Typer`)."""

ENTRY_POINT_GROUP = "monolith_ref.commands"

EPILOG = """\b
Start here:
  monolith-ref doctor                              is everything here, and if not, what to do
  monolith-ref compare --steps 5                   engine against plain NumPy, bit for bit
  mpiexec -n 2 monolith-ref compare                the same in full, on two ranks
  monolith-ref conform run --backend "testee:./my-port" --encoding json
                                                   judge an implementation in any language
  monolith-ref train CONFIG.toml                   train a model on logs
  monolith-ref table show PREFIX                   look into a checkpoint

Every command has --help with examples. Errors are one line; --debug shows the traceback.
"""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and end the process with its exit code; ``--debug`` may stand anywhere in it."""
    line = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in line
    sys.exit(run([word for word in line if word != "--debug"], debug))


def run(line: list[str], debug: bool = False) -> int:
    """Run one command line; returns the exit code. Errors become one line on standard error."""
    try:
        result = _application(line)(line, prog_name="monolith-ref", standalone_mode=False)
    except typer.TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(error.format_message())
            return EXIT_OK
        return _report(_usage_text(error), EXIT_USAGE, error, debug)
    except typer.Exit as error:
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt) as error:
        return _report("interrupted", EXIT_FAULT, error, debug)
    except MonolithRefError as error:
        return _report(str(error), exit_code_of(error), error, debug)
    return result if isinstance(result, int) else EXIT_OK


def exit_code_of(error: MonolithRefError) -> int:
    """The exit code that an error of ours stands for (job 5)."""
    if isinstance(error, EnvironmentMissing):
        return EXIT_ENVIRONMENT
    if isinstance(error, SyncError):
        return EXIT_FAULT
    return EXIT_USAGE


def _application(line: list[str]) -> typer.Typer:
    """The typer application with the command that ``line`` names, or with all of them where it names none."""
    external = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    names = sorted({*BUILT_IN, *external})
    asked = next((word for word in line if not word.startswith("-")), None)
    if asked is not None and asked not in names:
        near = difflib.get_close_matches(asked, names, 1)
        hint = f"; did you mean '{near[0]}'?" if near else f"; there are: {', '.join(names)}"
        raise typer.TyperException(f"no command '{asked}'{hint}")
    app = typer.Typer(
        name="monolith-ref",
        help="The bit-exact reference of Monolith's embedding training, and its conformance suite.",
        epilog=EPILOG,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        callback=_root,
    )
    wanted = [] if "--version" in line else names
    for name in wanted if asked is None else [asked]:
        found = _load(name, external)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name=name, **getattr(found, "command_settings", {}))(found)
    return app


def _load(name: str, external: dict[str, EntryPoint]) -> Any:
    if name in external:
        return external[name].load()
    module, _, attribute = BUILT_IN[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"monolith-ref {__version__}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
    ),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error (anywhere in the line)."),
) -> None:
    """Options that stand before every command; ``--debug`` has been taken out of the line before."""


def _usage_text(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "monolith-ref"
    return f"{' '.join(error.format_message().split())} (see '{path} --help')"


def _report(text: str, code: int, error: BaseException, debug: bool) -> int:
    if debug:
        raise error
    # Under a launcher every rank runs this line with the same error: one of them speaks.
    if _launcher_rank() == 0:
        typer.echo(f"monolith-ref: error: {text}", err=True)
    return code


def _launcher_rank() -> int:
    for name in ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK"):
        value = os.environ.get(name, "")
        if value.isdigit():
            return int(value)
    return 0
