"""``monolith-ref dump show | verify | diff | slice | graph | build``: ModelDump files, safely. Rule: model_dump."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import typer

from monolith_ref.errors import ConfigError, DumpError
from monolith_ref.progress import Bar

__all__ = ["dump_app"]

dump_app = typer.Typer(
    help="Look into ModelDump files, check, compare and cut them. Nothing in a file is ever executed.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

FILE = typer.Argument(..., help="A model_dump file.")
OUTPUT = typer.Option(..., "--output", "-o", help="File to write; it is replaced as a whole.")
LEFT = typer.Argument(..., help="A model_dump file.")
RIGHT = typer.Argument(..., help="The file to compare it with.")
DEST = typer.Option([], "--dest", "-d", help="A node or tensor that is wanted (may be repeated).")
SOURCE = typer.Option([], "--source", "-s", help="A node or tensor to cut at (may be repeated).")
MAP = typer.Option([], "--map", help="KEY=REFERENCE: cut at KEY and put REFERENCE in its place.")
DOCUMENT = typer.Argument(..., help="What 'dump show --json' printed, as it was or edited.")
INDENT = 1


def _read(path: Path) -> Any:
    from monolith_ref.model_dump.file import read_dump

    return read_dump(path)


def _write(path: Path, data: bytes) -> None:
    from monolith_ref.model_dump.file import replace_file

    replace_file(path, [data])


def _print_json(value: Any) -> None:
    json.dump(value, sys.stdout, indent=INDENT, ensure_ascii=True)
    sys.stdout.write("\n")


@dump_app.command()
def show(
    file: Path = FILE,
    as_json: bool = typer.Option(False, "--json", help="Everything as JSON; 'dump build' makes the same bytes of it."),
    as_pbtxt: bool = typer.Option(False, "--pbtxt", help="The message in protobuf's text format."),
    everything: bool = typer.Option(False, "--all", help="Do not cut long lists short."),
) -> None:
    """Show a file: in words, or with --json or --pbtxt as a whole.

    Examples: 'monolith-ref dump show model_dump'; 'monolith-ref dump show model_dump --json > dump.json'.
    """
    if as_json and as_pbtxt:
        raise ConfigError("--json and --pbtxt exclude each other")
    with Bar("reading", wanted=not as_json):
        dump = _read(file)
    if as_json:
        from monolith_ref.model_dump.jsonform import to_json

        _print_json(to_json(dump.raw))
    elif as_pbtxt:
        from google.protobuf import text_format

        sys.stdout.write(text_format.MessageToString(dump.message, as_utf8=True, print_unknown_fields=True))
    else:
        from monolith_ref.model_dump.show import show_lines

        with Bar("looking"):
            lines = list(show_lines(dump, everything=everything))
        for line in lines:
            typer.echo(line)


@dump_app.command()
def verify(
    file: Path = FILE,
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Check a file; exit code 1 where it has errors (warnings alone do not count).

    Example: 'monolith-ref dump verify model_dump'.
    """
    import dataclasses

    from monolith_ref.model_dump.verify import verify as check

    with Bar("verifying", wanted=not as_json):
        report = check(file)
    if as_json:
        findings = [dataclasses.asdict(finding) for finding in report.findings]
        _print_json({"ok": report.ok, "checked": report.checked, "findings": findings})
    else:
        for finding in report.findings:
            typer.echo(f"{finding.severity}: {finding.code}: {finding.where}: {finding.what}")
        looked = ", ".join(f"{count} {name}" for name, count in sorted(report.checked.items()))
        errors = sum(finding.severity == "error" for finding in report.findings)
        state = "sound" if report.ok else f"{errors} errors"
        typer.echo(f"{file}: {state}, {len(report.findings) - errors} warnings; checked {looked or 'nothing'}")
    if not report.ok:
        raise typer.Exit(1)


