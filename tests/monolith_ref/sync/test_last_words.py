"""Of ranks that end a job at the same moment, one says why, and is not killed before it has."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from monolith_ref.sync import mpi


@pytest.mark.parametrize(("speaks", "waits"), [(True, []), (False, [mpi.LAST_WORDS_SECONDS])])
def test_a_rank_that_does_not_speak_gives_time_to_the_one_that_does(
    speaks: bool, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Any] = []

    def end(code: int) -> None:
        events.append("abort")
        raise SystemExit(code)

    monkeypatch.setattr(mpi, "sleep", events.append)
    rank = object.__new__(mpi.MpiCommunicator)
    rank._coroner = SimpleNamespace(claim=lambda: speaks)  # type: ignore[assignment]
    rank._mpi = SimpleNamespace(COMM_WORLD=SimpleNamespace(Abort=end))  # type: ignore[assignment]
    with pytest.raises(SystemExit) as ended:
        rank.abort(4)
    assert ended.value.code == 4
    assert events == [*waits, "abort"]
