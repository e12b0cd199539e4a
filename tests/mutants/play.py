"""A rule's plain Python functions, played over the golden vectors of its own file."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np
from monolith_conformance.bits import same_bits
from monolith_conformance.oracle.rules import initial, update
from monolith_conformance.vectors.words import floats
from monolith_kernels.prim import profile as profile_value
from monolith_kernels.rules.base import Rule

__all__ = ["cases", "first_failure", "floats", "same"]


@functools.cache
def cases(rule: str) -> tuple[dict[str, Any], ...]:
    """The measured trajectories of a rule, smallest first."""
    text = (files("monolith_conformance") / "golden" / "vectors" / f"rows_{rule}.json").read_text()
    return tuple(sorted(json.loads(text)["cases"], key=lambda case: case["dim"] * len(case["steps"])))


def same(a: Any, b: Any) -> bool:
    """Equal bits; any NaN equals any NaN."""
    return same_bits(np.asarray(a, np.float32).reshape(-1), np.asarray(b, np.float32).reshape(-1))


def first_failure(rule: Rule) -> str:
    """Case and step of the first vector that the rule misses, in either profile; empty where it misses none."""
    for case in cases(rule.name):
        for profile in ("ieee", "avx"):
            try:
                step = _play(rule, case, profile)
            except Exception as error:
                return f"{case['id']} ({type(error).__name__})"
            if step is not None:
                return f"{case['id']} step {step} {profile}"
    return _clean_failure(rule)


def _clean_failure(rule: Rule) -> str:
    """The same for rows that no vector shows: all switches off, every config field away from its default."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        config = {
            name: bool(seed % 2) if isinstance(default, bool) else float(np.float32(rng.uniform(0.05, 0.9)))
            for name, default in rule.defaults.items()
            if isinstance(default, float | bool)
        }
        dim = 1 if rule.one_dimensional else 9
        h = rule.make(config)
        w = rng.standard_normal(dim).astype(np.float32)
        fresh = initial(rule.name, config, dim)
        state = [list(fresh[name]) for name in rule.state]
        words = tuple(rule.fields_to_words(rule, np.zeros((1, len(rule.words)), np.float32), _single(rule, fresh))[0])
        weights = list(w)
        for step in (3, 2**33 + 7, 2**40):
            g = rng.standard_normal(dim).astype(np.float32)
            text = {"g": g.view(np.uint32).astype(">u4").tobytes().hex(), "lr": "3dcccccd", "global_step": step}
            try:
                weights, state, words = _step(rule, h, "ieee", weights, state, words, text)
            except Exception as error:
                return f"clean row {seed} ({type(error).__name__})"
            w, fresh = update(rule.name, config, w, fresh, g, np.float32(0.1), step)
            if not same(weights, w) or any(not same(s, fresh[n]) for n, s in zip(rule.state, state, strict=True)):
                return f"clean row {seed} step {step}"
    return ""


def _single(rule: Rule, state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: np.array([value]) for name, value in state.items() if name not in rule.state}


def _play(rule: Rule, case: Mapping[str, Any], profile: str) -> int | None:
    config = {name: floats(v)[0] if isinstance(v, str) else v for name, v in case["config"].items()}
    h = rule.make(config, case.get("quirks", ()))
    if "given_state" not in case.get("tags", ()) and rule.buildable and not _starts_right(rule, h, case):
        return -1
    w = list(floats(case["w0"]))
    state = [list(floats(case["state0"][name])) for name in rule.state]
    words = _words(rule, case["state0"])
    for number, step in enumerate(case["steps"]):
        expected = step["ieee"] if step[profile] == "ieee" else step[profile]
        w, state, words = _step(rule, h, profile, w, state, words, step)
        if not same(w, floats(expected["w"])):
            return number
        if any(not same(s, floats(expected["state"][n])) for n, s in zip(rule.state, state, strict=True)):
            return number
        if not _same_words(rule, words, expected["state"]):
            return number
    return None


def _starts_right(rule: Rule, h: Any, case: Mapping[str, Any]) -> bool:
    fresh = zip(rule.state, rule.initial_state(h), strict=True)
    return all(same([fill] * case["dim"], floats(case["state0"][name])) for name, fill in fresh)


def _words(rule: Rule, state: Mapping[str, Any]) -> tuple[Any, ...]:
    single = {n: floats(v) if isinstance(v, str) else np.array([v], np.int64) for n, v in state.items()}
    fields = {name: value for name, value in single.items() if name not in rule.state}
    packed = rule.fields_to_words(rule, np.zeros((1, len(rule.words)), np.float32), fields)
    return tuple(packed[0])


def _same_words(rule: Rule, words: tuple[Any, ...], state: Mapping[str, Any]) -> bool:
    if not rule.words:
        return True
    expected = np.array(_words(rule, state), np.float32)
    return np.array_equal(np.array(words, np.float32).view(np.uint32), expected.view(np.uint32))


def _step(rule: Rule, h: Any, profile: str, w: Any, state: Any, words: Any, step: Mapping[str, Any]) -> Any:
    p, d, g = profile_value(profile), len(w), floats(step["g"])
    lr, now = np.float32(floats(step["lr"])[0]), step.get("global_step", 0)
    with np.errstate(all="ignore"):
        c = rule.begin(p, h, lr, np.int64(now), words)
        rows: list[Any] = [(w[i], tuple(s[i] for s in state), i, i < (d & ~7)) for i in range(d)]
        for k in range(rule.folds):
            acc = rule.fold_start(h, k)
            for weight, s, i, block in rows:
                acc = rule.fold(p, h, k, c, acc, weight, g[i], s, i, block)
            c = rule.between(p, h, k, c, acc, words)
        out = [rule.element(p, h, c, weight, g[i], s, i, block) for weight, s, i, block in rows]
        after = rule.finish(p, h, c, np.int64(now), words)
    return [o[0] for o in out], [[o[1][k] for o in out] for k in range(len(state))], tuple(after)
