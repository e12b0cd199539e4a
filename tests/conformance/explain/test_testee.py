"""The example in C conforms to what it claims, and is found out, by name, when one of its lines is changed."""

from __future__ import annotations

import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest
from monolith_conformance.whole_run import RunRequest, run_suite

SOURCE = Path(str(files("monolith_conformance") / "testees" / "testee.c"))
SELECTED = ("core/optimizer.adagrad/adagrad-p0", "core/optimizer.adagrad/quotient", "table/duplicates")


def _built(folder: Path, *change: str) -> str:
    if shutil.which("cc") is None:
        pytest.skip("no cc on this machine")
    text = SOURCE.read_text()
    if change:
        assert text.count(change[0]) == 1
        text = text.replace(*change)
    (folder / "port.c").write_text(text)
    command = ["cc", "-O2", "-std=c99", "-ffp-contract=off", "-o", str(folder / "port"), str(folder / "port.c"), "-lm"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return f"testee:{folder / 'port'}"


def test_as_it_is_it_passes_all_that_it_claims(tmp_path: Path) -> None:
    summary = run_suite(RunRequest(_built(tmp_path), encoding="json", selection=SELECTED))
    assert summary.count("failed") == summary.count("fault") == 0
    assert summary.count("passed") > 15


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        (
            "float e = lr / sqrtf(*norm); *w = *w - e * g;",
            "*w = *w - lr * g / sqrtf(*norm);",
            "the rate multiplied by the gradient before it is divided by the root",
        ),
        (
            "*norm = *norm + g * g; float e = lr / sqrtf(*norm);",
            "float e = lr / sqrtf(*norm); *norm = *norm + g * g;",
            "the root of the accumulator before the step",
        ),
        (
            'strstr(line, "\\"dedup\\":true")',
            "0",
            "one step a duplicate where the sum was asked for",
        ),
    ],
)
def test_one_line_changed_is_found_and_named(tmp_path: Path, old: str, new: str, cause: str) -> None:
    summary = run_suite(RunRequest(_built(tmp_path, old, new), encoding="json", selection=SELECTED))
    failed = [o for o in summary.outcomes.values() if o.status == "failed"]
    assert failed
    assert any(f"equals the rule with {cause}" in o.cause for o in failed)
    assert all(o.smallest is not None and len(o.smallest.steps) <= 4 for o in failed)
