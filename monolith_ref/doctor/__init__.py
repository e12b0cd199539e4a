"""What ``monolith-ref doctor`` looks at: one finding per thing that a run needs, each with what to do about it."""

from __future__ import annotations

from monolith_ref.doctor.examination import CHECKS, examine
from monolith_ref.doctor.finding import Finding, Status

__all__ = ["CHECKS", "Finding", "Status", "examine"]
