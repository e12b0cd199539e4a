"""What a real port got wrong, rule by rule, written as it was; each must miss a measured vector.

Rows are numbered as in the list of that port's deviations. A check returns where the deviation shows, or nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

import numpy as np

from tests.mutants.play import cases, floats, same

__all__ = ["DEVIATIONS"]

F = np.float32
Step = Callable[[Mapping[str, Any], Any, dict[str, Any], Any, Any], Any]


def _over(rule: str, step: Step, tag: str = "") -> Callable[[], str]:
    """Play a wrong update over a rule's vectors; ``step(config, w, memory, g, lr)`` gives the new w."""

    def check() -> str:
        for case in cases(rule):
            config = {name: floats(v)[0] if isinstance(v, str) else v for name, v in case["config"].items()}
            w, memory = floats(case["w0"]).copy(), {"t": 0}
            for number, call in enumerate(case["steps"]):
                memory["t"] += 1
                with np.errstate(all="ignore"):
                    w = np.asarray(step(config, w, memory, floats(call["g"]), floats(call["lr"])[0]), F)
                if not same(w, floats(call["ieee"]["w"])):
                    return f"{case['id']} step {number}"
        return ""

    return check


def _kept(memory: dict[str, Any], name: str, w: Any, start: float) -> Any:
    return memory.setdefault(name, np.full(len(w), F(start)))


def adagrad_order(config: Any, w: Any, memory: Any, g: Any, lr: Any) -> Any:
    g = g + F(config.get("weight_decay_factor", 0)) * w
    norm = _kept(memory, "norm", w, config.get("initial_accumulator_value", 0.1))
    memory["norm"] = norm + g * g
    return w - (lr * g) / np.sqrt(memory["norm"])


def adagrad_start(config: Any, w: Any, memory: Any, g: Any, lr: Any) -> Any:
    memory["norm"] = _kept(memory, "norm", w, 0) + g * g
    return w - lr / (np.sqrt(memory["norm"]) + F(1e-8)) * g


def _adam(beta2: float, epsilon: float, outside: bool, decay: bool = True, amsgrad: bool = False) -> Step:
    def step(config: Any, w: Any, memory: Any, g: Any, lr: Any) -> Any:
        b1, b2 = F(config.get("beta1", 0.9)), F(beta2 or config.get("beta2", 0.99))
        if decay:
            g = g + F(config.get("weight_decay_factor", 0)) * w
        m = memory["m"] = b1 * _kept(memory, "m", w, 0) + (1 - b1) * g
        v = memory["v"] = b2 * _kept(memory, "v", w, 0) + (1 - b2) * g * g
        first = m / (1 - b1 ** memory["t"])
        if amsgrad:
            v = memory["top"] = np.maximum(_kept(memory, "top", w, 0), v)
        second = v / (1 - b2 ** memory["t"]) if outside else v
        return w - lr * first / (np.sqrt(second) + F(epsilon or config.get("epsilon", 0.01)))

    return step


def adam_powers(config: Any, w: Any, memory: Any, g: Any, lr: Any) -> Any:
    b1, b2, t = F(config.get("beta1", 0.9)), F(config.get("beta2", 0.99)), memory["t"]
    g = g + F(config.get("weight_decay_factor", 0)) * w
    m = memory["m"] = _kept(memory, "m", w, 0) + (g - memory["m"] if "m" in memory else g) * (F(1) - b1)
    v = memory["v"] = _kept(memory, "v", w, 0) + (g * g - memory["v"]) * (F(1) - b2)
    alpha = F(np.float64(lr) * np.sqrt(np.float64(F(1) - F(b2**t))) / np.float64(F(1) - F(b1**t)))
    return (w - np.float64(m * alpha) / (np.sqrt(np.float64(v)) + np.float64(F(config.get("epsilon", 0.01))))).astype(F)


def momentum(config: Any, w: Any, memory: Any, g: Any, lr: Any) -> Any:
    memory["n"] = F(config.get("momentum", 0.9)) * _kept(memory, "n", w, 0) + g
    return w - lr * memory["n"]


def rmsprop(config: Any, w: Any, memory: Any, g: Any, lr: Any) -> Any:
    mu = F(config.get("momentum", 0.9))
    memory["n"] = mu * _kept(memory, "n", w, 0) + (1 - mu) * g * g
    return w - lr * g / np.sqrt(memory["n"] + F(1e-8))


def adadelta(config: Any, w: Any, memory: Any, g: Any, lr: Any) -> Any:
    rho, eps = F(config.get("averaging_ratio", 0.9)), F(config.get("epsilon", 0.01))
    a = memory["a"] = _kept(memory, "a", w, 0) * rho + g * g * (1 - rho)
    u = np.sqrt(_kept(memory, "u", w, 0) + eps) / np.sqrt(a + eps) * g
    memory["u"] = memory["u"] * rho + u * u * (1 - rho)
    return w - u


