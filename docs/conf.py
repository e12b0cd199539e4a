"""How the site is built: ``make docs``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import monolith_ref

project = "monolith-ref"
author = "the authors of monolith-ref"
copyright = author
version = release = monolith_ref.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "ipynb_source",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
root_doc = "index"

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
smartquotes = False  # --json is no dash
suppress_warnings = ["ref.python"]  # Two public classes may have attributes of one name.

# References. Types of other projects have no page here, and nothing is fetched to find one.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(?!monolith_).*"),
    (r"py:.*", r"monolith_protos\..*"),
    # Signatures and docstrings may name what is not public; whatever is written on a page must exist.
    (r"py:class", r"monolith_(ref|conformance|kernels)\..*"),
    (r"py:mod", r"monolith_(kernels|ref|conformance)\..*"),
]

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
python_maximum_signature_line_length = 80
add_module_names = False
toc_object_entries_show_parents = "hide"

copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True

html_theme = "furo"
html_title = f"monolith-ref {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navigation_with_keys": True,
    "light_css_variables": {
        "color-brand-primary": "#0b5d7a",
        "color-brand-content": "#0b5d7a",
        "font-stack--monospace": "'DejaVu Sans Mono', 'SFMono-Regular', Menlo, Consolas, monospace",
    },
    "dark_css_variables": {"color-brand-primary": "#6cc4e0", "color-brand-content": "#6cc4e0"},
}


def keep_first_line(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Keep napoleon from taking what stands before a colon in a property's first line for a type."""
    if what in ("property", "attribute", "data"):
        lines.insert(0, "\\ ")  # invisible


def setup(app: Any) -> None:
    """Run before napoleon reads the docstrings (which it does at the usual priority, 500)."""
    app.connect("autodoc-process-docstring", keep_first_line, priority=400)
