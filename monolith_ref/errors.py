"""Every exception that this distribution raises on purpose.

::

    MonolithRefError
    ├── ConfigError        (ValueError)           a setting or configuration object is wrong
    ├── ShapeError         (ValueError)           an array has the wrong shape or count
    ├── DtypeError         (TypeError)            an array has the wrong dtype
    ├── ArgumentError      (ValueError)           any other argument is out of range
    ├── UnknownNameError   (KeyError)             a name that does not exist; the nearest known one is given
    ├── StateError         (RuntimeError)         the object cannot do this now
    ├── UnsupportedError   (NotImplementedError)  known, and deliberately not offered
    ├── EnvironmentMissing (RuntimeError)         something outside is missing: MPI, a device, an extra
    ├── FormatError        (ValueError)           bytes that are not what they should be (.path, .record, .offset)
    │   ├── CheckpointError
    │   │   └── CheckpointGapError
    │   └── DumpError                             (.kind)
    └── SyncError          (RuntimeError)         ranks disagree, one is missing or fell silent

Messages say what was found, what was expected, and where.
"""

from __future__ import annotations

__all__ = [
    "ArgumentError",
    "CheckpointError",
    "CheckpointGapError",
    "ConfigError",
    "DtypeError",
    "DumpError",
    "EnvironmentMissing",
    "FormatError",
    "MonolithRefError",
    "ShapeError",
    "StateError",
    "SyncError",
    "UnknownNameError",
    "UnsupportedError",
]


class MonolithRefError(Exception):
    """Base of all errors of this distribution."""


class ConfigError(MonolithRefError, ValueError):
    """A setting or a configuration object is wrong."""


class ShapeError(MonolithRefError, ValueError):
    """An array has the wrong shape or number of elements."""


class DtypeError(MonolithRefError, TypeError):
    """An array has the wrong dtype."""


class ArgumentError(MonolithRefError, ValueError):
    """An argument is out of its range."""


class UnknownNameError(MonolithRefError, KeyError):
    """A name that does not exist here."""

    def __str__(self) -> str:
        # KeyError prints the repr of its argument; a message should read as one.
        return str(self.args[0]) if self.args else ""


class StateError(MonolithRefError, RuntimeError):
    """The object cannot do this in its present state."""


class UnsupportedError(MonolithRefError, NotImplementedError):
    """Known, and deliberately not offered."""


class EnvironmentMissing(MonolithRefError, RuntimeError):
    """Something outside of the program is missing: an MPI, a device, an optional package."""


class FormatError(MonolithRefError, ValueError):
    """Bytes that are not what they should be.

    Attributes
    ----------
    path : str or None
        The file.
    record : int or None
        Number of the record in it, from 0.
    offset : int or None
        Byte offset of the fault.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        record: int | None = None,
        offset: int | None = None,
    ) -> None:
        where = [str(path)] if path is not None else []
        if record is not None:
            where.append(f"record {record}")
        if offset is not None:
            where.append(f"byte {offset}")
        super().__init__(f"{', '.join(where)}: {message}" if where else message)
        self.path = path
        self.record = record
        self.offset = offset


class CheckpointError(FormatError):
    """A checkpoint is damaged, incomplete or of another configuration."""


class CheckpointGapError(CheckpointError):
    """A chain of increments has a gap."""


class DumpError(FormatError):
    """A ModelDump is damaged or does not hold what was asked for (``kind`` names the case)."""

    def __init__(
        self,
        message: str,
        *,
        kind: str = "malformed",
        path: str | None = None,
        record: int | None = None,
        offset: int | None = None,
    ) -> None:
        super().__init__(message, path=path, record=record, offset=offset)
        self.kind = kind


class SyncError(MonolithRefError, RuntimeError):
    """Ranks disagree, or one is missing or silent."""
