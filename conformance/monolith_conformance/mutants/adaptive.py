"""Wrong variants of the optimizers with moments (adam, amsgrad, rmsprop, adadelta) or with one state a row."""

from __future__ import annotations

from monolith_conformance.mutants.mutant import Mutant, edit
from monolith_conformance.mutants.rules import configured, fused, of_rule, with_rule

__all__ = ["MUTANTS"]

_BIAS = "\n    bias1, bias2 = F(1) - state['beta1_power'], F(1) - state['beta2_power']"
_MOMENTS = "m, v, top = moments(profile, config, w, state, g, lr)"
_FIXED = {"beta2": 0.999, "epsilon": 1e-8}

_ADAM = (
    of_rule(
        "adam-epsilon-beside-corrected-root",
        "adam",
        "both moments corrected, and epsilon added to the corrected root",
        (_MOMENTS, _MOMENTS + _BIAS),
        ("moved(config, w, top, v)", "w - lr * (m / bias1) / (np.sqrt(v / bias2) + F(config['epsilon']))"),
        deviation=3,
    ),
    configured("adam-constants", "adam", "beta2 .999 and epsilon 1e-8 whatever is configured", deviation=4, **_FIXED),
    of_rule(
        "adam-powers-by-exponentiation",
        "adam",
        "powers of beta computed from the number of steps, correctly rounded",
        (
            "return {",
            "beta1, beta2 = float(F(config['beta1'])), float(F(config['beta2']))\n"
            "    t = round(float(np.log(D(state['beta1_power'])) / np.log(D(beta1)))) + 1\n"
            "    return {'beta1_power': F(beta1**t), 'beta2_power': F(beta2**t)} if 0 < t < 9999 else {",
        ),
        function="powers",
        deviation=5,
    ),
    configured("adam-without-decay", "adam", "weight decay ignored", deviation=6, weight_decay_factor=0.0),
    configured("adam-without-nesterov", "adam", "nesterov ignored", deviation=6, use_nesterov=False),
    of_rule(
        "adam-epsilon-inside",
        "adam",
        "epsilon inside the root",
        ('np.sqrt(v.astype(D)) + D(F(config["epsilon"]))', 'np.sqrt(v.astype(D) + D(F(config["epsilon"])))'),
        function="moved",
    ),
    of_rule(
        "adam-single-root",
        "adam",
        "the last line in single precision",
        (
            '(w.astype(D) - top.astype(D) / (np.sqrt(v.astype(D)) + D(F(config["epsilon"])))).astype(F)',
            'w - top / (np.sqrt(v) + F(config["epsilon"]))',
        ),
        function="moved",
    ),
    of_rule(
        "adam-single-alpha",
        "adam",
        "the corrected rate in single precision",
        ("F(D(lr) * np.sqrt(D(bias2)) / D(bias1))", "lr * np.sqrt(bias2) / bias1"),
        function="moments",
    ),
    of_rule(
        "adam-powers-too-early",
        "adam",
        "powers of beta multiplied before they are used",
        (
            'F(1) - state["beta1_power"], F(1) - state["beta2_power"]',
            'F(1) - state["beta1_power"] * beta1, F(1) - state["beta2_power"] * beta2',
        ),
        function="moments",
    ),
    of_rule(
        "adam-powers-swapped",
        "adam",
        "each power multiplied by the other beta",
        ('F(config["beta1"])', 'F(config["beta_2"])'),
        ('F(config["beta2"])', 'F(config["beta1"])'),
        ('config["beta_2"]', 'config["beta2"]'),
        function="powers",
    ),
    of_rule(
        "adam-power-stands-still",
        "adam",
        "the power of beta2 left as it was",
        ('state["beta2_power"] * F(config["beta2"])', 'state["beta2_power"]'),
        function="powers",
    ),
    of_rule(
        "adam-uncorrected",
        "adam",
        "no bias correction",
        ("F(D(lr) * np.sqrt(D(bias2)) / D(bias1))", "lr"),
        function="moments",
    ),
    of_rule(
        "adam-m-as-two-products",
        "adam",
        "m as beta1*m + (1 - beta1)*g",
        (
            'madd(profile, decayed - state["m"], F(1) - beta1, state["m"])',
            'beta1 * state["m"] + (F(1) - beta1) * decayed',
        ),
        function="moments",
    ),
    of_rule(
        "adam-v-as-two-products",
        "adam",
        "v as beta2*v + (1 - beta2)*g*g",
        (
            'madd(profile, madd(profile, decayed, decayed, -state["v"]), F(1) - beta2, state["v"])',
            'beta2 * state["v"] + (F(1) - beta2) * (decayed * decayed)',
        ),
        function="moments",
    ),
    of_rule(
        "adam-nesterov-old-moment",
        "adam",
        "nesterov with m of before the step",
        ("beta1 * m) * alpha", 'beta1 * state["m"]) * alpha'),
        function="moments",
    ),
    with_rule(
        "adam-decay-decoupled",
        "adam",
        "weight decay taken off the row after the step",
        edit(
            "oracle.rules.adam:update",
            (_MOMENTS, "m, v, top = moments(profile, {**config, 'weight_decay_factor': 0.0}, w, state, g, lr)"),
            ("moved(config, w, top, v)", "moved(config, w, top, v) - lr * F(config['weight_decay_factor']) * w"),
        ),
    ),
    fused("adam"),
    of_rule(
        "amsgrad-corrects-first-moment-only",
        "amsgrad",
        "the first moment alone corrected",
        ("return adam.moved(config, w, top, vhat)",
         "return adam.moved(config, w, m * F(lr / (F(1) - state['beta1_power'])), vhat)"),
        deviation=7,
    ),
    of_rule("amsgrad-forgets-largest", "amsgrad", "the newest v in place of the largest",
            ('np.where(state["vhat"] < v, v, state["vhat"])', "v")),
    of_rule("amsgrad-largest-of-decayed", "amsgrad", "the largest v decayed by beta2 before it is compared",
            ('np.where(state["vhat"] < v, v, state["vhat"])', 'np.maximum(state["vhat"] * F(config["beta2"]), v)')),
    of_rule("amsgrad-starts-at-one", "amsgrad", "a largest v that starts at 1",
            ('"vhat": np.zeros(dim, F)', '"vhat": np.ones(dim, F)'), function="initial"),
)  # fmt: skip

