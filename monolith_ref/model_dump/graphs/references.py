"""References to nodes and tensors in a graph: ``node``, ``node:port``, ``^node``."""

from __future__ import annotations

from dataclasses import dataclass

from monolith_ref.errors import DumpError

__all__ = ["Reference", "base_name", "parse_reference"]


@dataclass(frozen=True, slots=True)
class Reference:
    """What a reference names: a tensor (``port`` >= 0), the node as a whole (``port`` None), or its control edge."""

    node: str
    port: int | None = None
    control: bool = False

    def __str__(self) -> str:
        if self.control:
            return f"^{self.node}"
        return self.node if self.port is None else f"{self.node}:{self.port}"


def parse_reference(text: str, *, as_input: bool = False) -> Reference:
    """Read a reference; as the input of a node a bare name is port 0.

    Raises
    ------
    DumpError
        ``bad_ref``: a port that is not a number, or no name.
    """
    if text.startswith("^"):
        node, control = text[1:], True
    else:
        node, control = text, False
    name, colon, port = node.partition(":")
    if not name or (control and colon):
        raise DumpError(f"'{text}' names no node", kind="bad_ref")
    if not colon:
        return Reference(name, None if control or not as_input else 0, control)
    if not (port.isascii() and port.isdigit()):
        raise DumpError(f"'{text}': the port is not a number", kind="bad_ref")
    return Reference(name, int(port))


def base_name(text: str) -> str:
    """The node that a reference names: the original's reading, in which anything may follow the first colon."""
    return text.removeprefix("^").partition(":")[0]
