"""Single steps that tell each rule from its near misses: the first inputs to try with a new port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from monolith_conformance.cases.case import Case, register
from monolith_conformance.cases.golden import floats, table_config
from monolith_conformance.entries import entry_of
from monolith_conformance.oracle.table import Row
from monolith_conformance.session import Session

__all__: list[str] = []

FID = 7


@dataclass(frozen=True)
class _Port:
    """A row from ``start``, a list of (gradients, rate), and the words of the row after each step.

    ``avx`` replaces ``words`` where that profile differs; ``state`` is what the row holds at the end.
    """

    name: str
    rule: str
    sentence: str
    steps: tuple[tuple[tuple[float, ...], float], ...]
    words: str
    avx: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    start: tuple[float, ...] = (0.0,)
    state: Mapping[str, str] = field(default_factory=dict)
    state_avx: Mapping[str, str] = field(default_factory=dict)
    quirks: frozenset[str] = frozenset()


_HARD = float(np.array([0xBF0B548F], np.uint32).view(np.float32)[0])

_PORTS = (
    _Port(
        "quotient-first",
        "adagrad",
        "adagrad divides the rate by the root, then multiplies by the gradient",
        (((_HARD,), 0.01),),
        "3c0da9e7",
        avx="3c0da9e6",
        state={"norm": "3ecadd11"},
        state_avx={"norm": "3ecadd12"},
    ),
    _Port(
        "defaults",
        "adagrad",
        "adagrad's accumulator starts at .1, and its root has no epsilon",
        (((1.0,), 0.01),),
        "bc1c371f",
        state={"norm": "3f8ccccd"},
    ),
    _Port(
        "decays-weights",
        "adagrad",
        "adagrad adds the decayed weight to the gradient before anything else",
        (((0.0,), 0.01), ((0.5,), 0.01)),
        "3f7f3a67 3f7cfce8",
        config={"weight_decay_factor": 0.1},
        start=(1.0,),
        state={"norm": "3ef0746e"},
        state_avx={"norm": "3ef0746d"},
    ),
    _Port(
        "epsilon-outside-corrections",
        "adam",
        "adam adds epsilon to the root of v itself; both corrections are in the rate",
        (((0.1,), 0.01),),
        "bba3d707",
        state={"m": "3c23d70d", "v": "38d1b70b", "beta1_power": "3f4f5c28", "beta2_power": "3f7ae7d6"},
    ),
    _Port(
        "defaults",
        "adam",
        "adam's beta2 is .99 and its epsilon .01 where the message says nothing",
        (((0.1,), 0.01), ((0.2,), 0.01)),
        "bba3d707 bc3f01ce",
        state={"m": "3ced916c", "v": "3a02cf4b", "beta1_power": "3f3a9fbd", "beta2_power": "3f786585"},
    ),
    _Port(
        "decays-weights",
        "adam",
        "adam adds the decayed weight to the gradient",
        (((0.0,), 0.01),),
        "3f7eb852",
        config={"weight_decay_factor": 0.1},
        start=(1.0,),
    ),
    _Port(
        "nesterov",
        "adam",
        "adam looks ahead by the new m and the gradient",
        (((0.1,), 0.01), ((-0.3,), 0.01)),
        "bc1ba5e1 ba4ae5a4",
        avx="bc1ba5e1 ba4ae5b0",
        config={"use_nesterov": True},
    ),
    _Port(
        "both-corrections",
        "amsgrad",
        "amsgrad's rate has both corrections",
        (((1.0,), 0.01),),
        "bc14f208",
        state={
            "m": "3dccccd0",
            "v": "3c23d700",
            "vhat": "3c23d700",
            "beta1_power": "3f4f5c28",
            "beta2_power": "3f7ae7d6",
        },
    ),
    _Port(
        "rate-inside-velocity",
        "momentum",
        "momentum's velocity holds steps, rate and sign included, so a later rate leaves earlier steps as they were",
        (((1.0,), 0.1), ((1.0,), 0.01)),
        "bdcccccd be4ccccc",
        state={"n": "bdcccccc"},
    ),
    _Port(
        "root-plus-one",
        "rmsprop",
        "rmsprop divides by the root of n plus one",
        (((1.0,), 0.01),),
        "bbf8f430",
        state={"n": "3dccccd0"},
    ),
    _Port(
        "sum-of-squares",
        "rmspropv2",
        "rmspropv2 adds whole squares to the decayed n",
        (((1.0,), 0.01), ((1.0,), 0.01)),
        "bba3d70a bc16ce77",
        state={"n": "3ff33333"},
    ),
    _Port(
        "rate-applied",
        "adadelta",
        "adadelta multiplies its step by the rate",
        (((1.0,), 0.01), ((1.0,), 0.1)),
        "bb459934 bd0ae615",
        state={"accum": "3e428f5f", "accum_update": "3c9138ca"},
        state_avx={"accum": "3e428f5f", "accum_update": "3c9138c9"},
    ),
    _Port(
        "l1-sign-bit",
        "ftrl",
        "ftrl adds l1 where zero is negative and leaves it out where it is positive, as the original does",
        (((1.0, -1.0), 0.1),),
        "bdc344e7 3dd6cbcb",
        config={"l1_regularization_strength": 0.1},
        start=(0.0, 0.0),
        state={"zero": "3f800000 bf800000", "norm": "3f8ccccd 3f8ccccd"},
        quirks=frozenset({"ftrl_l1_sign"}),
    ),
    _Port(
        "beta-and-accumulator",
        "ftrl",
        "ftrl's accumulator starts at .1, and beta is added to its root",
        (((1.0,), 0.1),),
        "bd47ebca",
        config={"beta": 1.0},
        state={"zero": "3f800000", "norm": "3f8ccccd"},
    ),
    _Port(
        "rate-applied",
        "ftrl",
        "ftrl's weight is in proportion to the rate of the call",
        (((1.0,), 0.01),),
        "bb9fefd4",
        config={"beta": 1.0},
        state={"zero": "3f800000", "norm": "3f8ccccd"},
    ),
)


def _judge(port: _Port) -> Any:
    def judge(session: Session) -> None:
        table = session.table(table_config([{"dim": len(port.start), "rule": port.rule, "config": port.config}]))
        avx = session.profile == "avx"
        table.op("assign", [FID], np.array(port.start, np.float32), time=1)
        words = floats((port.avx if avx else "") or port.words).reshape(len(port.steps), -1)
        for (gradients, rate), expected in zip(port.steps, words, strict=True):
            table.op("optimize", [FID], np.array(gradients, np.float32), np.array([rate], np.float32), time=2)
            table.op("lookup", [FID])
            session.expect(floats=expected, ints=[1])
        held = (port.state_avx if avx else {}) or port.state
        if held and session.can("table.lookup_entry"):
            table.op("lookup_entry", [FID])
            state = {name: floats(value) for name, value in held.items()}
            single = {name: value[0] if name.endswith("_power") else value for name, value in state.items()}
            session.expect(entries=[entry_of(Row(FID, words[-1], [single], 2), [port.rule], with_id=False)])

    return judge


def _powers(session: Session) -> None:
    table = session.table(table_config([{"dim": 1, "rule": "adam", "config": {}}]))
    for step in range(8):
        table.op("optimize", [FID], [0.0], np.array([0.01], np.float32), time=step)
    table.op("lookup_entry", [FID])
    # Eight roundings of .9 · .9 · …: the power itself, rounded once, is 3ec65bf7.
    state = {"m": floats("00000000"), "v": floats("00000000")}
    powers = {"beta1_power": floats("3ec65bf8")[0], "beta2_power": floats("3f69dc46")[0]}
    row = Row(FID, floats("00000000"), [{**state, **powers}], 7)
    session.expect(entries=[entry_of(row, ["adam"], with_id=False)])


for _port in _PORTS:
    register(
        Case(
            id=f"core/optimizer.{_port.rule}/{_port.name}",
            rule=_port.sentence,
            section="optimizers 1",
            judge=_judge(_port),
            needs=frozenset(
                {f"optimizer.{_port.rule}", "initializer.zeros", "table.assign", "table.optimize", "table.lookup"}
            ),
            quirks=_port.quirks,
        )
    )
register(
    Case(
        id="core/optimizer.adam/powers-are-products",
        rule="adam multiplies its stored powers by the betas at every step",
        section="optimizers 1",
        judge=_powers,
        needs=frozenset({"optimizer.adam", "initializer.zeros", "table.optimize", "table.lookup_entry"}),
    )
)
