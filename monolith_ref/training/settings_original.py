"""The original's environment variables, with their rules, as settings of ours. Rule: sync_training 3, job 6."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["NO_EFFECT", "Found", "read_original_variables"]

NO_EFFECT = (
    "HOROVOD_AUTOTUNE",
    "HOROVOD_CYCLE_TIME",
    "TF_XLA_FLAGS",
    "MONOLITH_WITH_HOROVOD_FID_G2G",
    "MONOLITH_WITH_HOROVOD_FWD_G2G",
    "MONOLITH_WITH_HOROVOD_BWD_G2G",
    "MONOLITH_GPU_FEATURE_FACTORY_FUSION_LEVEL",
    "MONOLITH_FORCE_GPU_COMPATIBLE",
    "MONOLITH_GT_OVERSUB_SM",
)
"""Timing and GPU placement of the original: accepted, without effect."""

BYTEPS = "MONOLITH_WITH_BYTEPS"
STALL_SHUTDOWN = "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS"
STALL_CHECK = "HOROVOD_STALL_CHECK_TIME_SECONDS"


@dataclass(frozen=True, slots=True)
class Found:
    """A variable that decides a key: text for it."""

    variable: str
    key: str
    text: str


def read_original_variables(environment: Mapping[str, str]) -> list[Found]:
    """What the original's variables say, in order of their names in the table below.

    Raises
    ------
    ValueError
        A value that the original refuses or misreads, or that stands for something that is not offered; the message
        begins with the variable's name.
    """
    found = []
    for variable, (key, convert) in _CONVERSIONS.items():
        if variable in environment:
            text = convert(variable, environment[variable])
            if text is not None:
                found.append(Found(variable, key, text))
    found += _stall(environment)
    for variable, value in environment.items():
        if variable.startswith(BYTEPS) and variable not in _CONVERSIONS:
            if value == "0":
                continue
            raise ValueError(f"{variable}={value}: BytePS is not supported; only 0 is accepted")
    return found


def _stall(environment: Mapping[str, str]) -> list[Found]:
    """Seconds until a stalled job is shut down, else those until the warning."""
    for variable in (STALL_SHUTDOWN, STALL_CHECK):
        if variable not in environment:
            continue
        text = environment[variable]
        try:
            seconds = float(text)
        except ValueError:
            raise ValueError(f"{variable}={text}: expected a number of seconds") from None
        if seconds > 0 or variable == STALL_CHECK:
            return [Found(variable, "sync.timeout", text)]
    return []


def _horovod(variable: str, value: str) -> str:
    if not value:
        raise ValueError(f"{variable} is set but empty, which starts ranks that exchange nothing: unset it or give 1")
    return "mpi"


def _optimized(variable: str, value: str) -> str | None:
    return "f16" if _integer(variable, value) else None


def _cast(variable: str, value: str) -> str:
    if value not in ("16", "32"):
        raise ValueError(f"{variable}={value}: expected 16 or 32")
    return "f16" if value == "16" else "f32"


def _fake_cast(variable: str, value: str) -> None:
    if value != "0":
        raise ValueError(f"{variable}={value}: gradients times 0 are not offered; only 0 is accepted")


def _fusion(variable: str, value: str) -> str:
    known = {"none": "none", "one": "one", "grouped": "one"}
    if value not in known:
        raise ValueError(f"{variable}={value}: expected none, one or grouped")
    return known[value]


def _half(variable: str, value: str) -> str:
    return "f16" if _zero_or_one(variable, value) else "f32"


def _switch(variable: str, value: str) -> str:
    return "true" if _zero_or_one(variable, value) else "false"


def _as_is(variable: str, value: str) -> str:
    return str(_integer(variable, value))


def _integer(variable: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"{variable}={value}: expected a whole number") from None


def _zero_or_one(variable: str, value: str) -> bool:
    if value not in ("0", "1"):
        raise ValueError(f"{variable}={value}: expected 0 or 1")
    return value == "1"


_CONVERSIONS: dict[str, tuple[str, Callable[[str, str], str | None]]] = {
    "MONOLITH_WITH_HOROVOD": ("sync.communicator", _horovod),
    "MONOLITH_WITH_OPTIMIZED_HOROVOD": ("sync.embedding_grad_wire", _optimized),
    "MONOLITH_WITH_BYTEPS_BWD_CAST": ("sync.embedding_grad_wire", _cast),
    "MONOLITH_WITH_BYTEPS_FAKE_CAST": ("sync.embedding_grad_wire", _fake_cast),
    "MONOLITH_WITH_ALLREDUCE_FUSION": ("sync.allreduce_fusion", _fusion),
    "MONOLITH_WITH_ALLREDUCE_FP16": ("sync.dense_wire", _half),
    "MONOLITH_SKIP_ALLREDUCE": ("sync.skip_allreduce", _switch),
    "MONOLITH_SYNC_EMPTY_RANK0_PS_SHARD": ("sync.empty_rank0", _switch),
    "MONOLITH_ROOT_LOG_INTERVAL": ("training.log_every", _as_is),
    "MONOLITH_SAVE_SUMMARY_INTERVAL": ("training.report_every", _as_is),
}
