"""Everything that ``conform export`` writes."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from monolith_conformance.cases import all_cases
from monolith_conformance.export.bundle import Bundle
from monolith_conformance.export.comparison import add_comparison
from monolith_conformance.export.ids import check_ids, retired_ids
from monolith_conformance.export.rejects import add_rejects
from monolith_conformance.export.traces import add_traces
from monolith_ref.errors import ArgumentError
from monolith_ref.progress import Bar

__all__ = ["export_all"]

VECTORS = {
    "entry_configs": ("configs", "configuration classes and the messages that they make"),
    "features": ("vectors", "combiners, layouts, segment sums, clipping, the dense half"),
    "filters": ("vectors", "admission filters"),
    "learning_rates": ("vectors", "learning rates step by step"),
    "table_traces": ("table_traces", "operations on one hash table, in order"),
}
OTHER_ROWS = ("combination", "retrievers", "compressors", "initializers", "restore", "dc")


def export_all(
    folder: Path, comparison_steps: int = 50, whole_steps: int = 2, bar: Bar | None = None
) -> tuple[int, int]:
    """Write everything into ``folder``; returns (files, bytes). ``bar`` counts what is recorded.

    Raises
    ------
    ArgumentError
        Where there are no such steps.
    StateError
        Where the folder holds something else, or case ids were lost or used again.
    """
    if not 0 <= comparison_steps <= 50:
        raise ArgumentError(f"{comparison_steps} steps; the comparison run has 0 to 50")
    cases = all_cases()
    check_ids(cases)
    bundle = Bundle(folder)
    _add_vectors(bundle)
    _add_golden(bundle)
    bar = bar if bar is not None else Bar("cases", wanted=False)
    left_out = add_traces(bundle, cases.values(), bar)
    add_rejects(bundle)
    bundle.add_json(
        "cases.json",
        {
            "cases": [
                {
                    "id": case.id,
                    "rule": case.rule,
                    "section": case.section,
                    "required": case.required,
                    "generated": case.generated,
                    "needs": sorted(case.needs),
                    "quirks": sorted(case.quirks),
                    "without": sorted(case.without),
                    "profiles": list(case.profiles),
                }
                for case in cases.values()
            ],
            "not_recorded": left_out,
            "retired": retired_ids(),
        },
        "cases",
        "every case of the suite, those that are not recorded and why, and retired ids",
        schema="cases",
    )
    if comparison_steps:
        add_comparison(bundle, comparison_steps, min(whole_steps, comparison_steps), bar)
    about = (files("monolith_conformance") / "export" / "README.md").read_text()
    bundle.add("README.md", about, "text", "what is here and how to read it")
    count = bundle.finish()
    return count, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _add_vectors(bundle: Bundle) -> None:
    vectors = files("monolith_conformance") / "golden" / "vectors"
    for path in sorted(vectors.iterdir(), key=lambda path: path.name):
        name = path.name.removesuffix(".json")
        if name == path.name:
            continue
        if name in VECTORS:
            schema, about = VECTORS[name]
        else:
            rule = name.removeprefix("rows_")
            schema = "vectors" if rule in OTHER_ROWS else "rows"
            about = f"rows of {rule.replace('_', ' ')}, step by step"
        bundle.add(f"vectors/{path.name}", path.read_bytes(), "vectors", about, schema=schema)


def _add_golden(bundle: Bundle) -> None:
    golden = files("monolith_conformance") / "golden"
    for folder, about in (("records", "record files of a reference writer"), ("model_dump", "ModelDump files")):
        for path in sorted((golden / folder).iterdir(), key=lambda path: path.name):
            kind = "text" if path.name.endswith(".md") else "golden"
            bundle.add(f"golden/{folder}/{path.name}", path.read_bytes(), kind, about)
