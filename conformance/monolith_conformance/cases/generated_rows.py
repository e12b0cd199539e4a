"""Row arithmetic on generated inputs: optimizers, initializers, compressors and combiners against the oracle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from monolith_conformance.backends.tables import COMBINERS, COMPRESSORS, INITIALIZERS, RULES, UNBUILT
from monolith_conformance.cases.case import Case, register
from monolith_conformance.cases.combiners import combine
from monolith_conformance.cases.golden import table_config
from monolith_conformance.generating import as_floats, exploring, float_lists, numbers, rates, words
from monolith_conformance.mirror import Mirror
from monolith_conformance.session import Session

__all__ = ["segments"]

FID = (3 << 48) | 77
FIELDS: dict[str, tuple[str, ...]] = {
    "sgd": (),
    "adagrad": ("initial_accumulator_value", "weight_decay_factor"),
    "adadelta": ("weight_decay_factor", "averaging_ratio", "epsilon"),
    "adam": ("beta1", "beta2", "weight_decay_factor", "epsilon", "use_nesterov"),
    "amsgrad": ("beta1", "beta2", "weight_decay_factor", "epsilon", "use_nesterov"),
    "momentum": ("weight_decay_factor", "momentum", "use_nesterov"),
    "moving_average": ("momentum",),
    "rmsprop": ("learning_rate", "weight_decay_factor", "momentum"),
    "rmspropv2": ("weight_decay_factor", "momentum"),
    "ftrl": ("beta", "initial_accumulator_value", "l1_regularization_strength", "l2_regularization_strength"),
    "group_adagrad": ("beta", "initial_accumulator_value", "l2_regularization_strength", "weight_decay_factor"),
    "batch_softmax": (),
    "group_ftrl": ("beta", "initial_accumulator_value", "l1_regularization_strength", "l2_regularization_strength"),
    "dynamic_wd_adagrad": ("initial_accumulator_value", "weight_decay_factor", "decouple_weight_decay"),
}
"""Settings that change what a rule does to a row."""

_VALUES = st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.99, 1.0, 1e-3, 2.0])


@st.composite
def configs(draw: st.DrawFn, rule: str) -> dict[str, Any]:
    """Some of a rule's settings; the others are left to their defaults."""
    chosen = draw(st.lists(st.sampled_from(FIELDS[rule]), unique=True)) if FIELDS[rule] else []
    flags = ("use_nesterov", "decouple_weight_decay")
    return {name: draw(st.booleans()) if name in flags else draw(_VALUES) for name in chosen}


@st.composite
def segments(draw: st.DrawFn, rules: tuple[str, ...], *, most: int = 1, widest: int = 19) -> list[dict[str, Any]]:
    """Segments of these rules; batch_softmax is one float wide."""
    found = []
    for _ in range(draw(st.integers(1, most))):
        rule = draw(st.sampled_from(rules))
        dim = 1 if rule == "batch_softmax" else draw(st.integers(1, widest))
        found.append({"dim": dim, "rule": rule, "config": draw(configs(rule))})
    return found


@st.composite
def _steps(draw: st.DrawFn, made: list[dict[str, Any]], most: int = 4) -> list[tuple[Any, Any, int]]:
    """Gradients, rates and global steps of some updates."""
    dim = sum(segment["dim"] for segment in made)
    of = words() if draw(st.booleans()) else numbers()
    return [
        (draw(float_lists(dim, of)), draw(float_lists(len(made), rates())), draw(st.integers(0, 2000)))
        for _ in range(draw(st.integers(1, most)))
    ]


@st.composite
def _trainings(draw: st.DrawFn, rules: tuple[str, ...], most: int = 1) -> tuple[list[dict[str, Any]], Any, Any]:
    made = draw(segments(rules, most=most))
    dim = sum(segment["dim"] for segment in made)
    start = draw(st.one_of(st.none(), float_lists(dim), float_lists(dim, numbers())))
    return made, start, draw(_steps(made))


def _train(session: Session, example: tuple[list[dict[str, Any]], Any, Any]) -> None:
    made, start, steps = example
    table = Mirror(session).table(table_config(made))
    if start is not None:
        table.op("assign", [FID], start, time=1)
    for time, (gradients, rate, step) in enumerate(steps, 2):
        table.op("optimize", [FID], gradients, rate, time=time, global_step=step)
        table.op("lookup", [FID])
        if session.can("table.lookup_entry"):
            table.op("lookup_entry", [FID])


def _register(id: str, rule: str, section: str, judge: Callable[[Session], None], needs: set[str], **more: Any) -> None:
    register(Case(id=id, rule=rule, section=section, judge=judge, needs=frozenset(needs), generated=True, **more))


BASIC = {"initializer.zeros", "table.assign", "table.optimize", "table.lookup"}


def _register_optimizers() -> None:
    for rule in (*RULES, *UNBUILT):
        strategy = _trainings((rule,))
        _register(
            f"core/optimizer.{rule}/generated",
            f"{rule} gives the oracle's rows and states on generated weights, gradients, rates and settings",
            "optimizers 1, 2",
            exploring(strategy, _train, quick=25, full=400),
            {f"optimizer.{rule}", *BASIC},
            quirks=frozenset({"unbuilt_rules"} if rule in UNBUILT else ()),
            required=rule not in UNBUILT,
        )
    several = _trainings(RULES, most=4)
    _register(
        "core/segments/generated",
        "rows of several segments are updated segment by segment, whatever the rules",
        "optimizers 4",
        exploring(several, _train, quick=40, full=800),
        {*(f"optimizer.{rule}" for rule in RULES), *BASIC},
    )


