"""The 32 deviations of a real port, and the cases that fail each: what the mutants of the suite are checked with.

Numbers are those of the list of deviations that the suite was first written for; they stay, like case ids.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["DEVIATIONS", "Deviation"]


class Deviation(NamedTuple):
    """One deviation: what the port does instead of the rule, and ids of cases that fail where it is done."""

    instead: str
    cases: tuple[str, ...]


DEVIATIONS: dict[int, Deviation] = {
    1: Deviation("adagrad multiplies the rate and the gradient first", ("core/optimizer.adagrad/quotient-first",)),
    2: Deviation(
        "adagrad's accumulator starts at 0, with an epsilon and without weight decay",
        ("core/optimizer.adagrad/defaults", "core/optimizer.adagrad/decays-weights"),
    ),
    3: Deviation("adam adds epsilon to the corrected root", ("core/optimizer.adam/epsilon-outside-corrections",)),
    4: Deviation("adam's beta2 is .999 and its epsilon 1e-8", ("core/optimizer.adam/defaults",)),
    5: Deviation("adam computes powers of its betas from a counter", ("core/optimizer.adam/powers-are-products",)),
    6: Deviation(
        "adam has neither weight decay nor nesterov",
        ("core/optimizer.adam/decays-weights", "core/optimizer.adam/nesterov"),
    ),
    7: Deviation("amsgrad corrects the first moment only", ("core/optimizer.amsgrad/both-corrections",)),
    8: Deviation("momentum keeps the rate out of the velocity", ("core/optimizer.momentum/rate-inside-velocity",)),
    9: Deviation("rmsprop takes the root of n plus epsilon", ("core/optimizer.rmsprop/root-plus-one",)),
    10: Deviation("rmspropv2 averages squares", ("core/optimizer.rmspropv2/sum-of-squares",)),
    11: Deviation("adadelta ignores the rate", ("core/optimizer.adadelta/rate-applied",)),
    12: Deviation("ftrl thresholds softly at l1", ("core/optimizer.ftrl/l1-sign-bit",)),
    13: Deviation(
        "ftrl has no beta, starts its accumulator at 0 and ignores the rate",
        ("core/optimizer.ftrl/beta-and-accumulator", "core/optimizer.ftrl/rate-applied"),
    ),
    14: Deviation("one learning rate serves a whole table", ("core/learning_rate/one-a-segment",)),
    15: Deviation("a rule that is missing is answered by another", ("core/capability/unclaimed-rules-are-refused",)),
    16: Deviation("a state of another length is silently reset", ("core/optimizer.adam/lengths-side-by-side",)),
    17: Deviation("fixed_r8 scales each row by its maximum", ("core/compressor/fixed_r8-step",)),
    18: Deviation("one_bit sends zero to the positive side", ("core/compressor/one_bit-zero",)),
    19: Deviation("random_uniform draws without a seed", ("core/initializer/random_uniform-first-draws",)),
    20: Deviation("reading an unknown id fails the call", ("core/lookup/unknown-reads-zero",)),
    21: Deviation("a gradient of an unknown id is dropped", ("core/update/unknown-is-created",)),
    22: Deviation("a table is full at 2^20 rows", ("table/growth/two-to-the-twenty-and-one",)),
    23: Deviation(
        "expiry asks for an age beyond the limit, by a clock, for all slots alike",
        ("table/expiry/to-the-second", "table/expiry/slot-by-slot", "checkpoint/expiry/against-the-latest-update"),
    ),
    24: Deviation("only one kind of update sets a row's time", ("table/time/every-update-sets-it",)),
    25: Deviation("a slot is the upper sixteen bits of an id", ("table/expiry/sign-bit-is-no-slot",)),
    26: Deviation("the owner of a negative id comes from its absolute value", ("sync/owner/floor-mod",)),
    27: Deviation("several tables are shards of one", ("table/multi/same-ids-two-widths",)),
    28: Deviation("rows past the millionth id of a call are lost", ("table/batch/million-and-one",)),
    29: Deviation(
        "each duplicate is a step of its own", ("table/duplicates/summed-before-the-step", "sync/duplicates/one-step")
    ),
    30: Deviation("there is no admission", ("filter/admission/threshold-three",)),
    31: Deviation("files of the original cannot be read", ("checkpoint/single/golden", "checkpoint/multi/golden")),
    32: Deviation("values that are not finite are lost in files", ("checkpoint/single/not-finite",)),
}
