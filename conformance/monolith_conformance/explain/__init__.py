"""Why a case fails: its smallest requests, the command that repeats it, and the wrong variant that it equals."""

from __future__ import annotations

from monolith_conformance.explain.failures import Explanation, explain_failures

__all__ = ["Explanation", "explain_failures"]
