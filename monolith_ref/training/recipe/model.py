"""The model of a TOML file: features, slices, dense layers, loss. Rule: features 1; job 1."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from monolith_ref.entry import AdagradOptimizer, Compressor, Initializer, Optimizer
from monolith_ref.fid import V2_MAX_SLOT
from monolith_ref.learning_rate import PolynomialDecay
from monolith_ref.training.recipe import parts
from monolith_ref.training.recipe.document import Section, nearest

__all__ = ["FeatureSpec", "ModelSpec", "SliceSpec", "read_model"]

FeatureKind = Literal["hash", "id", "number"]
Combiner = Literal["reduce_sum", "reduce_mean", "first_n"]


@dataclass(frozen=True)
class FeatureSpec:
    """One input of the model.

    Attributes
    ----------
    name : str
    column : str
        Column of the input.
    slot : int
        Upper bits of its ids (of a ``shared`` feature: the slot of the feature whose table it reads); 0 for numbers.
    kind : "hash", "id" or "number"
        ``hash``: texts and whole numbers are hashed (job 1); ``id``: whole numbers in 0..2^48-1 are the ids
        themselves; ``number``: no ids, a number that the dense layers read.
    separator : str or None
        Between the values of a cell that holds several.
    combiner : "reduce_sum", "reduce_mean" or "first_n"
    max_length : int
        Values kept of a cell (``first_n``).
    occurrence_threshold : int
        Updates that an id has to ask for before it gets a row.
    expire_days : int
    shared : str or None
        Feature whose table this one reads.
    """

    name: str
    column: str
    slot: int
    kind: FeatureKind = "hash"
    separator: str | None = None
    combiner: Combiner = "reduce_sum"
    max_length: int = 0
    occurrence_threshold: int = 0
    expire_days: int = 36500
    shared: str | None = None


@dataclass(frozen=True)
class SliceSpec:
    """A stretch of the rows of some features.

    Attributes
    ----------
    name : str
    dim : int
    features : tuple of str
        Empty: all that have ids.
    to : "layers" or "output"
        Side by side into the first dense layer; or (dim 1) added to the output.
    initializer, optimizer, compressor, learning_rate : as in ``lookup_embedding_slice``; None: the slot's default.
    """

    name: str
    dim: int
    features: tuple[str, ...]
    to: Literal["layers", "output"] = "layers"
    initializer: Initializer | None = None
    optimizer: Optimizer | None = None
    compressor: Compressor | None = None
    learning_rate: float | PolynomialDecay | None = None


@dataclass(frozen=True)
class ModelSpec:
    """What the model computes.

    Attributes
    ----------
    layers : tuple of int
        Units of the hidden dense layers; the output (one unit, linear) follows.
    activations : tuple of "relu" or "linear"
        One per hidden layer.
    bias : float
        Initial bias of hidden layers.
    loss : "bce" or "mse"
    optimizer : Optimizer
        Of dense variables.
    """

    name: str
    features: tuple[FeatureSpec, ...]
    slices: tuple[SliceSpec, ...]
    layers: tuple[int, ...] = ()
    activations: tuple[str, ...] = ()
    bias: float = 0.0
    loss: Literal["bce", "mse"] = "bce"
    optimizer: Optimizer = field(
        default_factory=lambda: AdagradOptimizer(learning_rate=0.05, initial_accumulator_value=0.1)
    )

    @property
    def embedded(self) -> tuple[FeatureSpec, ...]:
        """Features that have ids."""
        return tuple(feature for feature in self.features if feature.kind != "number")

    @property
    def numbers(self) -> tuple[FeatureSpec, ...]:
        """Features that are numbers."""
        return tuple(feature for feature in self.features if feature.kind == "number")


def read_model(root: Section) -> ModelSpec:
    """``[model]``, ``[[model.slices]]`` and ``[[features]]`` of a document."""
    features = _features(root)
    section = root.section("model")
    name = section.text("name", "model")
    layers = section.wholes("layers", ())
    spec = ModelSpec(
        name,
        features,
        _slices(section, features),
        layers,
        _activations(section, len(layers)),
        section.number("bias", 0.0),
        section.choice("loss", ("bce", "mse"), "bce"),
        parts.optimizer(section, "optimizer", AdagradOptimizer(learning_rate=0.05, initial_accumulator_value=0.1)),  # type: ignore[arg-type]
    )
    section.done()
    if not spec.numbers and all(piece.to == "output" for piece in spec.slices):
        raise section.error("no slice goes to the layers: one with to = 'layers', or a number, is needed")
    return spec


def _activations(section: Section, count: int) -> tuple[str, ...]:
    given = section.texts("activations", "relu")
    words = given * count if len(given) == 1 else given
    if len(words) != count:
        raise section.error(f"model.activations: {len(words)} words for {count} layers", "activations")
    for word in words:
        if word not in ("relu", "linear"):
            raise section.error(
                f"model.activations: there is no {word!r}{nearest(word, ('relu', 'linear'))}", "activations"
            )
    return words


def _features(root: Section) -> tuple[FeatureSpec, ...]:
    sections = root.sections("features")
    if not sections:
        raise root.error("there are no [[features]]")
    found: list[FeatureSpec] = []
    slots: dict[int, str] = {}
    for position, section in enumerate(sections):
        feature = _feature(section, position, found)
        for other in found:
            if other.name == feature.name:
                raise section.error(f"feature {feature.name!r} is there twice", "name")
        if feature.kind != "number" and feature.shared is None:
            if feature.slot in slots:
                raise section.error(
                    f"feature {feature.name!r} has slot {feature.slot}, which is {slots[feature.slot]!r}'s", "slot"
                )
            slots[feature.slot] = feature.name
        found.append(feature)
    if all(feature.kind == "number" for feature in found):
        raise root.error("all features are numbers: at least one must have ids")
    return tuple(found)


def _feature(section: Section, position: int, earlier: list[FeatureSpec]) -> FeatureSpec:
    name = section.text("name")
    kind: FeatureKind = section.choice("kind", ("hash", "id", "number"), "hash")
    column = section.text("column", name)
    if kind == "number":
        section.done()
        return FeatureSpec(name, column, 0, "number")
    shared = section.text("shared", None)
    slot = section.whole("slot", None, 1, V2_MAX_SLOT)
    if shared is not None:
        tables = {f.name: f for f in earlier if f.kind != "number" and f.shared is None}
        if shared not in tables:
            hint = nearest(shared, list(tables))
            raise section.error(
                f"feature {name!r} shares the table of {shared!r}, which no feature before has{hint}", "shared"
            )
        for key in ("slot", "occurrence_threshold", "expire_days"):
            if section.has(key):
                raise section.error(f"feature {name!r}: {key} is that of {shared!r}, whose table it shares", key)
        slot = tables[shared].slot
    combiner: Combiner = section.choice("combiner", ("reduce_sum", "reduce_mean", "first_n"), "reduce_sum")
    length = section.whole("max_length", 0)
    if (combiner == "first_n") != (length > 0):
        raise section.error(
            f"feature {name!r}: combiner 'first_n' and max_length (at least 1) go together", "max_length"
        )
    made = FeatureSpec(
        name,
        column,
        1 + position if slot is None else slot,
        kind,
        section.text("separator", None),
        combiner,
        length,
        section.whole("occurrence_threshold", 0),
        section.whole("expire_days", 36500),
        shared,
    )
    section.done()
    return made


def _slices(model: Section, features: tuple[FeatureSpec, ...]) -> tuple[SliceSpec, ...]:
    sections = model.sections("slices")
    if not sections:
        raise model.error("there are no [[model.slices]]")
    with_ids = {feature.name: feature for feature in features if feature.kind != "number"}
    found: list[SliceSpec] = []
    for section in sections:
        name = section.text("name")
        if any(other.name == name for other in found):
            raise section.error(f"slice {name!r} is there twice", "name")
        names = section.texts("features", ())
        for one in names:
            if one not in with_ids:
                hint = nearest(one, list(with_ids))
                raise section.error(f"slice {name!r} is of {one!r}, which is no feature with ids{hint}", "features")
        if len(set(names)) < len(names):
            raise section.error(f"slice {name!r} names a feature twice", "features")
        to: Literal["layers", "output"] = section.choice("to", ("layers", "output"), "layers")
        dim = section.whole("dim", 1, 1) if to == "output" else section.whole("dim", low=1)
        if to == "output" and dim != 1:
            raise section.error(f"slice {name!r} is added to the output: its dim must be 1, not {dim}", "dim")
        used = [with_ids[one] for one in names or with_ids]
        if to == "output" and any(feature.combiner == "first_n" for feature in used):
            raise section.error(
                f"slice {name!r} is added to the output: its features must not be sequences", "features"
            )
        found.append(
            SliceSpec(
                name,
                dim,
                tuple(feature.name for feature in used),
                to,
                parts.initializer(section, "initializer"),
                parts.optimizer(section, "optimizer"),
                parts.compressor(section, "compressor"),
                parts.learning_rate(section, "learning_rate"),
            )
        )
        section.done()
    for feature in with_ids:
        if not any(feature in piece.features for piece in found):
            raise model.error(f"feature {feature!r} is in no slice")
    return tuple(found)
