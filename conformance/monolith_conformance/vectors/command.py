"""``monolith-ref conform vectors DIR``: replay golden vectors and say where the first difference is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monolith_ref.errors import ConfigError
from monolith_ref.progress import Bar

if TYPE_CHECKING:
    from monolith_conformance.vectors.run import FileResult

__all__ = ["register"]

_TARGETS = ("cpu", "cuda", "oracle")
_PROFILES = ("ieee", "avx")
_SIMULATOR = "NUMBA_ENABLE_CUDASIM"
_WIDTH = (34, 28, 7, 7, 7, 12)


def register(app: typer.Typer) -> None:
    """Add the command to ``monolith-ref conform``."""
    app.command("vectors")(vectors)


def vectors(
    directory: Annotated[
        Path | None,
        typer.Argument(help="Folder of vector files, or one file; default: the ones that come with the suite."),
    ] = None,
    target: Annotated[
        str,
        typer.Option(
            "--target",
            "--targets",
            help="cpu, cuda (the simulator where no device is) or oracle; or several: cpu,cuda.",
        ),
    ] = "cpu",
    profile: Annotated[str, typer.Option(help="Rounding contract: ieee, avx, or both: ieee,avx.")] = "ieee",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> int:
    """Replay golden vectors; exit code 1 where a case fails or a file is of no known kind.

    Cases with quirks run with exactly those switched on, others under every preset.

    Example: 'monolith-ref conform vectors golden/vectors --target cpu --profile avx'.
    """
    targets = _chosen("--target", target, _TARGETS)
    profiles = _chosen("--profile", profile, _PROFILES)
    root = Path(__file__).parent.parent / "golden" / "vectors" if directory is None else directory
    files = [root] if root.is_file() else sorted(root.glob("*.json"))
    if not files:
        raise ConfigError(f"{root}: no vector files (*.json) there")
    if "cuda" in targets and not _cuda_ready():
        return _in_simulator()
    from monolith_conformance.vectors.registry import Setting
    from monolith_conformance.vectors.run import replay_file

    results = []
    with Bar("files", len(targets) * len(profiles) * len(files), wanted=not as_json) as bar:
        for setting in (Setting(name, chosen) for name in targets for chosen in profiles):
            for path in files:
                bar.update(what=f"{setting.target}, {setting.profile}: {path.name}")
                results.append(replay_file(path, setting))
                bar.advance()
    typer.echo(_as_json(results) if as_json else _as_table(results))
    return 1 if any(result.failed for result in results) else 0


def _chosen(option: str, text: str, known: tuple[str, ...]) -> list[str]:
    names = list(dict.fromkeys(text.replace(",", " ").split()))
    for name in names:
        if name not in known:
            raise ConfigError(f"{option} must be one or several of {', '.join(known)}, got {name!r}")
    if not names:
        raise ConfigError(f"{option} needs a name: {', '.join(known)}")
    return names


def _cuda_ready() -> bool:
    """Whether CUDA kernels run in this process: on a device, or in the simulator (chosen before numba is imported)."""
    if os.environ.get(_SIMULATOR) == "1":
        return True
    if "numba" not in sys.modules and not _has_device():
        os.environ[_SIMULATOR] = "1"
        typer.echo("no CUDA device: running in the simulator", err=True)
        return True
    return _has_device()


def _has_device() -> bool:
    """Whether the driver finds a device; asked without numba, which must not be imported yet."""
    import ctypes

    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def _in_simulator() -> int:
    """Run the same command in a process that begins with the simulator."""
    line = [sys.executable, "-m", "monolith_ref", *sys.argv[1:]]
    return subprocess.run(line, env={**os.environ, _SIMULATOR: "1"}, check=False).returncode


def _as_json(results: list[FileResult]) -> str:
    return json.dumps(
        {"files": [result.as_json() for result in results], "failed": any(result.failed for result in results)},
        indent=1,
    )


def _line(*cells: object) -> str:
    texts = [
        str(cell).ljust(width) if k < 2 else str(cell).rjust(width)
        for k, (cell, width) in enumerate(zip(cells, _WIDTH, strict=False))
    ]
    return " ".join(texts).rstrip()


def _as_table(results: list[FileResult]) -> str:
    lines: list[str] = []
    for setting in dict.fromkeys(result.setting for result in results):
        mine = [result for result in results if result.setting == setting]
        lines += [
            f"target {setting.target}, profile {setting.profile}",
            _line("file", "rule", "passed", "failed", "unsupp."),
        ]
        totals = {"passed": 0, "failed": 0, "unsupported": 0}
        for result in mine:
            if result.problem:
                lines.append(f"{result.problem}")
            for rule, counts in result.counts().items():
                lines.append(_line(result.name, rule, *counts.values()))
                for status, count in counts.items():
                    totals[status] += count
        lines.append(_line("total", "", *totals.values()))
        for result in mine:
            for status in ("failed", "unsupported"):
                first = result.first(status)
                if first is not None:
                    lines.append(f"first {status} of {result.name}: {first.case}: {first.note}")
        lines.append("")
    return "\n".join(lines).rstrip()
