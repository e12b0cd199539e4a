"""``monolith-ref plan``: bytes, memory and time of a job on so many ranks, before it runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monolith_ref.errors import ConfigError
from monolith_ref.progress import Bar

if TYPE_CHECKING:
    from monolith_ref.planning.prediction import Prediction
    from monolith_ref.planning.timing import Measurement
    from monolith_ref.planning.workload import Workload

__all__ = ["plan"]

RANKS = "1,2,4,8,16,64,256,1024,4096"

SETTINGS = {
    "batch_size": "training.batch_size",
    "layout": "table.layout",
    "reduction": "sync.reduction",
    "grad_wire": "sync.embedding_grad_wire",
    "dense_wire": "sync.dense_wire",
    "fusion": "sync.allreduce_fusion",
}
"""Options that stand for settings."""


def plan(
    config: Annotated[
        Path | None, typer.Argument(help="A training configuration: its model, its data, its settings.")
    ] = None,
    ranks: Annotated[str, typer.Option(help="Numbers of ranks.")] = RANKS,
    batch_size: Annotated[int | None, typer.Option(help="Rows of a global batch (455).")] = None,
    layout: Annotated[str | None, typer.Option(help="multi or merged.")] = None,
    reduction: Annotated[str | None, typer.Option(help="sequential, sum, mean or exact.")] = None,
    grad_wire: Annotated[str | None, typer.Option(help="f32 or f16.")] = None,
    dense_wire: Annotated[str | None, typer.Option(help="f32 or f16.")] = None,
    fusion: Annotated[str | None, typer.Option(help="none or one.")] = None,
    empty_rank0: Annotated[bool | None, typer.Option("--empty-rank0", help="Rank 0 owns nothing (above 4).")] = None,
    features: Annotated[int | None, typer.Option(help="Features, all alike (17).")] = None,
    dim: Annotated[int | None, typer.Option(help="Floats of an embedding (15).")] = None,
    ids_per_row: Annotated[
        str | None, typer.Option(help="Ids of a feature in a row: a number or a range (1-24).")
    ] = None,
    id_space: Annotated[int | None, typer.Option(help="Ids of a feature (100000).")] = None,
    zipf: Annotated[float | None, typer.Option(help="Exponent of the ids' frequencies (0: all alike).")] = None,
    id_stride: Annotated[int | None, typer.Option(help="Ids are multiples of this (1).")] = None,
    layers: Annotated[str | None, typer.Option(help="Units of the dense layers (64,32,1).")] = None,
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

    For a training configuration, with ids as its data has them; else for features that are all alike, as it stands the
    workload of 'monolith-ref compare'. Times need --measure or --measurement, and suppose a core a rank.

    Examples: 'monolith-ref plan --ranks 1,16,256 --zipf 1.05'; 'monolith-ref plan model.toml --measure --html
    plan.html'.
    """
    # Late: the command line shows its help without loading kernels.
    from monolith_ref.planning.prediction import predict, remarks
    from monolith_ref.planning.timing import Link, Measurement

    numbers = _numbers("--ranks", ranks)
    _check(latency, bandwidth, steps)
    _check_measurements(measure, measurement, save_measurement)
    shared = {
        "batch_size": batch_size,
        "layout": _one_of("--layout", layout, "multi", "merged"),
        "reduction": _one_of("--reduction", reduction, "sequential", "sum", "mean", "exact"),
        "grad_wire": _one_of("--grad-wire", grad_wire, "f32", "f16"),
        "dense_wire": _one_of("--dense-wire", dense_wire, "f32", "f16"),
        "fusion": _one_of("--fusion", fusion, "none", "one"),
    }
    alike = {
        "features": features,
        "dim": dim,
        "ids_per_row": ids_per_row,
        "id_space": id_space,
        "zipf": zipf,
        "id_stride": id_stride,
        "layers": layers,
        "empty_rank0": empty_rank0,
    }
    shared, alike = _given(shared), _given(alike)
    workload, measured = _alike(shared, alike) if config is None else _configured(config, shared, alike)
    with Bar("measuring", wanted=measure and not as_json):
        constants = Measurement.load(measurement) if measurement is not None else measured() if measure else None
    if constants is not None and save_measurement is not None:
        constants.save(save_measurement)
    found = predict(workload, numbers, steps, constants, Link(latency * 1e-6, bandwidth * 1e9))
    notes = _notes(steps, constants, latency, bandwidth)
    _show(found, remarks(workload, found), notes, page, as_json)
    return 0


