"""Wrong variants of combiners and their gradients."""

from __future__ import annotations

from typing import Any

from monolith_conformance.mutants.mutant import Mutant, edit

__all__ = ["MUTANTS"]


def _combiner(
    name: str, kind: str, sentence: str, *changes: tuple[str, str], function: str = "combine", **settings: Any
) -> Mutant:
    settings.setdefault("killed_by", (f"core/combiner.{kind}/",))
    return Mutant(
        name,
        sentence,
        (edit(f"oracle.combine:{function}", *changes),),
        about=frozenset({f"combiner.{kind}"}),
        **settings,
    )


_ADD = "out[i] = out[i] + values[j]"
_GRADIENT = "combine_gradient"

MUTANTS: tuple[Mutant, ...] = (
    _combiner("sum-is-mean", "reduce_sum", "the mean in place of the sum", ('if kind == "reduce_mean" and (len(row)',
        "if kind != 'first_n' and (len(row)")),
    _combiner("sum-backwards", "reduce_sum", "the last embedding added first", ("for p, j in enumerate(row):",
        "for p, j in enumerate(reversed(row)):")),
    _combiner("sum-in-double", "reduce_sum", "sums in double precision", ("rows, d = ",
        "values = values.astype(np.float64)\n    F = np.float64\n    rows, d = "),
              ("return np.sqrt(out) if", "out = out.astype(np.float32)\n        return np.sqrt(out) if")),
    _combiner("sum-from-first", "reduce_sum", "sums that begin with the first embedding, keeping its -0", (_ADD,
        "out[i] = values[j].copy() if p == 0 else out[i] + values[j]")),
    _combiner("sum-pairwise", "reduce_sum", "sums in pairs, as np.sum adds a long axis",
              (_ADD, "out[i] = np.array([np.sum(np.ascontiguousarray(c)) for c in values[row.start : j + 1].T], F)")),
    _combiner("sum-first-row-twice", "reduce_sum", "a row that begins one embedding too early",
              ("in enumerate(row):", "in enumerate(range(max(row.start - 1, 0), row.stop) if len(row) else row):")),
    _combiner("mean-divides", "reduce_mean", "a division in place of the rounded reciprocal",
        ("out[i] = out[i] * _mean_factor(len(row))", "out[i] = out[i] / F(max(len(row), 1))")),
    _combiner("mean-is-sum", "reduce_mean", "the sum in place of the mean",
        ("out[i] = out[i] * _mean_factor(len(row))", "pass")),
    _combiner("mean-off-by-one", "reduce_mean", "a count that is one too large", ("_mean_factor(len(row))",
        "_mean_factor(len(row) + 1)")),
    _combiner("mean-scales-first", "reduce_mean", "embeddings scaled before they are added",
              (_ADD, "out[i] = out[i] + (values[j] * _mean_factor(len(row)) if kind == 'reduce_mean' else values[j])"),
              ('if kind == "reduce_mean" and (len(row) or', "if False and (len(row) or")),
    _combiner("mean-of-nothing-nan", "reduce_mean", "a NaN for an empty row",
        ('(len(row) or "reduce_mean_empty_nan" in quirks)', "True")),
    _combiner("sqrtn-divides-by-root", "reduce_sqrtn", "the sum over the root of the count",
        ("madd(profile, values[j], values[j], out[i])", "out[i] + values[j] / np.sqrt(F(len(row)))"),
              ("np.sqrt(out) if", "out if")),
    _combiner("sqrtn-without-root", "reduce_sqrtn", "the sum of squares without its root", ("np.sqrt(out) if",
        "out if")),
    _combiner("first-n-is-last-n", "first_n", "the last embeddings in place of the first", ("if p < n:",
        "if len(row) - n <= p:"), ("out[i, p]", "out[i, p - max(len(row) - n, 0)]")),
    _combiner("first-n-one-fewer", "first_n", "one embedding too few", ("if p < n:", "if p < n - 1:")),
    _combiner("first-n-repeats", "first_n", "the last embedding repeated where there are too few",
              ("out[i, p] = F(0) + values[j]", "out[i, p:] = values[j]")),
    _combiner("sum-gradient-divided", "reduce_sum", "a gradient divided by the count", ("out[j] = upstream[i]\n",
        "out[j] = upstream[i] / F(len(row))\n"), function=_GRADIENT),
    _combiner("mean-gradient-undivided", "reduce_mean", "a gradient not divided by the count",
        ("upstream[i] * _mean_factor(len(row))", "upstream[i]"), function=_GRADIENT),
    _combiner("mean-gradient-divides", "reduce_mean",
        "a gradient divided by the count, not multiplied by its reciprocal", ("upstream[i] * _mean_factor(len(row))",
        "upstream[i] / F(len(row))"), function=_GRADIENT),
    _combiner("sqrtn-gradient-of-zero", "reduce_sqrtn", "a NaN gradient for a row of zeros",
        ("np.where(pooled[i] == 0, F(0), values[j] / pooled[i])", "values[j] / pooled[i]"), function=_GRADIENT),
    _combiner("sqrtn-gradient-multiplies-first", "reduce_sqrtn", "a gradient multiplied before the root divides",
        ("upstream[i] * np.where(pooled[i] == 0, F(0), values[j] / pooled[i])",
        "np.where(pooled[i] == 0, F(0), upstream[i] * values[j] / pooled[i])"), function=_GRADIENT),
    _combiner("first-n-gradient-beyond", "first_n", "a gradient for embeddings beyond the first n",
        ("upstream[i, p] if p < n else F(0)", "upstream[i, min(p, n - 1)]"), function=_GRADIENT),
)  # fmt: skip
