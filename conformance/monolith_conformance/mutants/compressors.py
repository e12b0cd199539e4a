"""Wrong variants of compressors and of what training reads through them."""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_conformance.mutants.mutant import Mutant, Replacement, edit, swap, wrap

__all__ = ["MUTANTS"]

QUANTIZE = "oracle.rules.quantize"
NAMED = ("core/compressor/", "core/retriever/")


def _compressor(name: str, kind: str, sentence: str, *replacements: Replacement, **settings: Any) -> Mutant:
    settings.setdefault("killed_by", NAMED)
    return Mutant(name, sentence, replacements, about=frozenset({f"compressor.{kind}"}), **settings)


def _r8(name: str, sentence: str, *changes: tuple[str, str], **settings: Any) -> Mutant:
    return _compressor(name, "fixed_r8", sentence, edit(f"{QUANTIZE}:_codes_r8", *changes), **settings)


def _one_bit(name: str, sentence: str, function: str, *changes: tuple[str, str], **settings: Any) -> Mutant:
    return _compressor(name, "one_bit", sentence, edit(f"{QUANTIZE}:{function}", *changes), **settings)


def _halves(name: str, sentence: str, change: Any, **settings: Any) -> Mutant:
    return _compressor(name, "fp16", sentence, wrap(f"{QUANTIZE}:_halves", change), **settings)


def _truncated(x: Any) -> Any:
    """Halves towards zero."""
    halves = x.astype(np.float16)
    toward = np.nextafter(halves, np.float16(0))
    return np.where(np.abs(halves.astype(np.float32)) > np.abs(x), toward, halves).view(np.uint16)


def _scaled(x: Any) -> Any:
    """Codes of a row scaled by its greatest finite size, as a port does; the step is not kept."""
    finite = np.where(np.isfinite(x), x, np.float32(0))
    largest = np.max(np.abs(finite), initial=np.float32(0))
    codes = np.round(finite / largest * np.float32(127)) if largest > 0 else finite
    return np.clip(codes, -127, 127).astype(np.int8)


_QUOTIENT = "np.where(x >= 0, x + half, x - half) / step"
_CLIP = "np.clip(quotient, -128, 127)"

MUTANTS: tuple[Mutant, ...] = (
    _compressor(
        "r8-scaled-by-row",
        "fixed_r8",
        "codes scaled by the row's largest element",
        wrap(f"{QUANTIZE}:_codes_r8", lambda original: lambda config, quirks, x: _scaled(x)),
        deviation=17,
    ),
    _r8("r8-truncates", "quotients cut, not rounded", (_QUOTIENT, "x / step")),
    _r8("r8-half-to-even", "halves rounded to even", (_QUOTIENT, "np.round(x / step)")),
    _r8("r8-half-upwards", "halves rounded upwards", (_QUOTIENT, "np.floor((x + half) / step)")),
    _r8("r8-symmetric", "codes from -127 to 127", (_CLIP, "np.clip(quotient, -127, 127)")),
    _r8("r8-wraps", "codes that wrap around", (_CLIP, "(quotient + 128) % 256 - 128")),
    _r8("r8-nan-is-lowest", "a NaN as the lowest code", ("np.where(np.isnan(x), F(0), codes)",
        "np.where(np.isnan(x), F(-128), codes)")),
    _compressor("r8-step-127", "fixed_r8", "a step of r/127",
                edit(f"{QUANTIZE}:decode", ('F(config["r"]) / F(128)', 'F(config["r"]) / F(127)'))),
    _compressor("r8-fixed-range", "fixed_r8", "a range of 1 whatever is configured",
                edit(f"{QUANTIZE}:_codes_r8", ('F(config["r"])', "F(1)")),
                edit(f"{QUANTIZE}:decode", ('F(config["r"])', "F(1)"))),
    _compressor("r8-training-reads-raw", "fixed_r8", "training reads that are not quantised",
                edit(f"{QUANTIZE}:read", ('if kind == "fixed_r8":', 'if kind == "none":'))),
    _halves("fp16-truncates", "halves cut, not rounded to nearest", lambda original: _truncated,
            killed_by=(*NAMED, "table/trace/")),
    _halves("fp16-saturates", "the greatest half in place of an infinity",
            lambda original: lambda x: original(np.where(np.isfinite(x), np.clip(x, np.float32(-65504),
            np.float32(65504)), x)),
            killed_by=(*NAMED, "table/trace/")),
    _halves("fp16-flushes", "subnormal halves flushed to zero",
            lambda original: lambda x: np.where((original(x) & 0x7C00) == 0, original(x) & 0x8000, original(x)),
            killed_by=(*NAMED, "table/trace/")),
    _halves("fp16-loses-sign-of-zero", "a zero without its sign",
            lambda original: lambda x: np.where(original(x) == 0x8000, 0, original(x)),
            killed_by=(*NAMED, "table/trace/")),
    _one_bit("one-bit-zero-positive", "zero on the positive side", "encode",
             ('x, config["init_scale"]) > 0', 'x, config["init_scale"]) >= 0'), deviation=18),
    _one_bit("one-bit-reads-sign", "training reads of plus or minus the amplitude", "read",
             ("tanh(F(scale) * x)", "np.where(x > 0, F(1), F(-1))")),
    _compressor("one-bit-tanh-in-double", "one_bit", "a tanh computed in double precision",
                swap(f"{QUANTIZE}:tanh", lambda x: np.tanh(x.astype(np.float64)).astype(np.float32))),
    _one_bit("one-bit-passes-gradient", "the gradient passed as it is", "backward", ('if kind != "one_bit":',
        "if True:")),
    _one_bit("one-bit-slope-without-scale", "a slope without the scale", "backward",
        ('F(config["amplitude"]) * F(scale)', 'F(config["amplitude"])')),
    _one_bit("one-bit-scale-stands", "a scale that never grows", "scale_at", ("if step % config[",
        "if True or step % config[")),
    _one_bit("one-bit-scale-every-step", "a scale that grows at every step", "scale_at", ("if step % config[",
        "if False and step % config[")),
    _one_bit("one-bit-scale-unlimited", "a scale without an upper limit", "scale_at",
             ('F(config["max_scale"]) if F(config["max_scale"]) < grown else grown', "grown")),
    _one_bit("one-bit-scale-linear", "a scale that grows with the step, not with its root", "scale_at",
        ("math.pow(D(base), 0.5)", "float(base)")),
    _compressor("one-bit-fixed-amplitude", "one_bit", "an amplitude of .1 whatever is configured",
                edit(f"{QUANTIZE}:decode", ('F(config["amplitude"])', "F(0.1)")),
                edit(f"{QUANTIZE}:read", ('F(config["amplitude"])', "F(0.1)"))),
    _compressor("serving-add-unread", "fp16", "an assign_add that assigns",
                edit("oracle.table:OracleTable.assign_add",
                     ("row.packed = pack(self.codecs, self.quirks, unpack(self.codecs, row.packed) + value)",
                      "row.packed = pack(self.codecs, self.quirks, value)")),
                killed_by=(*NAMED, "table/trace/")),
    _compressor("segments-packed-backwards", "fp16", "segments of a serving row in reverse order",
                edit("oracle.table:unpack", ("return np.concatenate(parts)", "return np.concatenate(parts[::-1])")),
                killed_by=(*NAMED, "table/trace/")),
)  # fmt: skip