@dump_app.command()
def diff(
    left: Path = LEFT,
    right: Path = RIGHT,
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Compare two files field by field; exit code 1 where they differ in content.

    Example: 'monolith-ref dump diff before after --json'.
    """
    import dataclasses

    from monolith_ref.model_dump.diff import diff_dumps

    with Bar("comparing", wanted=not as_json):
        raws = _read(left).raw, _read(right).raw
        found = diff_dumps(*raws)
    same_bytes = raws[0] == raws[1]
    if as_json:
        _print_json({"same_bytes": same_bytes, "differences": [dataclasses.asdict(item) for item in found]})
    else:
        for item in found:
            typer.echo(str(item))
        if not found:
            typer.echo("the same bytes" if same_bytes else "the same content, in other bytes")
    if found:
        raise typer.Exit(1)


def _model_of(dump: Any, name: str) -> Any:
    """A mode (``train``), or a place (``ps_sub_model_dump{ps_0}``)."""
    from monolith_ref.model_dump.payloads import located_models

    models = {model.where: model.proto for model in located_models(dump.message)}
    found = models.get(name, models.get(f"model_dump{{{name}}}"))
    if found is None:
        raise DumpError(f"there is no model '{name}'; there are: {', '.join(models)}", kind="missing_mode")
    return found


def _pairs(texts: list[str]) -> dict[str, str]:
    out = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key or not value:
            raise ConfigError(f"--map is KEY=REFERENCE, not {text!r}")
        out[key] = value
    return out


@dump_app.command(name="slice")
def slice_(
    file: Path = FILE,
    dest: list[str] = DEST,
    source: list[str] = SOURCE,
    model: str = typer.Option("train", "--model", "-m", help="train, infer, or a place like ps_sub_model_dump{ps_0}."),
    mapped: list[str] = MAP,
    original: str = typer.Option("", "--original", help="newest or fork: cut as the original's helper does."),
    no_library: bool = typer.Option(False, "--no-library", help="With --original: without functions."),
    output: Path = OUTPUT,
    as_json: bool = typer.Option(False, "--json", help="Print what the slice holds and needs as JSON."),
) -> None:
    """Write a sub-graph (a GraphDef, canonical bytes) and say what it needs from outside.

    Without --dest: the model function's predictions and loss, cut at the embedding slices and dense inputs.

    Example: 'monolith-ref dump slice model_dump --dest pred:0 -o serving_dump'.
    """
    import dataclasses

    from monolith_ref.model_dump.canonical import canonical_bytes
    from monolith_ref.model_dump.graphs import OriginalSlicer, Slicer, parse_graph

    with Bar("reading", wanted=not as_json):
        proto = _model_of(_read(file), model)
        graph = parse_graph(proto.graph_def)
    if not dest:
        dest = [name for name in (*proto.model_fn.predict, proto.model_fn.loss) if name]
        if not source and not mapped:
            source = [name for item in proto.emb_slices for name in item.output_tensor_names]
            source += [name for _, name in sorted(proto.model_fn.non_ragged_features.items())]
    if original:
        try:
            cut = OriginalSlicer(graph, original).sub_graph(dest, source, not no_library)
        except (AssertionError, KeyError, TypeError) as error:
            raise DumpError(f"the original refuses: {error}", kind=type(error).__name__) from None
        shown: dict[str, Any] = {
            "nodes": cut.nodes,
            "variables": cut.variables,
            "functions": cut.functions,
            "unresolved_inputs": [dataclasses.asdict(item) for item in cut.unresolved_inputs],
        }
        made = cut.graph
    else:
        found = Slicer(graph, proto.save_slice_info).slice(dest, source, input_map=_pairs(mapped))
        shown = {
            "nodes": found.nodes,
            "external_inputs": [dataclasses.asdict(item) for item in found.external_inputs],
            "external_dests": found.external_dests,
            "variables": [dataclasses.asdict(item) for item in found.variables],
            "functions": found.functions,
            "gradients": [list(pair) for pair in found.gradients],
        }
        made = found.graph
    data = canonical_bytes(made)
    _write(output, data)
    if as_json:
        _print_json(shown)
        return
    typer.echo(f"{output}: {len(data)} bytes, {len(shown['nodes'])} of {len(graph.node)} nodes")
    for name, value in shown.items():
        if name != "nodes" and value:
            typer.echo(f"{name}:")
            for item in value:
                typer.echo(f"  {_line(item)}")


def _line(item: Any) -> str:
    if isinstance(item, dict) and "consumers" in item:
        users = item["consumers"]
        rest = f" and {len(users) - 5} more" if len(users) > 5 else ""
        return f"{item['ref']} -> {', '.join(users[:5])}{rest}"
    if isinstance(item, dict):
        return ", ".join(f"{key} {value}" for key, value in item.items() if value not in (None, "", []))
    return " -> ".join(item) if isinstance(item, list) else str(item)


@dump_app.command()
def graph(file: Path = FILE, output: Path = OUTPUT) -> None:
    """Draw the model as one interactive HTML page: features, tables, slices, heads.

    Example: 'monolith-ref dump graph model_dump -o graph.html'.
    """
    from monolith_ref.model_dump.page import render_page

    with Bar("drawing"):
        page = render_page(_read(file).message, file.name).encode("utf-8")
    _write(output, page)
    typer.echo(f"{output}: {len(page)} bytes; open it in a browser")


@dump_app.command()
def build(
    document: Path = DOCUMENT,
    output: Path = OUTPUT,
    canonical: bool = typer.Option(False, "--canonical", help="In canonical form, without departures."),
) -> None:
    """Make the file again from its JSON: the same bytes, or those of the edited message.

    Example: 'monolith-ref dump build dump.json -o model_dump'.
    """
    from monolith_ref.model_dump.canonical import canonical_bytes
    from monolith_ref.model_dump.file import parse_dump
    from monolith_ref.model_dump.jsonform import build as make

    try:
        value = json.loads(document.read_text(encoding="utf-8"))
    except OSError as error:
        raise DumpError(str(error.strerror), kind="unreadable", path=str(document)) from None
    except (ValueError, RecursionError) as error:
        raise DumpError(f"not JSON ({error})", kind="bad_json", path=str(document)) from None
    with Bar("building"):
        data = make(value)
        if canonical:
            data = canonical_bytes(parse_dump(data))
    _write(output, data)
    typer.echo(f"{output}: {len(data)} bytes")
