"""Wrong variants of the optimizers that most ports share: adagrad, sgd, momentum, the moving average, ftrl."""

from __future__ import annotations

from monolith_conformance.mutants import adaptive
from monolith_conformance.mutants.mutant import Mutant
from monolith_conformance.mutants.rules import configured, fused, of_rule

__all__ = ["MUTANTS"]

_ADAGRAD = (
    of_rule(
        "adagrad-multiplies-first",
        "adagrad",
        "the rate multiplied by the gradient before it is divided by the root",
        ("e = lr / np.sqrt(norm)", "root = np.sqrt(norm)"),
        ("return madd(profile, -e, used, w)", "return w - (lr * used) / root"),
        deviation=1,
    ),
    of_rule(
        "adagrad-from-zero",
        "adagrad",
        "an accumulator that starts at 0, 1e-8 added to the root and no weight decay",
        ('F(config["weight_decay_factor"])', "F(0)"),
        ('state["norm"])', 'state["norm"] - F(config["initial_accumulator_value"]))'),
        ("np.sqrt(norm)", "(np.sqrt(norm) + F(1e-8))"),
        deviation=2,
    ),
    of_rule(
        "adagrad-accumulator-starts-at-zero",
        "adagrad",
        "an accumulator that starts at 0 whatever the configuration says",
        ('F(config["initial_accumulator_value"])', "F(0)"),
        function="initial",
    ),
    of_rule(
        "adagrad-accumulates-raw-gradient",
        "adagrad",
        "the raw gradient in the accumulator",
        ("madd(profile, decayed, decayed, ", "madd(profile, g, g, "),
    ),
    of_rule(
        "adagrad-applies-raw-gradient",
        "adagrad",
        "weight decay in the accumulator only",
        ("used = decayed.copy()", "used = g.copy()"),
    ),
    of_rule(
        "adagrad-decay-last",
        "adagrad",
        "weight decay taken off the row after the step",
        ("madd(profile, decayed, decayed, ", "madd(profile, g, g, "),
        ("used = decayed.copy()", "used = g.copy()"),
        ("return madd(profile, -e, used, w)", "return madd(profile, -e, used, w) - lr * (decayed - g)"),
    ),
    of_rule(
        "adagrad-epsilon-inside",
        "adagrad",
        "an epsilon of 1e-8 inside the root",
        ("np.sqrt(norm)", "np.sqrt(norm + F(1e-8))"),
    ),
    of_rule(
        "adagrad-epsilon-outside",
        "adagrad",
        "an epsilon of 1e-7 added to the root",
        ("np.sqrt(norm)", "(np.sqrt(norm) + F(1e-7))"),
    ),
    of_rule(
        "adagrad-reciprocal",
        "adagrad",
        "the rate multiplied by the rounded reciprocal of the root",
        ("lr / np.sqrt(norm)", "lr * (F(1) / np.sqrt(norm))"),
    ),
    of_rule(
        "adagrad-double",
        "adagrad",
        "the last line in double precision",
        ("e = lr / np.sqrt(norm)", "e = np.float64(lr) / np.sqrt(norm.astype(np.float64))"),
        ("return madd(profile, -e, used, w)", "return (w - e * used).astype(F)"),
    ),
    of_rule(
        "adagrad-old-accumulator",
        "adagrad",
        "the root of the accumulator before the step",
        ("np.sqrt(norm)", 'np.sqrt(state["norm"])'),
    ),
    of_rule(
        "adagrad-row-wise",
        "adagrad",
        "one accumulator a row, the mean of its squares",
        (
            'norm = madd(profile, decayed, decayed, state["norm"])',
            'norm = state["norm"] + np.mean(decayed * decayed, dtype=F)',
        ),
    ),
    of_rule(
        "adagrad-rate-of-configuration",
        "adagrad",
        "the learning rate of the configuration in place of the call's",
        ("e = lr /", 'e = F(config["learning_rate"]) /'),
    ),
    fused("adagrad"),
)

_SGD = (
    of_rule("sgd-adds", "sgd", "the gradient added", ("F(-lr)", "F(lr)")),
    of_rule(
        "sgd-rate-of-configuration",
        "sgd",
        "the learning rate of the configuration in place of the call's",
        ("F(-lr)", 'F(-config["learning_rate"])'),
    ),
    of_rule("sgd-flushes", "sgd", "subnormal results flushed to zero",
            ("return madd(profile, F(-lr), g, w), {}",
             "out = madd(profile, F(-lr), g, w)\n    return np.where(np.abs(out) < F(2.0**-126), F(0), out), {}")),
    fused("sgd"),
)  # fmt: skip