_RMS = (
    with_rule(
        "rmsprop-epsilon-inside",
        "rmsprop",
        "1e-3 inside the root, no + 1, the call's rate and single precision",
        edit("oracle.rules.rmsprop:update",
             ('return moved(profile, config["learning_rate"], w, n, dx)', "return w - lr * g / np.sqrt(n + F(1e-3))")),
        deviation=9,
    ),
    of_rule("rmsprop-rate-of-call", "rmsprop", "the call's rate in place of the configuration's",
            ('moved(profile, config["learning_rate"],', "moved(profile, lr,")),
    of_rule("rmsprop-without-one", "rmsprop", "no 1 added to the root",
            ("(np.sqrt(n) + F(1))", "np.sqrt(n)"), function="moved"),
    of_rule("rmsprop-one-inside", "rmsprop", "the 1 inside the root",
            ("(np.sqrt(n) + F(1))", "np.sqrt(n + F(1))"), function="moved"),
    of_rule("rmsprop-double-root", "rmsprop", "the root and its + 1 in double precision",
            ("(np.sqrt(n) + F(1)).astype(D)", "(np.sqrt(n.astype(D)) + 1)"), function="moved"),
    of_rule("rmsprop-single", "rmsprop", "single precision throughout",
            ("mu = D(F(", "mu = F(F("), ('state["n"].astype(D), ((1 - mu) * dx) * dx).astype(F)',
             'state["n"], ((F(1) - mu) * dx.astype(F)) * dx.astype(F))')),
    of_rule("rmsprop-squares-first", "rmsprop", "the gradient squared before it is weighted",
            ("((1 - mu) * dx) * dx", "(1 - mu) * (dx * dx)")),
    of_rule("rmsprop-as-v2", "rmsprop", "the whole square added, not its share", ("((1 - mu) * dx) * dx", "dx * dx")),
    configured("rmsprop-without-decay", "rmsprop", "weight decay ignored", weight_decay_factor=0.0),
    of_rule("rmspropv2-as-v1", "rmspropv2", "the share 1 - mu of the square",
            ("dx * dx)", "(1 - D(F(config['momentum']))) * dx * dx)"), deviation=10),
    of_rule("rmspropv2-rate-of-configuration", "rmspropv2", "the configuration's rate in place of the call's",
            ("moved(profile, lr,", 'moved(profile, config["learning_rate"],')),
    of_rule("rmspropv2-old-average", "rmspropv2", "the average of before the step",
            ("lr, w, n, dx)", 'lr, w, state["n"], dx)')),
    of_rule("adadelta-without-rate", "adadelta", "a rate of 1",
            ("madd(profile, -u, lr, w)", "(w - u)"), deviation=11),
    of_rule("adadelta-epsilon-outside", "adadelta", "epsilon added to the roots",
            ('np.sqrt(state["accum_update"] + eps) / np.sqrt(accum + eps)',
             '(np.sqrt(state["accum_update"]) + eps) / (np.sqrt(accum) + eps)')),
    of_rule("adadelta-one-root", "adadelta", "one root of the quotient",
            ('np.sqrt(state["accum_update"] + eps) / np.sqrt(accum + eps)',
             'np.sqrt((state["accum_update"] + eps) / (accum + eps))')),
    of_rule("adadelta-old-accumulator", "adadelta", "the accumulator of before the step",
            ("np.sqrt(accum + eps)", 'np.sqrt(state["accum"] + eps)')),
    of_rule("adadelta-multiplies-first", "adadelta", "the root multiplied by the gradient before the division",
            ("/ np.sqrt(accum + eps)) * decayed", "* decayed) / np.sqrt(accum + eps)")),
    of_rule("adadelta-rate-in-update", "adadelta", "the rate in the accumulated update",
            ("(u * u) * rest", "(u * lr) * (u * lr) * rest")),
    fused("adadelta"),
)  # fmt: skip

