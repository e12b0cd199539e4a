"""Serving rows: embeddings packed by the compressors of their segments. Rule: optimizers 6.

Rows are packed little-endian, segments in order, no padding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from monolith_kernels.target import Target
from monolith_kernels.target import target as make_target
from numpy.typing import NDArray

from monolith_ref.errors import ConfigError, DtypeError, ShapeError
from monolith_ref.quirks import Quirks, as_quirks
from monolith_ref.row_checks import check_matrix, checked_dim
from monolith_ref.rows import built_quantizer

__all__ = ["CodecSegment", "RowCodec"]


@dataclass(frozen=True)
class CodecSegment:
    """One segment of a serving row: its floats, the name of its compressor and the fields of that message."""

    dim: int
    compressor: str = "fp32"
    config: Mapping[str, Any] = field(default_factory=dict)


class RowCodec:
    """Packs and unpacks serving rows.

    Parameters
    ----------
    segments : sequence of CodecSegment
    target : Target or str
    quirks : str, Quirks or None

    Attributes
    ----------
    dim : int
        Floats of a row.
    row_bytes : int
        Bytes of a packed row.

    Examples
    --------
    >>> codec = RowCodec([CodecSegment(2, "fixed_r8")])
    >>> codec.compress(np.array([[0.25, 1.0]], np.float32)).tobytes().hex()
    '207f'
    """

    def __init__(
        self,
        segments: Sequence[CodecSegment],
        target: Target | str = "cpu",
        *,
        quirks: str | Quirks | None = None,
    ) -> None:
        if not segments:
            raise ConfigError("a row needs at least one segment")
        self.quirks = as_quirks(quirks)
        try:
            self.target = make_target(target) if isinstance(target, str) else target
        except ValueError as error:
            raise ConfigError(str(error)) from None
        self._parts = [
            (checked_dim(segment.dim), built_quantizer(segment.compressor, segment.config, self.quirks))
            for segment in segments
        ]
        self.dim = sum(dim for dim, _ in self._parts)
        self.row_bytes = sum(dim * quantizer.size for dim, quantizer in self._parts)

    def compress(self, values: Any) -> NDArray[np.uint8]:
        """Packed rows uint8[n, row_bytes] of values float32[n, dim]."""
        matrix = check_matrix("values", values, None, self.dim)
        packed = self.target.empty((len(matrix), self.row_bytes), np.uint8)
        source = self.target.asarray(matrix)
        column = start = 0
        for dim, quantizer in self._parts:
            self.target.quantize.encode(
                quantizer, source, column, self.dim, len(matrix), dim, packed, start, self.row_bytes
            )
            column += dim
            start += dim * quantizer.size
        return np.array(self.target.to_host(packed))

    def decompress(self, packed: Any) -> NDArray[np.float32]:
        """Values float32[n, dim] of packed rows uint8[n, row_bytes]."""
        if not isinstance(packed, np.ndarray) or packed.dtype != np.uint8:
            got = packed.dtype if isinstance(packed, np.ndarray) else type(packed).__name__
            raise DtypeError(f"packed must be a uint8 array, got {got}")
        if packed.ndim != 2 or packed.shape[1] != self.row_bytes:
            raise ShapeError(f"packed must have shape [n, {self.row_bytes}], got {list(packed.shape)}")
        values = self.target.empty((len(packed), self.dim), np.float32)
        source = self.target.asarray(np.ascontiguousarray(packed))
        column = start = 0
        for dim, quantizer in self._parts:
            self.target.quantize.decode(
                quantizer, source, start, self.row_bytes, len(packed), dim, values, column, self.dim
            )
            column += dim
            start += dim * quantizer.size
        return np.array(self.target.to_host(values))

    def add(self, packed: Any, values: Any) -> NDArray[np.uint8]:
        """Packed rows after ``assign_add``: encode(decode + values)."""
        current = self.decompress(packed)
        added = check_matrix("values", values, len(current), self.dim)
        with np.errstate(all="ignore"):
            return self.compress(current + added)
