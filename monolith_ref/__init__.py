"""Bit-exact reference of Monolith's embedding training. Public names are imported on first use."""

from __future__ import annotations

__version__ = "2026.11.0"
