"""Damaged dump files from the recipes of ``corrupted.json``."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from monolith_ref.errors import DumpError

__all__ = ["derived"]


def derived(case: Mapping[str, Any], read: Callable[[str], bytes]) -> bytes:
    """The bytes of a case; ``read`` gives those of the file that it is made from. DumpError for an unknown step."""
    if "base64" in case:
        return base64.b64decode(case["base64"])
    data = bytearray(read(case["from"]) if case["from"] else b"")
    for op in case["ops"]:
        if op["op"] == "truncate":
            del data[op["length"] :]
        elif op["op"] == "xor":
            mask = bytes.fromhex(op["with"])
            for place, value in enumerate(mask):
                data[op["offset"] + place] ^= value
        elif op["op"] == "append":
            data += bytes.fromhex(op["hex"]) * op.get("count", 1)
        else:
            raise DumpError(f"no operation '{op['op']}'", kind="bad_recipe")
    return bytes(data)
