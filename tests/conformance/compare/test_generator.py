"""Vectors of the generator (sync_training 6.1)."""

from __future__ import annotations

import numpy as np
import pytest
from monolith_conformance.compare.digests import DataDigest
from monolith_conformance.compare.generator import GeneratedSource, generate, hi, kernel, stream

from monolith_ref.errors import ConfigError

DATA_DIGEST_50 = "3519baaa7ba9ebd04a42a231e06cee93c338ad869689511d9d453f76dd25d609"


def test_first_block_is_the_stated_one() -> None:
    words = [f"{word:016x}" for word in stream(42, 1, 0, 0, 4).tolist()]
    assert words == ["719965f2debb5c86", "d0ff12852bfefaa0", "824f8a46917b59d3", "633af9b3183bb36a"]


def test_words_can_be_drawn_from_any_place() -> None:
    whole = stream(7, 2, 3, 4, 100)
    for first in (0, 1, 3, 4, 5, 41):
        np.testing.assert_array_equal(stream(7, 2, 3, 4, 20, first), whole[first : first + 20])


@pytest.mark.parametrize("limit", [1, 2, 24, 100_000, (1 << 32) - 1])
def test_hi_is_the_high_half_of_the_product(limit: int) -> None:
    words = np.concatenate([stream(1, 9, 0, 0, 50), np.array([0, 1, (1 << 64) - 1], np.uint64)])
    assert hi(words, limit).tolist() == [word * limit >> 64 for word in words.tolist()]


def test_rows_of_step_0() -> None:
    batch = generate(42, 0, 0, 455, global_rows=455, with_slot=False)
    first, last = batch.ragged["feature0"], batch.ragged["feature16"]
    assert first.lengths()[:8].tolist() == [11, 20, 13, 10, 1, 9, 24, 19]
    row_0 = [42691, 84277, 63478, 97970, 90798, 81266, 16827, 53146, 97827, 3732, 21243]
    assert first.row(0).tolist() == row_0
    assert last.row(454).tolist() == [45086, 88722, 33309, 58655, 6502, 66273, 52236]
    assert "".join(str(int(label)) for label in batch.label[:16]) == "1000000110111011"
    assert int(batch.label.sum()) == 228
    with_slot = generate(42, 0, 0, 455, global_rows=455)
    fids = np.concatenate([ragged.values for ragged in with_slot.ragged.values()])
    assert (len(fids), len(np.unique(fids))) == (97_613, 94_902)
    assert with_slot.ragged["feature16"].row(454)[0] == (17 << 48) | 45086


def test_rows_of_step_49() -> None:
    batch = generate(42, 49, 0, 455, global_rows=455, with_slot=False)
    row = batch.ragged["feature5"].row(100)
    assert (len(row), row[:3].tolist(), int(batch.label.sum())) == (17, [70799, 4578, 30978], 237)


@pytest.mark.parametrize(("ranks", "shared"), [(2, 1315), (3, 1778), (4, 2005)])
def test_ids_on_several_ranks(ranks: int, shared: int) -> None:
    source = GeneratedSource(42, 455)
    seen: dict[int, int] = {}
    for rank in range(ranks):
        batch = source.rows(0, rank * 455 // ranks, (rank + 1) * 455 // ranks)
        fids = np.unique(np.concatenate([ragged.values for ragged in batch.ragged.values()]))
        for fid in fids.tolist():
            seen[fid] = seen.get(fid, 0) + 1
    assert sum(count > 1 for count in seen.values()) == shared


def test_a_part_of_the_rows_is_that_part() -> None:
    whole, part = generate(3, 5, 0, 31, global_rows=31), generate(3, 5, 10, 23, global_rows=31)
    for name, ragged in whole.ragged.items():
        np.testing.assert_array_equal(ragged.slice_rows(10, 23).values, part.ragged[name].values)
    np.testing.assert_array_equal(whole.label[10:23], part.label)
    assert (part.first_row, part.global_rows) == (10, 31)


def test_data_digest_of_50_steps_dealt_to_three_ranks() -> None:
    digest, source = DataDigest(), GeneratedSource(42, 455)
    for step in range(50):
        digest.add([source.rows(step, low, high) for low, high in ((0, 151), (151, 303), (303, 455))])
    assert digest.hexdigest() == DATA_DIGEST_50


def test_kernels() -> None:
    first = kernel(42, 0, 255, 64)
    assert [float(value).hex() for value in first[0, :3]] == [
        float.fromhex(text).hex() for text in ("0x1.2e0a9ep-4", "-0x1.5c4ccap-4", "0x1.b4f7bp-4")
    ]
    assert float(kernel(42, 1, 64, 32)[0, 0]) == float.fromhex("-0x1.6d6698p-3")
    assert float(kernel(42, 2, 32, 1)[31, 0]) == float.fromhex("-0x1.8abe8p-3")
    assert not np.array_equal(kernel(42, 0, 255, 64, head=1), first)


def test_seeds_have_64_bits() -> None:
    assert len(stream((1 << 64) - 1, 1, 0, 0, 4)) == 4
    for seed in (-1, 1 << 64):
        with pytest.raises(ConfigError, match="seed"):
            stream(seed, 1, 0, 0, 4)
