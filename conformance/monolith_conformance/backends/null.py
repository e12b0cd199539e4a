"""A backend that can do nothing: every case must come out as unsupported, none as passed."""

from __future__ import annotations

from monolith_conformance.backend import DirectBackend
from monolith_ref.quirks import Quirks

__all__ = ["NullBackend"]


class NullBackend(DirectBackend):
    """Refuses everything."""

    name = "null"

    def start(self, profile: str, quirks: Quirks) -> None:
        """Nothing to start."""

    def capabilities(self) -> tuple[str, ...]:
        """None."""
        return ()