_ROWS = (
    of_rule("group-adagrad-sum", "group_adagrad", "the sum of the squares in the accumulator",
            ("largest = square if square > largest else largest", "largest = largest + square")),
    of_rule("group-adagrad-mean", "group_adagrad", "the mean of the squares in the accumulator",
            ("largest = square if square > largest else largest", "largest = largest + square / F(len(w))")),
    of_rule("group-adagrad-raw-gradient", "group_adagrad", "the raw gradient in the accumulator",
            ("in decayed * decayed", "in g * g")),
    of_rule("group-adagrad-beta-last", "group_adagrad", "beta left out of the denominator",
            ('(F(config["beta"]) + np.sqrt(total))', "np.sqrt(total)")),
    of_rule("group-adagrad-never-empty", "group_adagrad", "rows that never vanish",
            ("if r < l2 or", "if l2 < 0 or")),
    of_rule("group-adagrad-shrinks-by-square", "group_adagrad", "the squared length compared with l2",
            ("r = np.sqrt(squares)", "r = squares")),
    of_rule("group-adagrad-quotient-last", "group_adagrad", "the row multiplied before the length divides",
            ("((-alpha * (r - l2)) / r) * z", "((-alpha * (r - l2)) * z) / r")),
    fused("group_adagrad"),
    of_rule("batch-softmax-off-by-one", "batch_softmax", "one step too many since the last visit",
            ("step - int(", "step + 1 - int(")),
    of_rule("batch-softmax-whole-row", "batch_softmax", "every element moved, not the first alone",
            ("out[0] = madd(profile, F(1) - lr, w[0],", "out[:] = madd(profile, F(1) - lr, w,"),
            killed_by=("core/optimizer.batch_softmax/", "core/segments/entry-p8"),
            quirks="default +batch_softmax_any_dim"),
    of_rule("batch-softmax-float-step", "batch_softmax", "steps counted in float32, which loses them above 2^24",
            ('np.array([step - int(state["global_step"])], np.int64).astype(F)[0]',
             'F(step) - F(state["global_step"])')),
    of_rule("batch-softmax-keeps-step", "batch_softmax", "the step of the first visit kept",
            ('{"global_step": step}', '{"global_step": state["global_step"] or step}')),
)  # fmt: skip

MUTANTS: tuple[Mutant, ...] = (*_ADAM, *_RMS, *_ROWS)
