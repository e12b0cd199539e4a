"""``monolith-ref plan``: bytes, memory and time of a job on so many ranks, before it runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from monolith_ref.errors import ConfigError

__all__ = ["plan"]

RANKS = "1,2,4,8,16,64,256,1024,4096"


def plan(
    ranks: Annotated[str, typer.Option(help="Numbers of ranks.")] = RANKS,
    batch_size: Annotated[int, typer.Option(help="Rows of a global batch.")] = 455,
    features: Annotated[int, typer.Option(help="Features, all alike.")] = 17,
    dim: Annotated[int, typer.Option(help="Floats of an embedding.")] = 15,
    ids_per_row: Annotated[
        str, typer.Option(help="Ids of a feature in a row: a number, or a range FEWEST-MOST.")
    ] = "1-24",
    id_space: Annotated[int, typer.Option(help="Ids of a feature.")] = 100_000,
    zipf: Annotated[float, typer.Option(help="Exponent of the ids' frequencies; 0: all alike.")] = 0.0,
    id_stride: Annotated[int, typer.Option(help="Ids are multiples of this.")] = 1,
    layers: Annotated[str, typer.Option(help="Units of the dense layers.")] = "64,32,1",
    layout: Annotated[str, typer.Option(help="multi or merged.")] = "multi",
    reduction: Annotated[str, typer.Option(help="sequential, sum, mean or exact.")] = "sequential",
    grad_wire: Annotated[str, typer.Option(help="f32 or f16.")] = "f32",
    dense_wire: Annotated[str, typer.Option(help="f32 or f16.")] = "f32",
    fusion: Annotated[str, typer.Option(help="none or one.")] = "none",
    empty_rank0: Annotated[bool, typer.Option("--empty-rank0", help="Rank 0 owns nothing (above 4 ranks).")] = False,
    steps: Annotated[int, typer.Option(help="Steps after which memory is told.")] = 50,
    measure: Annotated[bool, typer.Option("--measure", help="Measure this machine's constants now (seconds).")] = False,
    measurement: Annotated[Path | None, typer.Option(help="Constants that were saved.")] = None,
    save_measurement: Annotated[Path | None, typer.Option(help="Where to save what --measure finds.")] = None,
    latency: Annotated[float, typer.Option(help="Microseconds a message.")] = 5.0,
    bandwidth: Annotated[float, typer.Option(help="Gigabytes a second and rank.")] = 10.0,
    page: Annotated[Path | None, typer.Option("--html", help="Write a page with charts there.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> int:
    """Predict exchanged bytes, memory a rank, step time and the skew of owners for many numbers of ranks.

    As it stands, for the workload of 'monolith-ref compare'. Times need --measure or --measurement, and suppose a core
    a rank.
    """
    # Late: the command line shows its help without loading kernels.
    from monolith_ref.planning.prediction import predict, remarks
    from monolith_ref.planning.timing import Link, Measurement
    from monolith_ref.planning.workload import Ids, plain_workload

    chosen: Any = {
        "layout": _one_of("--layout", layout, "multi", "merged"),
        "reduction": _one_of("--reduction", reduction, "sequential", "sum", "mean", "exact"),
        "grad_wire": _one_of("--grad-wire", grad_wire, "f32", "f16"),
        "dense_wire": _one_of("--dense-wire", dense_wire, "f32", "f16"),
        "fusion": _one_of("--fusion", fusion, "none", "one"),
    }
    workload = plain_workload(
        features=features,
        dim=dim,
        ids_per_row=_range(ids_per_row),
        ids=Ids(id_space, zipf, id_stride),
        rows=batch_size,
        layers=_numbers("--layers", layers),
        empty_rank0=empty_rank0,
        **chosen,
    )
    numbers = _numbers("--ranks", ranks)
    if latency < 0 or bandwidth <= 0 or steps < 1:
        raise ConfigError("--latency must not be negative, --bandwidth and --steps must be positive")
    if measure and measurement is not None:
        raise ConfigError("--measure and --measurement exclude each other")
    if save_measurement is not None and not measure:
        raise ConfigError("--save-measurement needs --measure")
    constants = Measurement.load(measurement) if measurement is not None else None
    if measure:
        from monolith_ref.planning.measure import measure as measure_now

        constants = measure_now(workload)
        if save_measurement is not None:
            constants.save(save_measurement)
    found = predict(workload, numbers, steps, constants, Link(latency * 1e-6, bandwidth * 1e9))
    said = remarks(workload, found)
    notes = [f"Memory after {steps} steps, without Python itself; bytes of all ranks together."]
    if constants is None:
        notes.append("No times: --measure takes this machine's constants, --measurement FILE saved ones.")
    else:
        notes.append(
            f"Times: constants of {constants.machine} ({_about(constants.about)}); a link of {latency:g} us a message "
            f"and {bandwidth:g} GB/s; a core a rank."
        )
    _show(found, said, notes, page, as_json)
    return 0


def _show(found: Any, said: list[str], notes: list[str], page: Path | None, as_json: bool) -> None:
    from rich.console import Console

    from monolith_ref.planning import page as pages

    if page is not None:
        page.write_text(pages.page(found, said, notes, "monolith-ref plan"), encoding="utf-8")
    if as_json:
        document = {"format": "monolith-ref plan 1", "remarks": said, "notes": notes}
        typer.echo(json.dumps(document | {"predictions": [one.as_dict() for one in found]}, indent=1))
        return
    pages.print_table(found, said, notes, Console(width=None if sys.stdout.isatty() else 140))


def _about(about: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in about.items())


def _one_of(option: str, text: str, *words: str) -> str:
    if text not in words:
        raise ConfigError(f"{option} must be {', '.join(words[:-1])} or {words[-1]}, not {text!r}")
    return text


def _numbers(option: str, text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ConfigError(f"{option} must be whole numbers from 1 on with commas between them, not {text!r}")
    return [int(part) for part in parts]


def _range(text: str) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    if not low.isdecimal() or (dash and not high.isdecimal()):
        raise ConfigError(f"--ids-per-row must be a number or a range, as 1-24, not {text!r}")
    return int(low), int(high if dash else low)
