"""``monolith-ref conform mutants``: the mutation table on the terminal or as JSON."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monolith_ref.errors import UnknownNameError
from monolith_ref.progress import Bar

if TYPE_CHECKING:
    from monolith_conformance.mutants.verdict import Verdict

__all__ = ["mutants", "register"]


def register(app: typer.Typer) -> None:
    """Add the command to ``conform``."""
    app.command("mutants")(mutants)


def mutants(
    names: Annotated[list[str] | None, typer.Argument(help="Beginnings of mutants' names; all without any.")] = None,
    only_list: Annotated[bool, typer.Option("--list", help="Name them, run nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> int:
    """Show that the suite finds wrong implementations: every mutant of the oracle, and the case that fails it.

    Exit code 1 where a mutant survives that is not listed as one that changes nothing visible.

    Examples: 'monolith-ref conform mutants --json'; 'monolith-ref conform mutants adagrad-'.
    """
    from monolith_conformance.cases import all_cases
    from monolith_conformance.mutants import catalogue
    from monolith_conformance.mutants.verdict import judge_mutants

    chosen = [m for m in catalogue().values() if not names or m.name.startswith(tuple(names))]
    if not chosen:
        raise UnknownNameError(f"no mutant's name begins with {' or '.join(names or [])}")
    if only_list:
        plain = [{"name": m.name, "sentence": m.sentence, "deviation": m.deviation} for m in chosen]
        lines = [f"{m.name:42} {f'({m.deviation}) ' if m.deviation else ''}{m.sentence}" for m in chosen]
        typer.echo(json.dumps(plain, indent=1) if as_json else "\n".join(lines))
        return 0
    with Bar("mutants", len(chosen), wanted=not as_json) as bar:
        verdicts = judge_mutants(chosen, all_cases().values(), lambda verdict: bar.advance(what=verdict.mutant.name))
    if as_json:
        typer.echo(json.dumps(_plain(verdicts), indent=1, ensure_ascii=False))
    else:
        for verdict in verdicts:
            typer.echo(_line(verdict))
        typer.echo(_counts(verdicts))
    return 0 if all(verdict.as_expected for verdict in verdicts) else 1


def _line(verdict: Verdict) -> str:
    mutant = verdict.mutant
    row = f" (deviation {mutant.deviation})" if mutant.deviation else ""
    if verdict.broken:
        end = f"BROKEN: {verdict.broken}"
    elif verdict.killed:
        end = f"killed by {verdict.killer}: {verdict.difference}"
        end += "; listed as a survivor" if mutant.survives else ""
    else:
        end = f"survives: {mutant.survives}" if mutant.survives else "SURVIVES"
    return f"{mutant.name}: {mutant.sentence}{row}\n    {end}"


def _counts(verdicts: list[Verdict]) -> str:
    states = Counter(
        "broken" if v.broken else "killed" if v.killed else "listed" if v.mutant.survives else "alive" for v in verdicts
    )
    rows = {v.mutant.deviation for v in verdicts if v.mutant.deviation is not None}
    seconds = sum(v.seconds for v in verdicts)
    return (
        f"{len(verdicts)} mutants: {states['killed']} killed, {states['alive']} alive, {states['broken']} broken, "
        f"{states['listed']} listed survivors; {len(rows)} deviations of a real port; {seconds:.1f} s"
    )


def _plain(verdicts: list[Verdict]) -> dict[str, Any]:
    return {
        "format": "monolith-ref mutation table",
        "version": 1,
        "summary": _counts(verdicts),
        "mutants": [
            {
                "name": v.mutant.name,
                "sentence": v.mutant.sentence,
                "deviation": v.mutant.deviation,
                "replaces": [r.target for r in v.mutant.replacements],
                "named": list(v.mutant.killed_by),
                "killed": v.killed,
                "killer": v.killer,
                "difference": v.difference,
                "survives": v.mutant.survives,
                "broken": v.broken,
                "cases": v.cases,
                "seconds": round(v.seconds, 4),
            }
            for v in verdicts
        ],
    }
