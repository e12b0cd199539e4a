"""The model of a dump as one HTML page: features, tables, slices and heads. Nothing is loaded from elsewhere."""

from monolith_ref.model_dump.page.data import page_data
from monolith_ref.model_dump.page.render import render_page

__all__ = ["page_data", "render_page"]
