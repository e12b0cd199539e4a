"""How a row is laid out: the embedding parts of all segments, then their states.

One row is ``width`` float32 words, 64-byte aligned where the array is::

    [ embedding: segment 0 | segment 1 | ... | padding ]           ``embedding_width`` words
    [ state array 0 of segment 0, padded | state array 1 ... ]     each padded to its segment's ``pad``
    [ row words of segment 0 | row words of segment 1 | ... ]      adam's powers, batch_softmax's step
    [ padding to ``width`` ]

The embedding parts lie side by side without gaps, so a row's first ``dim`` words are its embedding. Padding words are
never copied out; kernels may leave anything in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_kernels import rules
from monolith_kernels.rules.initializers import Initializer, Zeros
from monolith_kernels.rules.quantizers import Fp32, Quantizer

__all__ = ["RowLayout", "Segment", "SegmentPlace", "State", "padded"]

State = dict[str, Any]
"""Optimizer state of rows by dump field: ``[n, dim]`` float32, ``[n]`` float32 or ``[n]`` int64."""


def padded(dim: int) -> int:
    """Words that a part of ``dim`` floats takes: a power of two up to 8, a multiple of 16 above (0 stays 0).

    Whole vectors are what makes loops fast; below one vector memory counts, so a bias of one float takes one.
    """
    if dim <= 8:
        return 1 << (dim - 1).bit_length() if dim > 0 else 0
    return -(-dim // 16) * 16


@dataclass(frozen=True)
class Segment:
    """One segment of a row.

    Attributes
    ----------
    dim : int
        Floats of its embedding.
    rule : NamedTuple
        Hyper-parameters of its optimizer, from :func:`monolith_kernels.rules.make`.
    initializer : NamedTuple
        From :func:`monolith_kernels.rules.initializers.make`.
    stochastic_rounding : bool
        Round the embedding to float16 values after each update (optimizers 3).
    quantizer : NamedTuple
        What a training read does (optimizers 6): from :func:`monolith_kernels.rules.quantizers.make`.
    """

    dim: int
    rule: Any
    initializer: Initializer = field(default_factory=Zeros)
    stochastic_rounding: bool = False
    quantizer: Quantizer = field(default_factory=Fp32)

    @property
    def name(self) -> str:
        """Name of the rule, which is also the name of its dump message field."""
        return rules.of(self.rule).name


@dataclass(frozen=True)
class SegmentPlace:
    """Where a segment lies in a row (offsets in float32 words from the row's start)."""

    dim: int
    embedding: int
    state: int
    state_words: int
    pad: int
    words: int


@dataclass(frozen=True)
class RowLayout:
    """The layout of one table's rows. Make it with :meth:`RowLayout.of`.

    Attributes
    ----------
    segments : tuple of Segment
    places : tuple of SegmentPlace
    dim : int
        Embedding floats of the whole row.
    embedding_width : int
        Words of the embedding part, padded.
    width : int
        Words of a row.
    round_rest_of_row : bool
        Quirk ``sr_rounds_rest_of_row``.
    drop_global_step : bool
        Quirk ``decorator_drops_global_step``.
    """

    segments: tuple[Segment, ...]
    places: tuple[SegmentPlace, ...]
    dim: int
    embedding_width: int
    width: int
    round_rest_of_row: bool = False
    drop_global_step: bool = False

    @staticmethod
    def of(
        segments: Sequence[Segment],
        *,
        round_rest_of_row: bool = False,
        drop_global_step: bool = False,
    ) -> RowLayout:
        """Lay out rows of these segments (at least one; every dim at least 1)."""
        if not segments:
            raise ValueError("a row needs at least one segment")
        for number, segment in enumerate(segments):
            if segment.dim < 1:
                raise ValueError(f"segment {number}: dim must be at least 1, not {segment.dim}")
        dim = sum(segment.dim for segment in segments)
        cursor = padded(dim)
        states: list[int] = []
        for segment in segments:
            states.append(cursor)
            cursor += len(rules.of(segment.rule).state) * padded(segment.dim)
        places: list[SegmentPlace] = []
        embedding = 0
        for segment, state in zip(segments, states, strict=True):
            pad = padded(segment.dim)
            size = len(rules.of(segment.rule).state) * pad
            places.append(SegmentPlace(segment.dim, embedding, state, size, pad, cursor))
            embedding += segment.dim
            cursor += len(rules.of(segment.rule).words)
        return RowLayout(
            tuple(segments),
            tuple(places),
            dim,
            padded(dim),
            padded(cursor),
            round_rest_of_row,
            drop_global_step,
        )

    def size_bytes(self) -> int:
        """Bytes of a row as the original counts them: embedding and state, unpadded (optimizers 1)."""
        return 4 * sum(
            segment.dim * (1 + len(rule.state)) + len(rule.words)
            for segment, rule in ((s, rules.of(s.rule)) for s in self.segments)
        )

    def uncompressed_size_bytes(self) -> int:
        """The *uncompressed* size that the original reports (differs for group_adagrad)."""
        return 4 * sum(
            segment.dim * (1 + len(rule.state)) + (segment.dim if rule.name == "group_adagrad" else len(rule.words))
            for segment, rule in ((s, rules.of(s.rule)) for s in self.segments)
        )

    def template(self) -> NDArray[np.float32]:
        """A fresh row ``[width]`` with every constant part set (random parts stay 0)."""
        return self._template.copy()

    @cached_property
    def _template(self) -> NDArray[np.float32]:
        row = np.zeros(self.width, np.float32)
        for segment, place in zip(self.segments, self.places, strict=True):
            value = segment.initializer.constant_value()
            if value is not None:
                row[place.embedding : place.embedding + place.dim] = value
            rule = rules.of(segment.rule)
            for number, fill in enumerate(rule.initial_state(segment.rule)):
                start = place.state + number * place.pad
                row[start : start + place.dim] = fill
            for number, word in enumerate(rule.initial_words(segment.rule)):
                row[place.words + number] = word
        return row

    def weights_of(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embeddings ``[n, dim]`` (a copy) of host rows ``[n, width]``."""
        return np.ascontiguousarray(rows[:, : self.dim])

    def states_of(self, rows: NDArray[np.float32]) -> list[State]:
        """Per segment, its state arrays of host rows ``[n, width]`` by dump field, as copies (``{}`` where none)."""
        return [self._state_of(rows, number) for number in range(len(self.segments))]

    def _state_of(self, rows: NDArray[np.float32], number: int) -> State:
        place, rule = self.places[number], rules.of(self.segments[number].rule)
        state: State = {}
        for index, name in enumerate(rule.state):
            start = place.state + index * place.pad
            state[name] = np.ascontiguousarray(rows[:, start : start + place.dim])
        words = np.ascontiguousarray(rows[:, place.words : place.words + len(rule.words)])
        state.update(rule.words_to_fields(rule, words))
        return state

    def set_weights(self, rows: NDArray[np.float32], weights: NDArray[np.float32]) -> None:
        """Write embeddings ``[n, dim]`` into host rows ``[n, width]``."""
        rows[:, : self.dim] = weights

    def set_states(self, rows: NDArray[np.float32], states: Sequence[Mapping[str, Any]]) -> None:
        """Write states, one mapping per segment, into host rows ``[n, width]``; absent fields keep what is there."""
        for number, state in enumerate(states):
            place, rule = self.places[number], rules.of(self.segments[number].rule)
            for index, name in enumerate(rule.state):
                if name in state:
                    start = place.state + index * place.pad
                    rows[:, start : start + place.dim] = state[name]
            span = slice(place.words, place.words + len(rule.words))
            if rule.words:
                words = np.ascontiguousarray(rows[:, span])
                rows[:, span] = rule.fields_to_words(rule, words, state)
