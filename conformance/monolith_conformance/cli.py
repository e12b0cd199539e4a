"""``monolith-ref conform …``: everything that holds an implementation against the reference."""

from __future__ import annotations

import typer

from monolith_conformance import suite_cli
from monolith_conformance.dumps import command as dumps_command
from monolith_conformance.export import command as export_command
from monolith_conformance.fuzz import command as fuzz_command
from monolith_conformance.mutants import command as mutants_command
from monolith_conformance.report import suite_command
from monolith_conformance.vectors import command as vectors_command

__all__ = ["conform_app"]

conform_app = typer.Typer(
    name="conform",
    help="Hold an implementation against the reference: run the suite, replay golden vectors and files.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
suite_cli.register(conform_app)
suite_command.register(conform_app)
mutants_command.register(conform_app)
dumps_command.register(conform_app)
export_command.register(conform_app)
fuzz_command.register(conform_app)
vectors_command.register(conform_app)
