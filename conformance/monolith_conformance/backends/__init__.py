"""The implementations that the suite knows by name, and any program as ``testee:COMMAND``."""

from __future__ import annotations

import importlib
import shlex

from monolith_conformance.backend import Backend
from monolith_ref.errors import ConfigError

__all__ = ["BUILT_IN", "make_backend"]

BUILT_IN = {
    "oracle": "monolith_conformance.backends.oracle:OracleBackend",
    "engine-cpu": "monolith_conformance.backends.engine_cpu:CpuBackend",
    "engine-cuda": "monolith_conformance.backends.engine:CudaBackend",
    "torch": "monolith_conformance.backends.torch:TorchBackend",
    "tensorflow": "monolith_conformance.backends.tensorflow:TensorFlowBackend",
    "null": "monolith_conformance.backends.null:NullBackend",
}
"""Name → ``module:class``; imported when asked for."""


def make_backend(name: str, *, encoding: str = "protobuf", time_limit: float = 10.0) -> Backend:
    """The backend of that name, unopened.

    Parameters
    ----------
    name : str
        A key of :data:`BUILT_IN`, ``testee:COMMAND``, ``mutant:NAME``, or ``module:class`` of one's own.
    encoding : str
        ``protobuf`` or ``json``; for testees.
    time_limit : float
        Seconds for one reply; for testees.

    Raises
    ------
    ConfigError
        Where there is no such backend.
    """
    if name.startswith("testee:"):
        from monolith_conformance.backends.testee import TesteeBackend

        return TesteeBackend(shlex.split(name.removeprefix("testee:")), encoding, time_limit)
    if name.startswith("mutant:"):
        from monolith_conformance.backends.mutant import MutantBackend

        return MutantBackend(name.removeprefix("mutant:"))
    home = BUILT_IN.get(name, name)
    module, _, attribute = home.partition(":")
    if not attribute:
        known = f"{', '.join(BUILT_IN)}, testee:COMMAND, mutant:NAME and module:class"
        raise ConfigError(f"no backend {name!r}; there are {known}")
    try:
        made = getattr(importlib.import_module(module), attribute)()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"backend {name!r}: {error}") from error
    if not isinstance(made, Backend):
        raise ConfigError(f"backend {name!r}: {attribute} is no Backend")
    return made
