"""A run of the suite as files: JSON with a schema, and JUnit for whoever reads that."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from monolith_conformance.explain.words import request_words
from monolith_conformance.outcome import Outcome, RunSummary
from monolith_conformance.transcript import Mismatch
from monolith_ref.errors import FormatError

__all__ = ["REPORT_FORMAT", "REPORT_VERSION", "as_json", "load_report", "write_json", "write_junit"]

REPORT_FORMAT = "monolith-ref conformance report"
REPORT_VERSION = 1


def as_json(summary: RunSummary) -> dict[str, Any]:
    """The run as plain values (schema: ``report.schema.json`` beside this file)."""
    return {
        "format": REPORT_FORMAT,
        "version": REPORT_VERSION,
        "suite": summary.suite,
        "backend": {
            "name": summary.backend,
            "version": summary.version,
            "language": summary.language,
            "capabilities": list(summary.capabilities),
        },
        "profile": summary.profile,
        "accuracy": summary.accuracy,
        "quirks": list(summary.quirks),
        "selection": summary.selection,
        "environment": dict(summary.environment),
        "line": summary.line,
        "conforms": summary.conforms,
        "failed": summary.failed,
        "problems": list(summary.problems),
        "notes": list(summary.notes),
        "seconds": round(summary.seconds, 3),
        "cases": [_case(case_id, outcome) for case_id, outcome in summary.outcomes.items()],
    }


def _case(case_id: str, outcome: Outcome) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "id": case_id,
        "status": outcome.status,
        "required": outcome.case.required,
        "rule": outcome.case.rule,
        "section": outcome.case.section,
        "seconds": round(outcome.seconds, 6),
    }
    if outcome.message:
        plain["message"] = outcome.message
    if outcome.cause:
        plain["cause"] = outcome.cause
    if outcome.stderr:
        plain["stderr"] = outcome.stderr
    if outcome.mismatch is not None:
        plain["fingerprint"] = outcome.fingerprint
        plain["difference"] = _difference(outcome.mismatch)
    if outcome.smallest is not None:
        plain["smallest"] = {
            "requests": [request_words(step.request) for step in outcome.smallest.steps],
            "difference": _difference(outcome.smallest.mismatch),
        }
    if outcome.command:
        plain["command"] = outcome.command
    return plain


def _difference(mismatch: Mismatch) -> dict[str, Any]:
    return {
        "request": mismatch.step,
        "what": mismatch.what,
        "actual": mismatch.actual,
        "expected": mismatch.expected,
        "ulps": mismatch.ulps,
    }


def write_json(summary: RunSummary, path: Path) -> None:
    """Write :func:`as_json`, one case a line so that two reports can be compared by any tool."""
    plain = as_json(summary)
    cases = plain.pop("cases")
    head = json.dumps(plain, indent=1, ensure_ascii=False)[:-2]
    body = ",\n  ".join(json.dumps(case, ensure_ascii=False) for case in cases)
    path.write_text(f'{head},\n "cases": [\n  {body}\n ]\n}}\n')


def load_report(path: Path) -> dict[str, Any]:
    """A report written by :func:`write_json`. Raises :class:`~monolith_ref.errors.FormatError`."""
    try:
        plain: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise FormatError(f"not a report: {error}", path=str(path)) from None
    if not isinstance(plain, dict) or plain.get("format") != REPORT_FORMAT:
        raise FormatError("not a conformance report", path=str(path))
    if plain.get("version", 0) > REPORT_VERSION:
        raise FormatError(f"report version {plain['version']}; this suite reads {REPORT_VERSION}", path=str(path))
    return plain


def write_junit(summary: RunSummary, path: Path) -> None:
    """Write one ``testcase`` a case; unsupported and not-asked cases are skipped ones."""
    outcomes = summary.outcomes.values()
    bad = ("failed", "stale_known")
    suite = ET.Element(
        "testsuite",
        name=f"monolith-ref {summary.suite} on {summary.backend}",
        tests=str(len(summary.outcomes)),
        failures=str(sum(o.status in bad for o in outcomes)),
        errors=str(summary.count("fault")),
        skipped=str(sum(o.status in ("unsupported", "not_asked", "known") for o in outcomes)),
        time=f"{summary.seconds:.3f}",
    )
    for case_id, outcome in summary.outcomes.items():
        area, _, name = case_id.rpartition("/")
        element = ET.SubElement(
            suite, "testcase", classname=area.replace("/", "."), name=name, time=f"{outcome.seconds:.6f}"
        )
        text = "\n".join(str(part) for part in (outcome.mismatch, outcome.message, outcome.cause) if part)
        if outcome.status in bad:
            ET.SubElement(element, "failure", message=text.split("\n")[0]).text = _printable(text)
        elif outcome.status == "fault":
            ET.SubElement(element, "error", message=text.split("\n")[0]).text = _printable(f"{text}\n{outcome.stderr}")
        elif outcome.status != "passed":
            ET.SubElement(element, "skipped", message=f"{outcome.status}: {text}")
    ET.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def _printable(text: str) -> str:
    """XML 1.0 has no place for control characters."""
    return "".join(c if c in "\n\t" or c >= " " else f"\\x{ord(c):02x}" for c in text)
