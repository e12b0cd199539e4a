"""dc: delay compensation of a gradient, for a row call around any base rule. Rule: optimizers 1, 2.

g' = g + ((lambda*g)*g)*(w - latest)
"""

from __future__ import annotations

from typing import Any

from monolith_kernels.prim import madd, mul, shared

__all__ = ["compensated"]


@shared
def compensated(p: Any, factor: Any, w: Any, g: Any, latest: Any) -> Any:
    """The compensated gradient of one element."""
    return madd(p, mul(mul(factor, g), g), w - latest, g)
