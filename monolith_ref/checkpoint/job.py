"""Job checkpoints: every rank's tables, the dense variables and one manifest, whole or absent. Rule: checkpoints 5.1.

write_job_checkpoint(directory, step, tables, dense, comm, ...)      # collective: every rank calls it
checkpoint = latest(directory)                                       # the newest with a valid manifest, or None
checkpoint.verify_files()                                            # sizes and checksums, before anything changes
for rows in checkpoint.rows("MonolithHashTable_x", rank, size): store.import_(rows)
variables = checkpoint.dense()
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

if TYPE_CHECKING:
    from monolith_ref.sync.communicator import Communicator
    from monolith_ref.table.store import RowDump

__all__ = ["JobCheckpoint", "TableContent", "latest", "open_checkpoint", "write_job_checkpoint"]


@dataclass(frozen=True)
class TableContent:
    """What this rank holds of one table.

    Attributes
    ----------
    name : str
        ``MonolithHashTable_<suffix>`` without rank (kind single), or the name inside the multi table (kind multi).
    kind : str
        ``"single"``: files of its own; ``"multi"``: one pair of files a rank for all tables of this kind.
    config : bytes
        Serialised ``EmbeddingHashTableConfig``; must be equal on all ranks.
    learning_rates : tuple of str
        ``str()`` of each segment's rate.
    rows : RowDump
        This rank's rows in order of row number (``RowStore.export()``).
    max_ts : int
        The table's maximum time on this rank (the manifest keeps the maximum over ranks).
    one_bit_scale : tuple of int
        Bits of the float32 scale of each one_bit segment.
    """

    name: str
    kind: Literal["single", "multi"]
    config: bytes
    learning_rates: tuple[str, ...]
    rows: RowDump
    max_ts: int
    one_bit_scale: tuple[int, ...] = ()


def write_job_checkpoint(
    directory: str | Path,
    step: int,
    tables: Sequence[TableContent],
    dense: Mapping[str, NDArray[Any]],
    comm: Communicator,
    *,
    quirks: Sequence[str] = (),
    profile: str = "ieee",
    owner_rule: Literal["floor-mod", "empty-rank0"] = "floor-mod",
    filters: Any = None,
    random: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``<directory>/model.ckpt-<step>`` and return the path of its manifest. Collective.

    ``dense`` (only rank 0's counts): variable name → array (``dense_0/kernel``, ``dense_0/kernel/accumulator``, ...);
    ``global_step`` is added. ``random``: this rank's ``{"initializer_draws": int, "rounding": [z, w]}``.
    ``extra``: any JSON object, kept in the manifest under ``extra`` (rank 0's counts).

    Raises CheckpointError on every rank if any rank could not write; the former checkpoint then still stands.
    """
    raise NotImplementedError


def latest(directory: str | Path) -> JobCheckpoint | None:
    """The checkpoint of the highest step whose manifest is valid, or None."""
    raise NotImplementedError


def open_checkpoint(directory: str | Path, step: int) -> JobCheckpoint:
    """The checkpoint of that step; CheckpointError where it is absent or its manifest is not valid."""
    raise NotImplementedError


class JobCheckpoint:
    """A committed checkpoint of all ranks.

    Attributes
    ----------
    directory : Path
    manifest : Manifest
        ``global_step``, ``ranks``, ``owner_rule``, ``quirks``, ``profile``, ``tables`` (name, kind, config, ...),
        ``files``, ``extra`` (dict).
    """

    directory: Path
    manifest: Any

    @property
    def step(self) -> int:
        """The global step."""
        raise NotImplementedError

    @property
    def extra(self) -> dict[str, Any]:
        """The object given as ``extra``."""
        raise NotImplementedError

    def verify_files(self) -> None:
        """CheckpointError unless every file has the size and crc32c of the manifest."""
        raise NotImplementedError

    def paths(self) -> dict[str, Path]:
        """Path in the manifest → file to read now (the temporary name where it exists, else the final one)."""
        raise NotImplementedError

    def rows(self, table: str, rank: int = 0, ranks: int = 1, owner_rule: str = "floor-mod") -> Iterator[RowDump]:
        """The rows of ``table`` that rank ``rank`` of ``ranks`` owns, in batches, whatever file they came from."""
        raise NotImplementedError

    def dense(self) -> dict[str, NDArray[Any]]:
        """Every dense variable by name (``global_step`` included)."""
        raise NotImplementedError
