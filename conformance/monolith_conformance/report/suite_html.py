"""Reports of the suite as one self-contained page: several implementations side by side, searchable, on a phone too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from monolith_conformance.report.suite_diff import diff_reports, plain_changes

__all__ = ["render_suite"]


def render_suite(reports: Sequence[Mapping[str, Any]]) -> str:
    """The page of one or more reports (contents of ``report.json``)."""
    environment = Environment(
        loader=PackageLoader("monolith_conformance", "report/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    names = ", ".join(dict.fromkeys(str(report["backend"]["name"]) for report in reports))
    data = {
        "reports": list(reports),
        "changes": [plain_changes(diff_reports(reports[0], other)) for other in reports[1:]],
    }
    return environment.get_template("suite.html.j2").render(
        title=f"Conformance of {names}", reports=reports, data=_embedded(data)
    )


def _embedded(value: Any) -> Markup:
    """JSON for a script element: "</" would end it; JSON reads "<\\/" as the same text."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("</", "<\\/").replace("<!--", "<\\u0021--"))
