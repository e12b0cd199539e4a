"""Row calls: optimizers, initializers and training reads over rows that no table owns. Rule: optimizers 1 to 6.

:class:`RowRule` is what one table's rows would be: its segments, the target and the rounding profile, the switches in
force, and the two random streams. Its methods take and give :class:`Rows`; they never change an array that they are
given, and refuse bad input (ConfigError, DtypeError, ShapeError, ArgumentError) before anything changes.

Examples
--------
>>> import numpy as np
>>> rule = RowRule([RowSegment(3, "adagrad", {"initial_accumulator_value": 1.0})])
>>> rows = rule.create(2)
>>> rows = rule.optimize(rows, np.ones((2, 3), np.float32), rates=[0.1])
>>> rows.weights[0]
array([-0.07071068, -0.07071068, -0.07071068], dtype=float32)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from monolith_kernels import random, rules
from monolith_kernels.layout import RowLayout, Segment, State
from monolith_kernels.rules import initializers, quantizers
from monolith_kernels.target import Target
from monolith_kernels.target import target as make_target
from numpy.typing import NDArray

from monolith_ref.errors import ConfigError
from monolith_ref.quirks import Quirks, as_quirks
from monolith_ref.row_checks import (
    check_fields,
    check_matrix,
    check_rates,
    check_state,
    check_step,
    checked_count,
    checked_dim,
    nearest_name,
)

__all__ = ["RowRule", "RowSegment", "Rows"]

F4 = NDArray[np.float32]


@dataclass(frozen=True)
class RowSegment:
    """One segment of a row, by the names and fields of the original's messages.

    Attributes
    ----------
    dim : int
        Floats of its embedding, at least 1.
    rule : str
        Name in ``OptimizerConfig.type``: ``"adagrad"``, ``"adam"``, ... (dc: give the base rule and ``dc_lambda``).
    config : mapping
        Fields of the rule's message; absent ones take the proto default.
    initializer, initializer_config
        ``"zeros"``, ``"ones"``, ``"constants"`` or ``"random_uniform"``, and the fields of its message.
    compressor, compressor_config
        ``"fp32"``, ``"fp16"``, ``"fixed_r8"`` or ``"one_bit"``: what a training read does.
    stochastic_rounding : bool
        Round the embedding to halves after every update.
    dc_lambda : float or None
        The rule is decorated with delay compensation of this strength.
    """

    dim: int
    rule: str = "sgd"
    config: Mapping[str, Any] = field(default_factory=dict)
    initializer: str = "zeros"
    initializer_config: Mapping[str, Any] = field(default_factory=dict)
    compressor: str = "fp32"
    compressor_config: Mapping[str, Any] = field(default_factory=dict)
    stochastic_rounding: bool = False
    dc_lambda: float | None = None

    def built(self, quirks: Quirks) -> Segment:
        """The kernels' form of this segment; ConfigError where it cannot be."""
        dim = checked_dim(self.dim)
        if self.rule == "dc":
            raise ConfigError("rule 'dc' decorates a base rule: give that as rule, and dc_lambda")
        if self.rule not in rules.ALL:
            raise ConfigError(
                f"unknown rule {self.rule!r}; the nearest known one is {nearest_name(self.rule, rules.ALL)!r}"
            )
        rule = rules.ALL[self.rule]
        if rule.one_dimensional and dim != 1 and "batch_softmax_any_dim" not in quirks:
            raise ConfigError(f"{self.rule} needs dim 1, got {dim} (quirk batch_softmax_any_dim)")
        config = check_fields(self.rule, self.config, rule.defaults)
        if self.initializer not in initializers.DEFAULTS:
            near = nearest_name(self.initializer, initializers.DEFAULTS)
            raise ConfigError(f"unknown initializer {self.initializer!r}; the nearest known one is {near!r}")
        drawn = check_fields(self.initializer, self.initializer_config, initializers.DEFAULTS[self.initializer])
        if self.dc_lambda is not None:
            check_fields("dc", {"lambda_": self.dc_lambda}, {"lambda_": 0.0})
        return Segment(
            dim,
            rule.make(config, quirks.on),
            initializers.make(self.initializer, drawn),
            bool(self.stochastic_rounding),
            built_quantizer(self.compressor, self.compressor_config, quirks),
        )


def built_quantizer(kind: str, config: Mapping[str, Any], quirks: Quirks) -> quantizers.Quantizer:
    """The kernels' form of a compressor; ConfigError where it cannot be."""
    if kind not in quantizers.DEFAULTS:
        near = nearest_name(kind, quantizers.DEFAULTS)
        raise ConfigError(f"unknown compressor {kind!r}; the nearest known one is {near!r}")
    checked = check_fields(kind, config, quantizers.DEFAULTS[kind])
    if kind == "fixed_r8" and not checked.get("r", 1.0) > 0:
        raise ConfigError(f"fixed_r8: r must be greater than 0, got {checked['r']!r}")
    if kind == "one_bit" and not checked.get("step_size", 200) > 0:
        raise ConfigError(f"one_bit: step_size must be greater than 0, got {checked['step_size']!r}")
    return quantizers.make(kind, checked, quirks.on)