_MOMENTUM = (
    of_rule(
        "momentum-rate-outside",
        "momentum",
        "the rate outside of the velocity, which is subtracted",
        ("mu * old - lr * decayed", "mu * old + decayed"),
        ("return w + n", "return w - lr * n"),
        deviation=8,
    ),
    of_rule(
        "momentum-velocity-subtracted",
        "momentum",
        "a velocity of the other sign, subtracted",
        ("mu * old - lr * decayed", "mu * old + lr * decayed"),
        ("return w + n", "return w - n"),
        deviation=8,
    ),
    of_rule(
        "momentum-nesterov-textbook",
        "momentum",
        "nesterov as w + mu*n - lr*g",
        ("madd(profile, F(1) + mu, n, -mu * old)", "(mu * n - lr * decayed)"),
    ),
    of_rule(
        "momentum-nesterov-new-velocity",
        "momentum",
        "nesterov taking off mu times the new velocity",
        ("-mu * old)", "-mu * n)"),
    ),
    configured("momentum-without-nesterov", "momentum", "nesterov ignored", use_nesterov=False),
    configured("momentum-without-decay", "momentum", "weight decay ignored", weight_decay_factor=0.0),
    configured("momentum-fixed", "momentum", "a momentum of 0.9 whatever the configuration says", momentum=0.9),
    of_rule(
        "momentum-fused",
        "momentum",
        "fused multiply-adds",
        ('fma(-lr, decayed, mu * old) if profile == "avx" else mu * old - lr * decayed', "fma(-lr, decayed, mu * old)"),
    ),
    of_rule(
        "moving-average-swapped",
        "moving_average",
        "the new value weighted by the momentum and the old one by the rest",
        ("madd(profile, mu, w, (F(1) - mu) * g)", "madd(profile, F(1) - mu, w, mu * g)"),
    ),
    of_rule(
        "moving-average-difference",
        "moving_average",
        "w moved by (1 - mu) times the difference",
        ("madd(profile, mu, w, (F(1) - mu) * g)", "w + (F(1) - mu) * (g - w)"),
    ),
    fused("moving_average"),
)

_FTRL = (
    of_rule(
        "ftrl-textbook-threshold",
        "ftrl",
        "the textbook's soft threshold",
        ("np.signbit(zero).astype(F)", "np.sign(zero)"),
        deviation=12,
    ),
    configured("ftrl-without-beta", "ftrl", "beta left out", deviation=13, beta=0.0),
    of_rule(
        "ftrl-accumulator-starts-at-zero",
        "ftrl",
        "an accumulator that starts at 0",
        ('F(config["initial_accumulator_value"])', "F(0)"),
        function="initial",
        deviation=13,
    ),
    of_rule(
        "ftrl-ignores-rate",
        "ftrl",
        "a rate and a beta of 1 whatever is asked",
        ("l1, l2 =", 'lr, config = F(1), {**config, "beta": 1.0}\n    l1, l2 ='),
        deviation=13,
    ),
    of_rule(
        "ftrl-sigma-without-rate",
        "ftrl",
        "the difference of the roots not divided by the rate",
        ('(np.sqrt(norm) - np.sqrt(state["norm"])) / lr', 'np.sqrt(norm) - np.sqrt(state["norm"])'),
        function="accumulated",
    ),
    of_rule(
        "ftrl-sigma-of-squares",
        "ftrl",
        "sigma as the quotient of the squared gradient and the sum of the roots",
        ('(np.sqrt(norm) - np.sqrt(state["norm"]))', '((g * g) / (np.sqrt(norm) + np.sqrt(state["norm"])))'),
        function="accumulated",
    ),
    of_rule(
        "ftrl-l2-without-rate",
        "ftrl",
        "l2 not multiplied by the rate",
        ("madd(profile, l2, lr, np.sqrt(norm) +", "(l2 + np.sqrt(norm) +"),
    ),
    of_rule(
        "ftrl-zero-in-two-steps",
        "ftrl",
        "zero increased by g first, and then decreased by sigma*w",
        ('state["zero"] + madd(profile, -sigma, w, g)', '(state["zero"] + g) - sigma * w'),
        function="accumulated",
    ),
    of_rule(
        "ftrl-rate-last",
        "ftrl",
        "the quotient multiplied by the rate, not the numerator",
        ("top = lr * madd(profile, s, l1, -zero)", "top = madd(profile, s, l1, -zero)"),
        ("top / bottom", "lr * (top / bottom)"),
    ),
    of_rule(
        "ftrl-threshold-unsigned",
        "ftrl",
        "rows kept at zero only for a negative zero",
        ("np.abs(zero) > l1", "zero > l1"),
    ),
    configured("ftrl-without-l1", "ftrl", "l1 left out", l1_regularization_strength=0.0),
    fused("ftrl"),
    of_rule(
        "group-ftrl-l2-wrong-sign",
        "group_ftrl",
        "l2 taken off the denominator",
        ("madd(profile, l2, lr, beta + np.sqrt(norm))", "madd(profile, -l2, lr, beta + np.sqrt(norm))"),
        quirks="default +unbuilt_rules",
    ),
    of_rule(
        "group-ftrl-elementwise",
        "group_ftrl",
        "the threshold on the greatest element and not on the row's length",
        ("r = length(profile, zero)", "r = np.max(np.abs(zero))"),
        quirks="default +unbuilt_rules",
    ),
    of_rule(
        "dynamic-wd-couples",
        "dynamic_wd_adagrad",
        "a decoupled weight decay added to the gradient",
        ("out = w - madd(profile, e, g, decay * w)", "out = w - e * (g + decay * w)"),
        quirks="default +unbuilt_rules",
    ),
)

MUTANTS: tuple[Mutant, ...] = (*_ADAGRAD, *_SGD, *_MOMENTUM, *_FTRL, *adaptive.MUTANTS)