def _initializer(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(INITIALIZERS))
    value = st.one_of(numbers(), numbers(), words()).map(lambda word: float(as_floats([word])[0]))
    names = {"constants": ("constant",), "random_uniform": ("minval", "maxval")}.get(kind, ())
    chosen = draw(st.lists(st.sampled_from(names), unique=True)) if names else []
    return {"kind": kind, "config": {name: draw(value) for name in chosen}}


@st.composite
def _creations(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[tuple[str, list[int]]]]:
    made = [{**segment, "initializer": _initializer(draw)} for segment in draw(segments(("sgd",), most=3, widest=7))]
    ids = st.lists(st.integers(1, 6), min_size=1, max_size=5)
    ops = st.lists(st.tuples(st.sampled_from(("assign_add", "optimize", "reinitialize")), ids), min_size=1, max_size=4)
    return made, draw(ops)


def _create(session: Session, example: tuple[list[dict[str, Any]], list[tuple[str, list[int]]]]) -> None:
    made, ops = example
    table = Mirror(session).table(table_config(made))
    for op, ids in ops:
        nothing = np.full(len(ids) * table.dim, -0.0, np.float32)
        if op == "optimize":
            table.op(op, ids, nothing, np.zeros(len(made), np.float32), time=1)
        else:
            table.op(op, ids, nothing if op == "assign_add" else (), time=1)
        table.op("lookup", list(range(1, 7)))


_register(
    "core/initializer/generated",
    "new rows hold what their initializers give, drawn in order of creation, whatever creates them",
    "optimizers 5",
    exploring(_creations(), _create, quick=25, full=400, fresh=True),
    {
        *(f"initializer.{kind}" for kind in INITIALIZERS),
        *("optimizer.sgd", "table.assign_add", "table.optimize", "table.reinitialize", "table.lookup"),
    },
)


@st.composite
def _compressed(draw: st.DrawFn, kind: str) -> tuple[dict[str, Any], Any, Any, Any]:
    dim = draw(st.integers(1, 9))
    config: dict[str, Any] = {}
    if kind == "fixed_r8" and draw(st.booleans()):
        config["r"] = draw(st.sampled_from([0.5, 1.0, 3.0, 0.1]))
    if kind == "one_bit":
        fields = {"amplitude": [0.05, 0.1, -0.5], "init_scale": [1.0, 0.25], "max_scale": [2.0, 1e4]}
        for name, values in fields.items():
            if draw(st.booleans()):
                config[name] = draw(st.sampled_from(values))
        if draw(st.booleans()):
            config["step_size"] = draw(st.sampled_from([1, 3, 200]))
    segment = {"dim": dim, "compressor": {"kind": kind, "config": config}}
    steps = draw(_steps([{"dim": dim}], 3))
    return segment, draw(float_lists(dim)), draw(float_lists(dim)), steps


def _serve(session: Session, example: tuple[dict[str, Any], Any, Any, Any]) -> None:
    segment, values, more, steps = example
    mirror = Mirror(session)
    serving = mirror.table(table_config([segment], serving=True))
    serving.op("assign", [FID], values, time=1)
    serving.op("lookup", [FID])
    serving.op("assign_add", [FID], more, time=2)
    serving.op("lookup", [FID])
    training = mirror.table(table_config([{**segment, "rule": "sgd", "config": {}}]))
    training.op("assign", [FID], values, time=1)
    for gradients, rate, step in steps:
        training.op("optimize", [FID], gradients, rate, time=2, global_step=step)
        training.op("lookup", [FID])


def _register_compressors() -> None:
    for kind in COMPRESSORS:
        strategy = _compressed(kind)
        _register(
            f"core/compressor/generated[kind={kind}]",
            f"{kind} encodes, decodes and trains as the oracle does, on generated values",
            "optimizers 6",
            exploring(strategy, _serve, quick=25, full=400),
            {f"compressor.{kind}", "table.serving", "table.assign_add", "optimizer.sgd", *BASIC},
        )


@st.composite
def _bags(draw: st.DrawFn, kind: str) -> tuple[str, Any, list[int], int, Any]:
    lengths = draw(st.lists(st.integers(0, 5), min_size=1, max_size=6))
    splits = [0, *np.cumsum(lengths).tolist()]
    dim, n = draw(st.integers(1, 9)), draw(st.integers(1, 4)) if kind == "first_n" else 0
    values = draw(float_lists(splits[-1] * dim, words() if draw(st.booleans()) else numbers()))
    upstream = draw(float_lists(len(lengths) * max(n, 1) * dim))
    return kind, values.reshape(-1, dim), splits, n, upstream


def _pool(session: Session, example: tuple[str, Any, list[int], int, Any]) -> None:
    kind, values, splits, n, upstream = example
    mirror = Mirror(session)
    mirror.ask(combine(kind, values, splits, n))
    mirror.ask(combine(kind, values, splits, n, upstream))


def _register_combiners() -> None:
    for kind in COMBINERS:
        strategy = _bags(kind)
        _register(
            f"core/combiner.{kind}/generated",
            f"{kind} and its gradient are the oracle's on generated bags",
            "features 2",
            exploring(strategy, _pool, quick=40, full=800),
            {f"combiner.{kind}"},
        )


_register_optimizers()
_register_compressors()
_register_combiners()
