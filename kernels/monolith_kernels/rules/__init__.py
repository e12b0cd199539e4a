"""Row arithmetic, written once: one optimizer a module, target-free scalar functions.

``ALL`` is the registry that drivers, tests, documentation and benchmarks walk. :func:`make` turns config fields into
the hyper-parameter tuple whose type selects a rule.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from monolith_kernels.rules import (
    adadelta,
    adagrad,
    adam,
    amsgrad,
    batch_softmax,
    dynamic_wd_adagrad,
    ftrl,
    group_adagrad,
    group_ftrl,
    momentum,
    moving_average,
    rmsprop,
    rmspropv2,
    sgd,
)
from monolith_kernels.rules.base import BY_PARAMS, Rule, of

__all__ = ["ALL", "Rule", "make", "of"]

ALL: dict[str, Rule] = {
    module.RULE.name: module.RULE
    for module in (
        adadelta,
        adagrad,
        adam,
        amsgrad,
        batch_softmax,
        dynamic_wd_adagrad,
        ftrl,
        group_adagrad,
        group_ftrl,
        momentum,
        moving_average,
        rmsprop,
        rmspropv2,
        sgd,
    )
}
"""Every optimizer rule by the name of its config message field."""

BY_PARAMS.update({rule.params: rule for rule in ALL.values()})


def make(name: str, config: Mapping[str, Any] | None = None, quirks: Collection[str] = ()) -> Any:
    """Hyper-parameters of a rule.

    Parameters
    ----------
    name : str
        Field name in ``OptimizerConfig.type``, such as ``"adagrad"``.
    config : mapping
        Fields of its config message; absent ones take the proto default.
    quirks : collection of str
        Switches in force; those that the rule does not know are ignored.

    Raises
    ------
    ValueError
        For an unknown rule or config field.

    Examples
    --------
    >>> make("adagrad", {"initial_accumulator_value": 1.0}).initial_accumulator_value
    np.float32(1.0)
    """
    if name not in ALL:
        raise ValueError(f"there is no rule {name!r} (there are {', '.join(ALL)})")
    return ALL[name].make(config or {}, quirks)
