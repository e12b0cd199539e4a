"""A recorded model in words that are equal where models are: what ranks, and runs that continue, must agree on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from monolith_ref.features.tables import TableSpec
from monolith_ref.learning_rate import LearningRateFunction
from monolith_ref.training.model import RecordedModel

__all__ = ["description"]


def description(recorded: RecordedModel, tables: Sequence[TableSpec], quirks: str, profile: str) -> dict[str, str]:
    """Tables with their configuration, dense variables, inputs, quirks: what each is -> what it is like."""
    said = {"quirks": quirks, "profile": profile}
    for spec in tables:
        message = hashlib.sha256(spec.config.table_config.SerializeToString(deterministic=True)).hexdigest()
        combiners = ",".join(combiner.name for combiner in spec.combiners)
        rates = ",".join(_rate_text(rate) for rate in spec.config.learning_rate_fns)
        said[f"table {spec.name}"] = f"{','.join(spec.features)}; dim {spec.dim}; {combiners}; {rates}; {message}"
        if any(spec.occurrence_thresholds):
            said[f"thresholds of {spec.name}"] = ",".join(map(str, spec.occurrence_thresholds))
    for name, variable in recorded.graph.variables.items():
        optimizer = variable.optimizer or recorded.spec.optimizer
        said[f"variable {name}"] = f"{variable.shape}; {variable.initializer}; {optimizer}"
    said["inputs"] = ",".join(recorded.graph.inputs)
    return said


def _rate_text(rate: Any) -> str:
    """A rate in a form that does not depend on the process; plain functions go by their name."""
    if callable(rate) and not isinstance(rate, LearningRateFunction):
        return str(getattr(rate, "__qualname__", type(rate).__qualname__))
    return str(rate)
