"""Charts and the page around them, for every report of this distribution: self-contained HTML with inline SVG."""

COLOURS = (
    "#3b7dd8", "#e08a2e", "#3c9d63", "#b8559f", "#7a6ad8", "#c9a227",
    "#2a9fa8", "#d4574e", "#7f8c3a", "#8a6d56", "#5f7f99", "#d77fa1",
    "#1f5f8b", "#a3c644", "#9c3d3d", "#6fc3a8",
)  # fmt: skip
"""Colours of classes ``c0`` to ``c15``."""

__all__ = ["COLOURS"]
