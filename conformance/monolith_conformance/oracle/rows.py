"""Rows of several segments, naively, one row at a time: the calls of the engine's row rules. Rule: optimizers 1 to 6.

Segments are any objects with the attributes ``dim``, ``rule``, ``config``, ``initializer``, ``initializer_config``,
``compressor``, ``compressor_config``, ``stochastic_rounding`` and ``dc_lambda``. Rows are ``(weights, states)``:
float32 ``[n, D]`` and, per row, one ``{field: value}`` per segment.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from monolith_conformance.oracle import rules
from monolith_conformance.oracle.rules import draw, quantize
from monolith_conformance.oracle.rules.floats import Array, F

__all__ = ["OracleRows", "pack", "unpack"]

States = list[list[dict[str, Any]]]


class OracleRows:
    """What one table's rows do, and the streams that they draw from."""

    def __init__(self, segments: Sequence[Any], profile: str = "ieee", quirks: Collection[str] = ()) -> None:
        self.segments, self.profile, self.quirks = list(segments), profile, set(quirks)
        self.stream = draw.UniformStream()
        self.generator = draw.RoundingGenerator("sr_stuck_generator" in self.quirks)
        self.starts = np.cumsum([0] + [s.dim for s in self.segments])
        self.quantizers = [{**quantize.DEFAULTS[s.compressor], **s.compressor_config} for s in self.segments]
        self.scales = [config.get("init_scale", F(1)) for config in self.quantizers]

    def _span(self, number: int) -> slice:
        return slice(int(self.starts[number]), int(self.starts[number + 1]))

    def create(self, count: int) -> tuple[Array, States]:
        """New rows, in order."""
        weights = np.zeros((count, self.starts[-1]), F)
        for row in weights:
            for number, s in enumerate(self.segments):
                config = {**draw.DEFAULTS[s.initializer], **s.initializer_config}
                row[self._span(number)] = self.stream.values(self.profile, s.initializer, config, s.dim)
        states = [[rules.initial(s.rule, s.config, s.dim) for s in self.segments] for _ in range(count)]
        return weights, states

    def restore(self, weights: Array, states: States) -> tuple[Array, States]:
        """New rows, then overwritten from a dump."""
        _, fresh = self.create(len(weights))
        for row, saved in zip(fresh, states, strict=True):
            for s, state, dump in zip(self.segments, row, saved, strict=True):
                if s.rule == "adam" and "adam_restore_powers" in self.quirks:
                    dump = {**dump, "beta1_power": dump["beta2_power"], "beta2_power": state["beta2_power"]}
                state.update(dump)
        return weights.copy(), fresh

    def optimize(
        self, weights: Array, states: States, gradients: Array, rates: Any, step: int = 0, latest: Array | None = None
    ) -> tuple[Array, States]:
        """Rows after one step; row by row, segment by segment."""
        out = weights.copy()
        after: States = [list(row) for row in states]
        # Gradients go through the compressors first, all segments, from the row as it was.
        passed = self.seen_gradients(weights, gradients, step)
        self.scales = self.scales_at(step)
        for k, w in enumerate(out):
            for number, s in enumerate(self.segments):
                span = self._span(number)
                g = passed[k, span]
                if latest is not None:
                    g = rules.compensated(s.dc_lambda, w[span], g, latest[k, span], profile=self.profile)
                decorated = s.stochastic_rounding or (s.dc_lambda is not None and latest is None)
                seen = 0 if decorated and "decorator_drops_global_step" in self.quirks else step
                w[span], after[k][number] = rules.update(
                    s.rule, s.config, w[span], states[k][number], g, rates[number], seen,
                    profile=self.profile, quirks=self.quirks,
                )  # fmt: skip
                if s.stochastic_rounding:
                    end = None if "sr_rounds_rest_of_row" in self.quirks else span.stop
                    w[span.start : end] = draw.rounded(w[span.start : end], self.generator)
        return out, after

    def scales_at(self, step: int) -> list[Any]:
        """Scale of every segment at a step."""
        return [
            quantize.scale_at(self.profile, config, step, scale) if s.compressor == "one_bit" else scale
            for s, config, scale in zip(self.segments, self.quantizers, self.scales, strict=True)
        ]

    def seen_gradients(self, weights: Array, gradients: Array, step: int) -> Array:
        """Gradients as the optimizers of a step see them."""
        out, scales = gradients.copy(), self.scales_at(step)
        for k, w in enumerate(weights):
            for number, s in enumerate(self.segments):
                span = self._span(number)
                out[k, span] = quantize.backward(
                    self.profile, s.compressor, self.quantizers[number], w[span], out[k, span], scales[number]
                )
        return out

    def read(self, weights: Array) -> Array:
        """What a training lookup returns."""
        out = weights.copy()
        for w in out:
            for number, s in enumerate(self.segments):
                span = self._span(number)
                w[span] = quantize.read(
                    s.compressor, self.quantizers[number], self.quirks, w[span], self.scales[number]
                )
        return out


def pack(segments: Sequence[Any], quirks: Collection[str], row: Array) -> bytes:
    """The bytes of a serving row; segments have ``dim``, ``compressor`` and ``config``."""
    data, start = b"", 0
    for s in segments:
        config = {**quantize.DEFAULTS[s.compressor], **s.config}
        data += quantize.encode(s.compressor, config, quirks, row[start : start + s.dim])
        start += s.dim
    return data


def unpack(segments: Sequence[Any], data: bytes) -> Array:
    """The floats of a serving row."""
    parts, start = [], 0
    for s in segments:
        config = {**quantize.DEFAULTS[s.compressor], **s.config}
        size = s.dim * {"fp32": 4, "fp16": 2}.get(s.compressor, 1)
        parts.append(quantize.decode(s.compressor, config, data[start : start + size]))
        start += size
    return np.concatenate(parts)
