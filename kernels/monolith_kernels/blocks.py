"""Where a stream of records is cut into blocks for compression. Host only. Rule: checkpoints 4.1."""

from __future__ import annotations

import numpy as np

from monolith_kernels.jit import kernel

__all__ = ["BLOCK", "cut_blocks"]

BLOCK = 262_144
"""Bytes of the original's buffer: the most that a block holds before compression."""


@kernel
def cut_blocks(lengths, pending, limit, cuts):  # type: ignore[no-untyped-def]
    """Cut framed records with these payload lengths into blocks.

    A record is appended to a buffer of ``limit`` bytes as three pieces (header of 12, payload, footer of 4); a piece
    that does not fit ends the block first. ``pending``: bytes that already wait in the buffer. ``cuts`` int64 receives
    the ends of blocks, as offsets from the buffer's first byte (``pending`` included); pieces above ``limit`` are cut
    into full blocks and a rest. Returns ``(number of cuts, bytes left waiting)``.
    """
    count = 0
    fill = np.int64(pending)
    total = np.int64(pending)
    for k in range(len(lengths)):
        for part in range(3):
            piece = np.int64(12) if part == 0 else (lengths[k] if part == 1 else np.int64(4))
            if fill + piece > limit and fill > 0:
                cuts[count] = total
                count += 1
                fill = np.int64(0)
            while piece > limit:
                total += limit
                piece -= limit
                cuts[count] = total
                count += 1
            fill += piece
            total += piece
    return count, fill