def _ftrl(start: float | None, beta: bool, textbook: bool, rate: float | None = None) -> Step:
    def step(config: Any, w: Any, memory: Any, g: Any, lr: Any) -> Any:
        lr = F(rate) if rate else lr
        l1, l2 = (F(config.get(f"{name}_regularization_strength", 0)) for name in ("l1", "l2"))
        begin = config.get("initial_accumulator_value", 0.1) if start is None else start
        old = _kept(memory, "n", w, begin)
        new = memory["n"] = old + g * g
        z = memory["z"] = _kept(memory, "z", w, 0) + (g - (np.sqrt(new) - np.sqrt(old)) / lr * w)
        sign = np.sign(z) if textbook else np.signbit(z).astype(F)
        bottom = (np.sqrt(new) + (F(config.get("beta", 0)) if beta else F(0))) + l2 * lr
        return np.where(np.abs(z) > l1, lr * (sign * l1 - z) / bottom, F(0))

    return step


def _document(name: str) -> Any:
    return json.loads((files("monolith_conformance") / "golden" / "vectors" / f"rows_{name}.json").read_text())


def one_rate_for_all() -> str:
    """The first segment's rate used for every segment: vectors whose segments' rates differ show it at once."""
    for case in _document("combination")["cases"]:
        first = case["ops"][0]
        rates = floats(first["lr"]) if "lr" in first else []
        for number, segment in enumerate(case["segments"]):
            if segment["rule"] != "sgd" or first["op"] != "optimize" or segment.get("stochastic_rounding_float16"):
                continue
            begin = sum(s["dim"] for s in case["segments"][:number])
            part = slice(begin, begin + segment["dim"])
            wrong = floats(case["rows_w0"][first["row"]])[part] - rates[0] * floats(first["g"])[part]
            if not same(wrong, floats(first["ieee"]["w"])[part]):
                return f"{case['id']} segment {number}"
    return ""


def state_reset() -> str:
    """The accumulator silently starts anew at every call, as after a change of length."""

    def step(config: Any, w: Any, memory: Any, g: Any, lr: Any) -> Any:
        memory.pop("norm", None)
        return adagrad_order(config, w, memory, g, lr)

    return _over("adagrad", step)()


def _compressed(kind: str, wrong: Callable[[Any], Any]) -> Callable[[], str]:
    def check() -> str:
        for case in _document("compressors")["cases"]:
            parts = case.get("segments", [])
            if len(parts) == 1 and parts[0]["compressor"]["kind"] == kind and not parts[0]["compressor"]["config"]:
                with np.errstate(all="ignore"):
                    decoded = wrong(floats(case["in"]))
                if not same(decoded, floats(case["ieee"]["decoded"])):
                    return str(case["id"])
        return ""

    return check


def scaled_r8(x: Any) -> Any:
    finite = np.where(np.isfinite(x), x, 0)
    scale = np.max(np.abs(finite)) / F(127)
    return (np.clip(np.round(finite / scale), -127, 127) * scale).astype(F)


def one_bit_zero_is_one(x: Any) -> Any:
    return np.where(x >= 0, F(0.1), F(-0.1))


def unseeded_uniform() -> str:
    """Values of a generator with another seed."""
    case = _document("initializers")["cases"][0]
    expected = floats(case["rows"]["ieee"][0])
    draws = np.random.RandomState(0).randint(0, 2**32, len(expected), dtype=np.uint64).astype(np.float32)
    return str(case["id"]) if not same(draws / F(2**32) * F(0.1) - F(0.05), expected) else ""


DEVIATIONS: list[tuple[str, str, Callable[[], str]]] = [
    ("1", "adagrad multiplies before it divides", _over("adagrad", adagrad_order)),
    ("2", "adagrad starts at 0, with an epsilon, without decay", _over("adagrad", adagrad_start)),
    ("3", "adam's epsilon beside the corrected root", _over("adam", _adam(0, 0, outside=True))),
    ("4", "adam's beta2 and epsilon are constants", _over("adam", _adam(0.999, 1e-8, outside=True))),
    ("5", "adam's powers by exponentiation", _over("adam", adam_powers)),
    ("6", "adam without weight decay and Nesterov", _over("adam", _adam(0, 0, outside=True, decay=False))),
    ("7", "amsgrad corrects the first moment only", _over("amsgrad", _adam(0, 0, outside=False, amsgrad=True))),
    ("8", "momentum keeps the rate outside", _over("momentum", momentum)),
    ("9", "rmsprop with epsilon inside the root, no + 1", _over("rmsprop", rmsprop)),
    ("10", "rmspropv2 as plain rmsprop", _over("rmspropv2", rmsprop)),
    ("11", "adadelta without the rate", _over("adadelta", adadelta)),
    ("12", "ftrl's textbook soft threshold", _over("ftrl", _ftrl(None, beta=True, textbook=True))),
    ("13", "ftrl without beta, from 0, rate 1", _over("ftrl", _ftrl(0, beta=False, textbook=False, rate=1.0))),
    ("14", "one rate for all segments", one_rate_for_all),
    ("16", "a state that starts anew", state_reset),
    ("17", "fixed_r8 scaled by the row's largest", _compressed("fixed_r8", scaled_r8)),
    ("18", "one_bit's zero is positive", _compressed("one_bit", one_bit_zero_is_one)),
    ("19", "random_uniform from another seed", unseeded_uniform),
]
