"""The result of one check."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

__all__ = ["Finding", "Status"]


class Status(StrEnum):
    """How a check went; only ``PROBLEM`` makes the environment unfit."""

    OK = "ok"
    NOTE = "note"
    """Something optional is absent, or smaller than is comfortable."""
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes
    ----------
    name : str
        What was looked at.
    status : Status
        How it is.
    found : str
        What is there, in one line.
    remedy : str
        What to do; empty where nothing needs doing.
    """

    name: str
    status: Status
    found: str
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        """The finding as a JSON object."""
        return {key: str(value) for key, value in asdict(self).items()}
