"""What of the machine bounds the jobs: caches, reach of the TLB, huge pages, memory."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["HUGE_PAGE", "PAGE", "Machine", "bytes_text", "free_bytes", "read_machine"]

PAGE = 4096
HUGE_PAGE = 2 << 20


@dataclass(frozen=True)
class Machine:
    """Attributes: bytes of ``caches`` by name, small to large; TLB entries (0: not told); huge pages' mode; whether
    addresses are translated once more (``virtual``).
    """

    model: str
    cores: int
    caches: dict[str, int]
    tlb_entries: int
    huge_pages: str
    memory: int
    virtual: bool = False

    def levels(self, huge: bool) -> dict[str, int]:
        """Bytes that are reached without what comes next: caches, and the TLB by pages of 4 KiB or huge ones."""
        found = {name: size for name, size in self.caches.items() if size}
        if self.tlb_entries:
            size = HUGE_PAGE if huge else PAGE
            found[f"TLB, {bytes_text(size)} pages"] = self.tlb_entries * size
        return dict(sorted(found.items(), key=lambda item: item[1]))

    def facts(self) -> dict[str, Any]:
        """For the head of a report."""
        caches = ", ".join(f"{name} {bytes_text(size)}" for name, size in self.caches.items()) or "not told"
        tlb = (
            f"{self.tlb_entries} entries: {bytes_text(self.tlb_entries * PAGE)} by 4 KiB pages, "
            f"{bytes_text(self.tlb_entries * HUGE_PAGE)} by huge ones"
        )
        return {
            "machine": f"{self.model}, {self.cores} cores, {bytes_text(self.memory)} of memory",
            "caches": caches,
            "TLB": tlb if self.tlb_entries else "not told",
            "huge pages": self.huge_pages or "not told",
            "virtual": "yes: the hypervisor translates addresses once more" if self.virtual else "no",
        }


def read_machine(root: Path = Path("/")) -> Machine:
    """From what Linux tells; what it does not tell is 0 or empty."""
    caches: dict[str, int] = {}
    for folder in sorted((root / "sys/devices/system/cpu/cpu0/cache").glob("index*")):
        if _text(folder / "type") in ("Data", "Unified"):
            caches[f"L{_text(folder / 'level')}"] = _bytes(_text(folder / "size"))
    processor = _text(root / "proc/cpuinfo")
    model = re.search(r"^model name\s*:\s*(.+)$", processor, re.MULTILINE)
    tlb = re.search(r"^TLB size\s*:\s*(\d+)", processor, re.MULTILINE)
    chosen = re.search(r"\[(\S+)\]", _text(root / "sys/kernel/mm/transparent_hugepage/enabled"))
    total = re.search(r"^MemTotal:\s*(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    return Machine(
        model=f"{model[1] if model else 'processor'} ({platform.machine()}, {platform.system()})",
        cores=os.cpu_count() or 1,
        caches=caches,
        tlb_entries=int(tlb[1]) if tlb else 0,
        huge_pages=chosen[1] if chosen else "",
        memory=int(total[1]) << 10 if total else 0,
        virtual=bool(re.search(r"^flags\s*:.*\bhypervisor\b", processor, re.MULTILINE)),
    )


def free_bytes(root: Path = Path("/")) -> int | None:
    """Bytes that can be taken now; None where the system does not tell."""
    found = re.search(r"^MemAvailable:\s*(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    return int(found[1]) << 10 if found else None


def bytes_text(count: float) -> str:
    """Three digits and a unit."""
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count >= 1 << power:
            return f"{count / (1 << power):.3g} {unit}"
    return f"{count:.0f} bytes"


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+)([KM]?)", text)
    return int(match[1]) << {"": 0, "K": 10, "M": 20}[match[2]] if match else 0
