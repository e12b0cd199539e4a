"""What can be wrong with a file, each with a code that ``table verify`` reports. Rule: checkpoints 5.4."""

from __future__ import annotations

from pathlib import Path

from monolith_ref.errors import CheckpointError

__all__ = ["CodedError", "damage"]


class CodedError(CheckpointError):
    """A CheckpointError that knows its code (``bad_data_crc``, ``missing_shard``, ...)."""

    code: str = "malformed_message"


def damage(
    code: str,
    text: str,
    path: str | Path | None = None,
    record: int | None = None,
    offset: int | None = None,
) -> CodedError:
    """Make the error for one finding; ``offset`` counts bytes of the file (of the decompressed stream for records)."""
    error = CodedError(text, path=None if path is None else str(path), record=record, offset=offset)
    error.code = code
    return error