def _check(latency: float, bandwidth: float, steps: int) -> None:
    if latency < 0 or bandwidth <= 0 or steps < 1:
        raise ConfigError("--latency must not be negative, --bandwidth and --steps must be positive")


def _check_measurements(measure: bool, measurement: Path | None, save_measurement: Path | None) -> None:
    if measure and measurement is not None:
        raise ConfigError("--measure and --measurement exclude each other")
    if save_measurement is not None and not measure:
        raise ConfigError("--save-measurement needs --measure")


def _notes(steps: int, constants: Measurement | None, latency: float, bandwidth: float) -> list[str]:
    """What the figures stand on."""
    memory = f"Memory after {steps} steps, without Python itself; bytes of all ranks together."
    if constants is None:
        return [memory, "No times: --measure takes this machine's constants, --measurement FILE saved ones."]
    about = ", ".join(f"{key} {value}" for key, value in constants.about.items())
    link = f"a link of {latency:g} us a message and {bandwidth:g} GB/s"
    return [memory, f"Times: constants of {constants.machine} ({about}); {link}; a core a rank."]


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _alike(shared: dict[str, Any], alike: dict[str, Any]) -> tuple[Workload, Callable[[], Measurement]]:
    """Features that are all alike."""
    from monolith_ref.planning.workload import Ids, plain_workload

    ids = Ids(alike.pop("id_space", 100_000), alike.pop("zipf", 0.0), alike.pop("id_stride", 1))
    if "layers" in alike:
        alike["layers"] = _numbers("--layers", alike["layers"])
    if "ids_per_row" in alike:
        alike["ids_per_row"] = _range(alike["ids_per_row"])
    if "batch_size" in shared:
        shared["rows"] = shared.pop("batch_size")
    workload = plain_workload(ids=ids, **shared, **alike)

    def measured() -> Measurement:
        from monolith_ref.planning.measure import measure

        return measure(workload)

    return workload, measured


def _configured(
    config: Path, shared: Mapping[str, Any], alike: Mapping[str, Any]
) -> tuple[Workload, Callable[[], Measurement]]:
    """What a training configuration and its data say."""
    from monolith_ref.planning.observed import Observed
    from monolith_ref.training.recipe.load import load_train_config

    if alike:
        option = f"--{next(iter(alike)).replace('_', '-')}"
        raise ConfigError(f"{option} describes features that are all alike; {config} has its own")
    observed = Observed(load_train_config(config, {SETTINGS[name]: str(value) for name, value in shared.items()}))
    return observed.workload, observed.measure


def _show(
    found: Sequence[Prediction], said: Sequence[str], notes: Sequence[str], page: Path | None, as_json: bool
) -> None:
    from rich.console import Console

    from monolith_ref.planning import page as pages

    if page is not None:
        page.write_text(pages.page(found, said, notes, "monolith-ref plan"), encoding="utf-8")
    if as_json:
        document = {"format": "monolith-ref plan 1", "remarks": list(said), "notes": list(notes)}
        typer.echo(json.dumps(document | {"predictions": [one.as_dict() for one in found]}, indent=1))
        return
    pages.print_table(found, said, notes, Console(width=None if sys.stdout.isatty() else 140))


def _one_of(option: str, text: str | None, *words: str) -> str | None:
    if text is not None and text not in words:
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
