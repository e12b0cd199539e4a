"""Wrong variants of what draws: initial values, and stochastic rounding."""

from __future__ import annotations

from typing import Any

from monolith_conformance.mutants.mutant import Mutant, Replacement, edit, swap
from monolith_conformance.oracle.rules.floats import fma

__all__ = ["MUTANTS"]

DRAW = "oracle.rules.draw"
UNIFORM = frozenset({"initializer.random_uniform"})
ROUNDING = frozenset({"optimizer.stochastic_rounding"})


def _initial(
    name: str, sentence: str, *replacements: Replacement, about: str = "random_uniform", **settings: Any
) -> Mutant:
    settings.setdefault("killed_by", ("core/initializer/",))
    return Mutant(name, sentence, replacements, about=frozenset({f"initializer.{about}"}), **settings)


def _values(name: str, sentence: str, *changes: tuple[str, str], **settings: Any) -> Mutant:
    return _initial(name, sentence, edit(f"{DRAW}:UniformStream.values", *changes), **settings)


def _rounding(name: str, sentence: str, target: str, *changes: tuple[str, str]) -> Mutant:
    killed_by = ("core/optimizer.stochastic_rounding/", "core/segments/")
    return Mutant(name, sentence, (edit(target, *changes),), killed_by, ROUNDING)


_DRAW = "self._bits.random_raw(dim).astype(np.uint32).astype(F) * F(2.0**-32)"

MUTANTS: tuple[Mutant, ...] = (
    _initial(
        "uniform-other-seed",
        "another seed",
        edit(f"{DRAW}:UniformStream.__init__", ("_legacy_seeding(5489)", "_legacy_seeding(5490)")),
        deviation=19,
    ),
    _initial(
        "uniform-seeded-by-sequence",
        "a generator seeded through a seed sequence",
        edit(f"{DRAW}:UniformStream.__init__", ("np.random.MT19937()", "np.random.MT19937(5489)"),
             ("self._bits._legacy_seeding(5489)", "pass")),
        deviation=19,
    ),
    _initial(
        "uniform-stream-per-table",
        "a stream of its own for every table",
        edit("oracle.table:OracleTable.__init__", ("if shared is not None:", "if shared is not None and False:")),
    ),
    _values("uniform-24-bits", "the upper 24 bits of a draw",
            (_DRAW, "(self._bits.random_raw(dim) >> 8).astype(F) * F(2.0**-24)")),
    _values("uniform-31-bits", "31 bits of a draw",
            (_DRAW, "(self._bits.random_raw(dim) >> 1).astype(np.uint32).astype(F) * F(2.0**-31)")),
    _values("uniform-53-bits", "two draws a number, as for a double",
            (_DRAW, "((self._bits.random_raw(2 * dim)[::2] >> 5) * 2.0**-27).astype(F)")),
    _values("uniform-two-products", "u*high + (1 - u)*low", ("madd(profile, u, high - low, low)",
        "u * high + (F(1) - u) * low")),
    _values("uniform-default-bounds", "bounds of -.05 and .05 whatever is configured",
            ('F(config["minval"]), F(config["maxval"])', "F(-0.05), F(0.05)")),
    _initial("uniform-fused", "a fused multiply-add", swap(f"{DRAW}:madd", lambda profile, a, b, c: fma(a, b, c))),
    _values("ones-are-zeros", "zeros for ones", ('"ones": 1', '"ones": 0'), about="ones"),
    _values("constants-are-zeros", "zeros for constants", ('config.get("constant", 0.0)', "0.0"), about="constants"),
    _initial("segments-initialised-backwards", "segments drawn from the last to the first",
             edit("oracle.rows:OracleRows.create",
                  ("in enumerate(self.segments)", "in reversed(list(enumerate(self.segments)))")),
             killed_by=("core/initializer/", "table/trace/")),
    _initial("rows-drawn-backwards", "new rows of a call drawn from the last to the first",
             edit("oracle.table:OracleTable.assign_add",
                  ("asked = [", "for fid in reversed(list(ids)):\n        self._row(fid)\n    asked = [")),
             killed_by=("table/trace/",)),
    _rounding("rounding-to-nearest", "rounding to the nearest half in place of a draw", f"{DRAW}:rounded",
              ("draws <= share", "share >= F(0.5)")),
    _rounding("rounding-up-below", "the lower half taken for small draws", f"{DRAW}:rounded", ("draws <= share",
        "draws > share")),
    _rounding("rounding-two-draws", "two draws an element", f"{DRAW}:rounded",
              ("[generator.draw() for _ in w]", "[(generator.draw(), generator.draw())[0] for _ in w]")),
    _rounding("rounding-one-draw-a-row", "one draw a row", f"{DRAW}:rounded",
              ("[generator.draw() for _ in w]", "[generator.draw()] * len(w)")),
    _rounding("rounding-draws-no-special", "no draw for values that a half has", f"{DRAW}:rounded",
              ("generator.draw() for _ in w",
               "generator.draw() if np.float16(x).astype(F) != x else F(0) for x in w")),
    _rounding("rounding-stuck", "the original's first generator, which stands still",
        f"{DRAW}:RoundingGenerator.__init__",
              ("(0, 1) if stuck else (362436069, 521288629)", "(0, 1) if not stuck else (362436069, 521288629)")),
    _rounding("rounding-carry-lost", "a generator without its carry", f"{DRAW}:RoundingGenerator.draw",
              ("18000 * (self.w % 65536) + self.w // 65536", "18000 * (self.w % 65536)")),
    _rounding("rounding-whole-row", "the rest of the row rounded too", "oracle.rows:OracleRows.optimize",
              ('end = None if "sr_rounds_rest_of_row" in self.quirks else span.stop',
               'end = span.stop if "sr_rounds_rest_of_row" in self.quirks else None')),
)  # fmt: skip
