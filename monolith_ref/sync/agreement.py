"""Do all ranks mean the same job? Rule: sync_training 4."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from monolith_ref.errors import ConfigError
from monolith_ref.sync.communicator import Communicator
from monolith_ref.sync.roll_call import name_ranks

__all__ = ["check_agreement", "configuration_digest"]


def configuration_digest(configuration: Mapping[str, str]) -> str:
    """SHA-256 of ``key=value`` lines by ascending key, 64 hex digits."""
    return hashlib.sha256(_text(configuration)).hexdigest()


def check_agreement(communicator: Communicator, configuration: Mapping[str, str]) -> str:
    """Compare a configuration (settings, versions, tables, dims ...) over all ranks; its digest.

    Keys and values must not hold line breaks.

    Raises
    ------
    ConfigError
        On every rank, the same: the first key (in string order) that differs, its values and the ranks that have them.
    """
    mine = configuration_digest(configuration)
    digests = communicator.allgather_bytes(bytes.fromhex(mine), "configuration digest")
    if all(digest == digests[0] for digest in digests):
        return mine
    texts = communicator.allgather_bytes(_text(configuration), "configuration")
    every = [dict(_pairs(text)) for text in texts]
    for key in sorted({key for one in every for key in one}):
        values: dict[str | None, list[int]] = {}
        for rank, one in enumerate(every):
            values.setdefault(one.get(key), []).append(rank)
        if len(values) > 1:
            parts = [
                f"{'unset' if value is None else repr(value)} on {name_ranks(ranks)}" for value, ranks in values.items()
            ]
            raise ConfigError(f"ranks disagree on {key}: {', '.join(parts)}")
    raise ConfigError("ranks disagree on their configuration")


def _text(configuration: Mapping[str, str]) -> bytes:
    return "".join(f"{key}={configuration[key]}\n" for key in sorted(configuration)).encode()


def _pairs(text: bytes) -> list[tuple[str, str]]:
    pairs = []
    for line in text.decode().splitlines():
        key, _, value = line.partition("=")
        pairs.append((key, value))
    return pairs
