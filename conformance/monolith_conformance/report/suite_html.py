"""Reports of the suite as one self-contained page: several implementations side by side, searchable, on a phone too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

__all__ = ["render_suite"]


def render_suite(reports: Sequence[Mapping[str, Any]]) -> str:
    """The page of one or more reports (contents of ``report.json``)."""
    environment = Environment(
        loader=PackageLoader("monolith_conformance", "report/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    names = ", ".join(str(report["backend"]["name"]) for report in reports)
    # "</" would end the script element; JSON reads "<\/" as the same text.
    data = Markup(json.dumps(list(reports), ensure_ascii=False).replace("</", "<\\/").replace("<!--", "<\\u0021--"))
    return environment.get_template("suite.html.j2").render(title=f"Conformance of {names}", reports=reports, data=data)
