"""CUDA: the binding, the driver and a device. All of it is optional."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

from monolith_ref.doctor.finding import Finding, Status

__all__ = ["check_cuda"]

_PROBE = """
from numba import cuda
try:
    device = cuda.get_current_device()
    memory = cuda.current_context().get_memory_info()
except Exception as error:
    raise SystemExit(" ".join(str(error).split()).rstrip(" :"))
name = device.name.decode() if isinstance(device.name, bytes) else device.name
print(name, device.compute_capability, f"{memory.free / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free")
"""


def check_cuda() -> Finding:
    """Whether ``--targets cuda`` would find a device; looked at in a process of its own, a broken driver may crash."""
    if importlib.util.find_spec("numba_cuda") is None:
        return Finding(
            "CUDA", Status.NOTE, "numba-cuda is not installed", "only for GPUs: pip install 'monolith-ref[cuda]'"
        )
    answer = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=120, check=False)
    if answer.returncode == 0:
        return Finding("CUDA", Status.OK, answer.stdout.strip())
    lines = [line for line in answer.stderr.splitlines() if line.strip()]
    why = lines[-1].strip() if lines else f"exit code {answer.returncode}"
    remedy = "only for GPUs: install the NVIDIA driver and see that 'nvidia-smi' lists a device"
    return Finding("CUDA", Status.NOTE, f"no usable device ({why})", remedy)
