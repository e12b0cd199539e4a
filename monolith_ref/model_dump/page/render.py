"""The page's text: a template with the data inside."""

from __future__ import annotations

import html
import json
from importlib.resources import files

from monolith_protos import model_dump_pb2

from monolith_ref.model_dump.page.data import page_data

__all__ = ["render_page"]


def render_page(message: model_dump_pb2.ModelDump, title: str) -> str:
    """One self-contained HTML page; no text of the file can end the script that carries it."""
    folder = files("monolith_ref.model_dump.page")
    data = json.dumps(page_data(message, title), ensure_ascii=True, separators=(",", ":"))
    out = folder.joinpath("page.html").read_text(encoding="utf-8")
    parts = {
        "TITLE": html.escape(title),
        "STYLE": folder.joinpath("page.css").read_text(encoding="utf-8"),
        "SCRIPT": folder.joinpath("page.js").read_text(encoding="utf-8"),
        "DATA": data.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"),
    }
    for name in ("TITLE", "STYLE", "SCRIPT", "DATA"):
        out = out.replace(f"@@{name}@@", parts[name])
    return out
