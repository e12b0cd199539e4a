"""``monolith-ref table verify | show | diff | convert``: look into table, filter and checkpoint files of any origin."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import typer

from monolith_ref.errors import ArgumentError, ConfigError
from monolith_ref.progress import Bar

__all__ = ["table_app"]

table_app = typer.Typer(
    help="Look into table, filter and checkpoint files, ours or foreign: verify, show, diff, convert.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

PREFIX = typer.Argument(..., help="Basename of the files, a job's <dir>/model.ckpt-<step>, a manifest, or a folder.")
CONFIG = typer.Option(None, "--config", help="File with the configuration message of foreign tables.")
AS_JSON = typer.Option(False, "--json", help="Print one JSON object.")
FIDS = typer.Option(None, "--fid", help="Show the rows of this id (decimal or 0x...); may be repeated.")
TABLE = typer.Option(None, "--table", help="Only this table.")


def _contents(prefix: str, config: Path | None, bar: Bar) -> Any:
    from monolith_ref.checkpoint.inspect import open_contents

    contents = open_contents(prefix, *_configs(config))
    contents.bar = bar
    return contents


def _configs(config: Path | None) -> tuple[Any, Any]:
    from monolith_ref.checkpoint.inspect import read_configs

    if config is None:
        return None, None
    try:
        return read_configs(config)
    except OSError as error:
        raise ConfigError(f"{config}: cannot be read: {error.strerror}") from None


def _print_json(data: Any) -> None:
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))


def _console() -> Any:
    from rich.console import Console

    wide = None if sys.stdout.isatty() else 160
    return Console(file=sys.stdout, width=wide, markup=False, highlight=False, soft_wrap=False)


def _grid(columns: list[str], rows: list[list[Any]], title: str | None = None) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(*columns, title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"
    for row in rows:
        table.add_row(*(_text(cell) for cell in row))
    return table


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6g}"
    return str(value)


@table_app.command("verify")
def verify_command(prefix: str = PREFIX, config: Path | None = CONFIG, as_json: bool = AS_JSON) -> None:
    """List everything that is wrong with the files; exit 1 if an error is among it (warnings alone: 0).

    Examples: 'monolith-ref table verify run/model.ckpt-50'; 'monolith-ref table verify run --json'.
    """
    from monolith_ref.checkpoint.verify import verify

    with Bar("looking", wanted=not as_json) as bar:
        findings = verify(prefix, *_configs(config), bar)
    if as_json:
        _print_json(findings.to_json())
    else:
        _show_findings(findings)
    raise typer.Exit(1 if findings.errors else 0)


def _show_findings(findings: Any) -> None:
    console = _console()
    if findings.listed:
        rows = [
            [f.severity, f.code, f.file, None if f.record is None else str(f.record), _offset(f.offset), f.text]
            for f in findings.listed
        ]
        console.print(_grid(["severity", "code", "file", "record", "byte", "what"], rows))
    rows_of = ", ".join(f"{name} {count:,}" for name, count in findings.rows.items())
    console.print(
        f"{findings.prefix}: {findings.kind or 'nothing'}; {findings.files:,} files, {findings.records:,} records"
        + (f"; rows: {rows_of}" if rows_of else "")
    )
    console.print(f"{findings.errors:,} errors, {findings.warnings:,} warnings")


def _offset(offset: int | None) -> str | None:
    return None if offset is None else str(offset)


@table_app.command("show")
def show_command(
    prefix: str = PREFIX,
    fid: list[str] | None = FIDS,
    table: str | None = TABLE,
    top: int = typer.Option(8, "--top", min=0, help="How many of the largest slots to list."),
    config: Path | None = CONFIG,
    as_json: bool = AS_JSON,
) -> None:
    """Counts, dims, optimizers, slots, ages and norms; or single rows by fid (exit 1 if one is not there).

    Examples: 'monolith-ref table show run/model.ckpt-50'; 'monolith-ref table show PREFIX --fid 0x1f --json'.
    """
    from monolith_ref.checkpoint.summary import rows_by_fid, summarize

    fids = [_parse_fid(text) for text in fid or ()]
    with Bar("looking", wanted=not as_json) as bar:
        contents = _contents(prefix, config, bar)
        rows = rows_by_fid(contents, fids, table) if fids else []
        data = {} if fids else summarize(contents, top)
    if fids:
        missing = sorted(set(fids) - {row["fid"] for row in rows})
        if as_json:
            _print_json({"rows": rows, "missing": missing})
        else:
            _show_rows(rows, missing)
        raise typer.Exit(1 if missing else 0)
    if table is not None:
        data["tables"] = [item for item in data["tables"] if item["name"] == table]
        if not data["tables"]:
            raise ArgumentError(f"{prefix} has no table {table}")
    if as_json:
        _print_json(data)
    else:
        _show_summary(data)


def _parse_fid(text: str) -> int:
    try:
        value = int(text, 0)
    except ValueError:
        raise ArgumentError(f"--fid {text!r} is no integer") from None
    if not -(2**63) <= value < 2**64:
        raise ArgumentError(f"--fid {text} does not fit 64 bits")
    return value - 2**64 if value >= 2**63 else value


def _show_rows(rows: list[dict[str, Any]], missing: list[int]) -> None:
    console = _console()
    for row in rows:
        place = f"{row['file']}, record {row['record']}, byte {row['offset']}"
        slots = f"slot {row['slot_v2']} (v1: {row['slot_v1']})"
        console.print(f"fid {row['fid']} = 0x{row['hex']}, {slots}, table {row['table']}, time {row['update_time']}")
        console.print(f"  {place}")
        lines = _value_lines("weights", row["weights"])
        for k, element in enumerate(row["state"]):
            fields = {name: values for name, values in element.items() if name != "rule"}
            for name, values in fields.items():
                lines += _value_lines(f"segment {k} {element['rule']}.{name}", values)
            if not fields:
                lines.append([f"segment {k} {element['rule'] or 'nothing dumped'}", None, None, None])
        console.print(_grid(["field", "index", "value", "bits"], lines))
    for value in missing:
        console.print(f"no row of fid {value}")


def _value_lines(name: str, values: dict[str, Any]) -> list[list[Any]]:
    if "ints" in values:
        return [[name, str(k), str(value), None] for k, value in enumerate(values["ints"])]
    pairs = zip(values["floats"], values["bits"], strict=True)
    return [[name, str(k), str(value), bits] for k, (value, bits) in enumerate(pairs)]


def _show_summary(data: dict[str, Any]) -> None:
    console = _console()
    size = sum(item["bytes"] for item in data["files"])
    console.print(f"{data['prefix']}: {len(data['files'])} files, {size:,} bytes")
    described = {key: value for key, value in data["set"].items() if value not in (None, [], {})}
    console.print(", ".join(f"{key} {_short(value)}" for key, value in described.items()))
    rows = []
    for item in data["tables"]:
        shapes = " | ".join(f"{shape['dim']}: {', '.join(shape['optimizers'])}" for shape in item["shapes"])
        rows.append([item["name"], item["kind"], item["rows"], shapes, item["zero_rows"], item["not_finite_rows"]])
    console.print(_grid(["table", "kind", "rows", "dim: optimizers", "zero rows", "not finite"], rows))
    rows = []
    for item in data["tables"]:
        for name in ("age_days", "norm"):
            spread = item[name] or {}
            rows.append([item["name"], name, *(spread.get(key) for key in ("least", "median", "mean", "most"))])
    if rows:
        console.print(_grid(["table", "", "least", "median", "mean", "most"], rows))
    rows = [
        [item["name"], item["slots"]["distinct"], ", ".join(f"{s}: {n:,}" for s, n in item["slots"]["largest"])]
        for item in data["tables"]
        if item["rows"]
    ]
    if rows:
        console.print(_grid(["table", "slots", "largest (slot: rows)"], rows))
    if data["filters"]:
        keys = ["name", "kind", "splits", "missing", "total_size", "head", "failure_count"]
        rows = [[item[key] for key in keys] + [sum(item["num_elements"])] for item in data["filters"]]
        console.print(_grid([*keys, "elements"], rows, "filters"))
    if data["dense"]:
        rows = [[item["name"], item["dtype"], str(item["shape"])] for item in data["dense"]]
        console.print(_grid(["dense variable", "dtype", "shape"], rows))


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)
    return text if len(text) <= 200 else text[:200] + "…"


@table_app.command("diff")
def diff_command(
    first: str = typer.Argument(..., help="One prefix."),
    second: str = typer.Argument(..., help="Another."),
    table: str | None = TABLE,
    limit: int = typer.Option(20, "--limit", min=0, help="How many rows to explain a table."),
    ignore_times: bool = typer.Option(False, "--ignore-times", help="Do not compare update times."),
    config: Path | None = CONFIG,
    as_json: bool = AS_JSON,
) -> None:
    """Explain what differs between two checkpoints: fids, fields, bits and ulps; exit 1 if anything does.

    Example: 'monolith-ref table diff run-a/model.ckpt-50 run-b/model.ckpt-50'.
    """
    from monolith_ref.checkpoint.diff import compare

    with Bar("looking", wanted=not as_json) as bar:
        sides = _contents(first, config, bar), _contents(second, config, bar)
        result = compare(*sides, table, limit, not ignore_times)
    if as_json:
        _print_json(result)
    else:
        _show_diff(result)
    raise typer.Exit(0 if result["equal"] else 1)


def _show_diff(result: dict[str, Any]) -> None:
    console = _console()
    for side in ("a", "b"):
        for name in result[f"tables_only_{side}"]:
            console.print(f"table {name} is only in {result[side]}")
    keys = ["rows_a", "rows_b", "different_rows", "different_elements", "most_ulps"]
    rows = [
        [t["table"], *(t[key] for key in keys), t["only_a"]["count"], t["only_b"]["count"]] for t in result["tables"]
    ]
    if rows:
        console.print(_grid(["table", *(key.replace("_", " ") for key in keys), "only a", "only b"], rows))
    for item in result["tables"]:
        for side in ("a", "b"):
            if item[f"only_{side}"]["fids"]:
                fids = ", ".join(str(fid) for fid in item[f"only_{side}"]["fids"])
                console.print(f"table {item['table']}, only in {side}: {fids}")
        if len(set(item.get("max_ts", [0]))) > 1:
            console.print(f"table {item['table']}: max_ts {item['max_ts'][0]} and {item['max_ts'][1]}")
        lines: list[list[Any]] = []
        for row in item["rows"]:
            where = [str(row["fid"]), str(row["slot"])]
            if "shape" in row:
                lines.append([*where, "shape", None, row["shape"][0], row["shape"][1], None, None])
            for part in row.get("elements", []):
                bits = " ".join(part.get("bits", []))
                place = [part["field"], str(part["index"]), part["a"], part["b"], bits, part.get("ulps")]
                lines.append([*where, *place])
        if lines:
            columns = ["fid", "slot", "field", "index", "a", "b", "bits", "ulps"]
            console.print(_grid(columns, lines, f"table {item['table']}"))
    for variable in result["dense"]:
        what = ", ".join(f"{key} {value}" for key, value in variable.items() if key != "name")
        console.print(f"dense variable {variable['name']}: {what}")
    console.print("equal" if result["equal"] else "different")


@table_app.command("convert")
def convert_command(
    source: str = PREFIX,
    target: str = typer.Argument(..., help="Basename, file or (for several tables, or a job) folder to write."),
    form: str | None = typer.Option(None, "--format", help="single, multi, job, npz or parquet; else as it is."),
    shards: int = typer.Option(-1, "--shards", help="Files per table, or ranks of a job; -1: as the original would."),
    table: str | None = TABLE,
    reset_filters: bool = typer.Option(False, "--reset-filters", help="Let a job's filter counts go, if they must."),
    config: Path | None = CONFIG,
    as_json: bool = AS_JSON,
) -> None:
    """Write tables anew: other shards or ranks, another format, a chain of increments folded into one set.

    Examples: 'monolith-ref table convert PREFIX rows.parquet --format parquet'; 'monolith-ref table convert
    run/model.ckpt-50 out --shards 3'.
    """
    from monolith_ref.checkpoint.convert import FORMATS, convert

    if form is not None and form not in FORMATS:
        raise ArgumentError(f"--format must be one of {', '.join(FORMATS)}, not {form!r}")
    chosen = next((known for known in FORMATS if known == form), None)
    with Bar("looking", wanted=not as_json) as bar:
        contents = _contents(source, config, bar)
        written = convert(contents, target, chosen, shards=shards, only=table, reset_filters=reset_filters)
    if as_json:
        _print_json({"written": [str(path) for path in written]})
    else:
        for path in written:
            typer.echo(str(path))
