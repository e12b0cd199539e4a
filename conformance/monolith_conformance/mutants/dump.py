"""Wrong variants of ModelDump: what is refused, the canonical form, and slices of graphs."""

from __future__ import annotations

from typing import Any

from monolith_conformance.mutants.mutant import Mutant, edit, wrap

__all__ = ["MUTANTS"]

WIRE, SLICE = "oracle.dump_wire", "oracle.dump_slice"


def _of(target: str, name: str, sentence: str, *changes: tuple[str, str], about: str, **settings: Any) -> Mutant:
    settings.setdefault("killed_by", ("dump/",))
    return Mutant(name, sentence, (edit(target, *changes),), about=frozenset({f"dump.{about}"}), **settings)


def _read(name: str, sentence: str, function: str, *changes: tuple[str, str], **settings: Any) -> Mutant:
    return _of(f"{WIRE}:{function}", name, sentence, *changes, about="read", **settings)


def _form(name: str, sentence: str, function: str, *changes: tuple[str, str], **settings: Any) -> Mutant:
    return _of(f"{WIRE}:{function}", name, sentence, *changes, about="canonical", **settings)


def _slice(name: str, sentence: str, function: str, *changes: tuple[str, str], **settings: Any) -> Mutant:
    settings.setdefault("killed_by", ("dump/slice/",))
    return _of(f"{SLICE}:{function}", name, sentence, *changes, about="slice", **settings)


MUTANTS: tuple[Mutant, ...] = (
    _read("dump-empty-read", "an empty file read as a dump of nothing", "canonical", ("if not data:", "if False:")),
    _read("dump-without-train-read", "a dump without a train model read", "read_models", ('if "train" not in models:',
        "if False:")),
    _read("dump-long-numbers-read", "numbers of eleven bytes read", "_varint", ("longest: int = 10",
        "longest: int = 11")),
    _read("dump-cut-at-the-end", "a last field that is cut read as far as it goes", "_one",
          ("if length > len(data) - body:", "if length > len(data) - body and body + length < 0:")),
    _read("dump-field-zero-read", "a field of number 0 read over", "_one", ("if number == 0 or tag >> 32:",
        "if tag >> 32:")),
    _read("dump-lonely-end-read", "the end of a group that never began read over", "_records",
        ("if kind == GROUP_END:", "if False:")),
    _read("dump-unbalanced-groups-read", "a group that another one's end closes", "_one", ("if inner != number:",
        "if False:")),
    _read("dump-deep-groups-read", "groups of any depth read", "_one", ("if depth + 1 > DEPTH:",
        "if depth + 1 > 9 * DEPTH:")),
    _read("dump-any-bytes-as-text", "text that is not UTF-8 read", "_value", ('raw.decode("utf-8")',
        'raw.decode("latin-1")')),
    _read("dump-kind-seven-read", "kinds that there are not read over", "_one",
          ('raise BadDump(f"byte {at}: kind {kind}")', "return number, kind, None, body")),
    _form("dump-first-value-stays", "the first of several values", "_field", ("last = values[-1]", "last = values[0]")),
    _form("dump-parts-not-merged", "the last part of a message that is said in parts", "_field",
          ('b"".join(values), depth)', "values[-1], depth)")),
    _form("dump-unpacked", "repeated numbers one by one", "_field", ("if field.is_packed and values:", "if False:")),
    _form("dump-defaults-written", "values written that are the default", "_field", ("if not field.has_presence and",
        "if False and")),
    _form("dump-unknown-fields-lost", "unknown fields left out", "_message", ("return out + unknown", "return out")),
    _form("dump-unknown-fields-first", "unknown fields before the known ones", "_message", ("return out + unknown",
        "return unknown + out")),
    _form("dump-fields-as-found", "fields in the order in which they were found", "_message", ("in sorted(known):",
        "in known:")),
    _form("dump-oneof-keeps-all", "all members of a oneof", "_message", ("known.pop(before, None)", "pass")),
    _form("dump-map-as-found", "map entries in the order in which they were found", "_map",
          ("sorted(found, key=lambda k: k.encode() if isinstance(k, str) else k)", "list(found)")),
    _form("dump-map-first-entry", "the first of two map entries with one key", "_entries",
          ("for entry in values:", "for entry in reversed(values):")),
    _form("dump-negative-cut", "negative numbers of five bytes", "_scalar", ("value & U64", "value & 0xFFFFFFFF")),
    _slice("slice-ignores-sources", "sources that cut nothing", "slice_lines", ("return reference in cuts or",
        "return False and")),
    _slice("slice-cuts-whole-nodes", "a source that cuts every port of its node", "slice_lines",
           ("return reference in cuts or (reference[0], \"\") in cuts",
           "return reference[0] in {name for name, _ in cuts}")),
    _slice("slice-drops-control", "control edges not followed", "slice_lines", ("waiting.append(source)",
        'waiting += [] if port == "^" else [source]')),
    _slice("slice-visits-cut-destinations", "destinations visited although they are cut", "slice_lines",
           ("for name, port in wanted if not is_cut((name, port))]", "for name, port in wanted]")),
    _slice("slice-in-order-of-visit", "nodes in order of visit", "slice_lines",
        ("[node.name for node in graph.node if node.name in kept]", "list(dict.fromkeys([*sorted(kept)]))")),
    _slice("slice-all-variables", "variables outside of the slice too", "slice_lines",
           ("for name in ordered if nodes[name].op", "for name in nodes if nodes[name].op")),
    _slice("slice-unknown-destination", "an unknown destination left out", "slice_lines",
           ('raise BadDump(f"there is no node {name}")', "return []")),
    _slice("slice-all-functions", "every function of the library", "_functions", ("while waiting:",
        "waiting += list(bodies)\n    while waiting:")),
    _slice("slice-functions-not-nested", "functions that functions call left out", "_functions",
        ("for node in bodies[name].node_def for", "for node in () for")),
    _slice("slice-cycles-allowed", "graphs that go in circles", "_refuse_cycles", ("if inside:", "if False:"),
        killed_by=("dump/",)),
    Mutant("dump-reads-nothing", "every dump refused", (wrap(f"{WIRE}:canonical",
        lambda original: lambda data: original(b"")),),
           ("dump/canonical/",), frozenset({"dump.canonical", "dump.read"})),
)  # fmt: skip
