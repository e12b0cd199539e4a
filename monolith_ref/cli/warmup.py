"""``monolith-ref warmup``: compile kernels ahead of time."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from monolith_ref.progress import Bar

__all__ = ["warmup"]


class Profile(StrEnum):
    """Rounding profiles."""

    ieee = "ieee"
    avx = "avx"


def warmup(
    profile: Annotated[Profile, typer.Option(help="Rounding profile.")] = Profile.ieee,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Compile what the main job, training and tables need, so that the next run starts at once.

    What is compiled already is loaded. Several processes may do it together: each kernel is compiled by one of them.
    Examples: 'monolith-ref warmup'; 'MONOLITH_REF_CACHE_DIR=/shared/cache monolith-ref warmup --profile avx'.
    """
    # Late: the command line shows its help without loading kernels.
    from monolith_kernels.jit import cache_directory

    from monolith_ref.warmup import stages, warm_up

    chosen = stages(profile)
    finished = []
    with Bar("stages", len(chosen), wanted=not as_json) as bar:
        for number, done in enumerate(warm_up(chosen), 1):
            finished.append(done)
            bar.advance()
            if not as_json:
                bar.print(
                    f"[{number:2}/{len(chosen)}] {done.name:40} compiled {done.compiled:3}, loaded {done.loaded:3}, "
                    f"{done.seconds:6.2f} s"
                )
    compiled, seconds = sum(done.compiled for done in finished), sum(done.seconds for done in finished)
    if as_json:
        report = {
            "profile": str(profile),
            "cache": str(cache_directory()),
            "compiled": compiled,
            "seconds": round(seconds, 3),
            "stages": [{**done._asdict(), "seconds": round(done.seconds, 3)} for done in finished],
        }
        typer.echo(json.dumps(report, indent=1))
    else:
        typer.echo(f"{compiled} kernels compiled in {seconds:.1f} s; they are in {cache_directory()}")
    return 0