@dataclass(frozen=True)
class Rows:
    """Rows as values.

    Attributes
    ----------
    weights : float32[n, D]
        Embeddings of all segments side by side.
    states : list of {field: array}, one per segment
        ``[n, dim]`` float32, ``[n]`` float32 or ``[n]`` int64 by dump field; ``{}`` for rules without state.
    """

    weights: F4
    states: list[State]

    def __len__(self) -> int:
        return len(self.weights)


class RowRule:
    """Segments, target, profile and switches of some rows, and the random streams that they draw from.

    Parameters
    ----------
    segments : sequence of RowSegment
        At least one.
    target : Target or str
        Where the arithmetic runs: ``"cpu"`` or ``"cuda"``.
    profile : str
        ``"ieee"`` or ``"avx"``; only used when ``target`` is a name.
    quirks : str, Quirks or None
        Switches in force, such as ``"default -ftrl_l1_sign"``.

    Attributes
    ----------
    scales : float32[segments]
        Present scale of every one_bit segment.
    """

    def __init__(
        self,
        segments: Sequence[RowSegment],
        target: Target | str = "cpu",
        *,
        profile: str = "ieee",
        quirks: str | Quirks | None = None,
    ) -> None:
        if not segments:
            raise ConfigError("a row needs at least one segment")
        self.quirks = as_quirks(quirks)
        try:
            self.target = make_target(target, profile) if isinstance(target, str) else target
        except ValueError as error:
            raise ConfigError(str(error)) from None
        self.segments = tuple(segments)
        self.layout = RowLayout.of(
            [segment.built(self.quirks) for segment in segments],
            round_rest_of_row="sr_rounds_rest_of_row" in self.quirks,
            drop_global_step="decorator_drops_global_step" in self.quirks,
        )
        self.initializer = random.mt19937()
        self.rounding = random.rounding_generator("sr_stuck_generator" in self.quirks)
        self.scales = np.array(
            [getattr(segment.quantizer, "init_scale", 1.0) for segment in self.layout.segments], np.float32
        )

    @property
    def dim(self) -> int:
        """Floats of a row's embedding."""
        return self.layout.dim

    # ---- making rows

    def create(self, count: int) -> Rows:
        """``count`` new rows: initializers (drawn in order) and initial states."""
        checked_count(count)
        rows = self.target.asarray(np.zeros((max(count, 1), self.layout.width), np.float32))
        numbers = np.arange(count)
        self.target.optimize.init_rows(self.target.profile, self.layout, rows, numbers, self.initializer)
        return self._unpacked(rows, count)

    def rows(self, weights: Any, states: Sequence[Mapping[str, Any]] | None = None) -> Rows:
        """Rows of given weights float32[n, D]; states default to those of new rows."""
        matrix = check_matrix("weights", weights, None, self.dim)
        full = self._template(len(matrix))
        self.layout.set_weights(full, matrix)
        if states is not None:
            self.layout.set_states(full, [self._checked_state(k, s, len(matrix)) for k, s in self._numbered(states)])
        return Rows(self.layout.weights_of(full), self.layout.states_of(full))

    def restore(self, dump: Rows) -> Rows:
        """Rows initialised, then restored from a dump; every initialisation consumes its draws.

        Quirk ``adam_restore_powers``: adam takes the saved beta2_power for its beta1_power,
        and keeps its own beta2_power.
        """
        weights = check_matrix("weights", dump.weights, None, self.dim)
        states = [self._checked_state(number, state, len(weights)) for number, state in self._numbered(dump.states)]
        fresh = self.create(len(weights))
        for number, state in enumerate(states):
            if "adam_restore_powers" in self.quirks and self.segments[number].rule == "adam":
                saved = state.pop("beta2_power", None)
                if saved is not None:
                    state["beta1_power"] = saved
        merged = [{**new, **state} for new, state in zip(fresh.states, states, strict=True)]
        return self.rows(weights, merged)

    # ---- using rows

    def optimize(self, rows: Rows, gradients: Any, rates: Any, global_step: int = 0, *, latest: Any = None) -> Rows:
        """Rows after one step of every segment's rule.

        Parameters
        ----------
        gradients : float32[n, D]
        rates : float32[segments]
            One learning rate per segment, in order.
        global_step : int
            int64; batch_softmax needs it to be 0 or more.
        latest : float32[n, D], optional
            The weights that dc compensates for: needed by, and only for, segments with ``dc_lambda``; without it they
            take a plain step of their base rule.
        """
        packed = self._packed(rows)
        gradient = check_matrix("gradients", gradients, len(rows), self.dim)
        rate = check_rates(rates, len(self.segments))
        step = check_step(global_step, any(rules.of(s.rule).needs_step for s in self.layout.segments))
        newest = None if latest is None else check_matrix("latest", latest, len(rows), self.dim)
        if newest is not None and any(segment.dc_lambda is None for segment in self.segments):
            raise ConfigError("latest is for rules decorated with dc_lambda; not every segment has one")
        place = self.target
        array, numbers = place.asarray(packed), np.arange(len(rows))
        scales = self._scales_at(step)
        seen, column, stride = place.quantize.backward(
            place.profile, self.layout, array, numbers, gradient, self.dim, scales
        )
        if newest is not None:
            seen, column, stride = self._compensated(array, numbers, seen, column, stride, newest), 0, self.dim
        elif self._plain_dc() and "decorator_drops_global_step" in self.quirks:
            step = 0
        place.optimize.update(
            place.profile, self.layout, array, numbers, seen, stride, rate, step, column=column,
            generator=self.rounding, threads=place.threads,
        )  # fmt: skip
        self.scales = scales
        return self._unpacked(array, len(rows))

    def seen_gradients(self, rows: Rows, gradients: Any, global_step: int = 0) -> F4:
        """The gradients as the optimizers of a step see them: one_bit segments change theirs. Nothing is updated."""
        packed = self._packed(rows)
        gradient = check_matrix("gradients", gradients, len(rows), self.dim)
        place, scales = self.target, self._scales_at(check_step(global_step, False))
        seen, _, _ = place.quantize.backward(
            place.profile, self.layout, place.asarray(packed), np.arange(len(rows)), gradient, self.dim, scales
        )
        return np.array(place.to_host(seen)).reshape(len(rows), self.dim)

    def read(self, rows: Rows) -> F4:
        """What a training lookup returns, float32[n, D]: fixed_r8 and one_bit segments change their values."""
        self._packed(rows)
        flat = self.target.asarray(np.array(rows.weights, np.float32).reshape(-1))
        self.target.quantize.read(self.layout, flat, 0, self.dim, len(rows), self.scales)
        return np.array(self.target.to_host(flat)).reshape(len(rows), self.dim)

    def assign(self, rows: Rows, values: Any) -> Rows:
        """Rows with other weights, states kept."""
        return self.rows(check_matrix("values", values, len(rows), self.dim), rows.states)

    def assign_add(self, rows: Rows, values: Any) -> Rows:
        """Rows with values added to their weights (one rounding each), states kept."""
        added = check_matrix("values", values, len(rows), self.dim)
        with np.errstate(all="ignore"):
            return self.rows(rows.weights + added, rows.states)

    # ---- inside

    def _scales_at(self, step: int) -> NDArray[np.float32]:
        return np.array(
            [
                quantizers.scale_at(self.target.profile, segment.quantizer, step, scale)
                if isinstance(segment.quantizer, quantizers.OneBit)
                else scale
                for segment, scale in zip(self.layout.segments, self.scales, strict=True)
            ],
            np.float32,
        )

    def _plain_dc(self) -> bool:
        return any(segment.dc_lambda is not None for segment in self.segments)

    def _compensated(self, array: Any, numbers: Any, seen: Any, column: int, stride: int, newest: F4) -> F4:
        place = self.target
        out = np.empty((len(numbers), self.dim), np.float32)
        for segment, where in zip(self.segments, self.layout.places, strict=True):
            whole = place.optimize.compensate(
                place.profile, self.layout, array, numbers, seen, stride, segment.dc_lambda, newest, self.dim,
                column=column,
            )  # fmt: skip
            span = slice(where.embedding, where.embedding + where.dim)
            out[:, span] = place.to_host(whole)[:, span]
        return out

    def _template(self, count: int) -> F4:
        return np.repeat(self.layout.template()[None], count, axis=0)

    def _numbered(self, states: Sequence[Mapping[str, Any]]) -> list[tuple[int, Mapping[str, Any]]]:
        if len(states) != len(self.segments):
            raise ConfigError(f"states must have one mapping per segment ({len(self.segments)}), got {len(states)}")
        return list(enumerate(states))

    def _checked_state(self, number: int, state: Mapping[str, Any], count: int) -> State:
        rule = rules.of(self.layout.segments[number].rule)
        return check_state(number, rule, state, count, self.segments[number].dim)

    def _packed(self, rows: Rows) -> F4:
        weights = check_matrix("rows.weights", rows.weights, None, self.dim)
        full = self._template(max(len(weights), 1))[: len(weights)]
        self.layout.set_weights(full, weights)
        self.layout.set_states(
            full, [self._checked_state(number, state, len(weights)) for number, state in self._numbered(rows.states)]
        )
        return full

    def _unpacked(self, array: Any, count: int) -> Rows:
        host = self.target.to_host(array)[:count]
        return Rows(self.layout.weights_of(host), self.layout.states_of(host))
