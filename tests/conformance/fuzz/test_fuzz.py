"""A search finds, shrinks and keeps: findings are fixed cases, and the next search begins where one stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from monolith_conformance import run_conformance
from monolith_conformance.backends.null import NullBackend
from monolith_conformance.backends.oracle import OracleBackend
from monolith_conformance.cases import all_cases
from monolith_conformance.fuzz.corpus import Corpus
from monolith_conformance.fuzz.search import Searcher
from monolith_conformance.runner import select
from monolith_conformance.session import Search, Session
from monolith_conformance.transcript import Transcript
from monolith_protos import testee_pb2

from monolith_ref.cli.app import run
from monolith_ref.errors import ConfigError, FormatError
from monolith_ref.quirks import Quirks

SELECT = "core/optimizer.sgd/"
CASES = select(all_cases().values(), [SELECT])
DEFAULT = Quirks.parse("default")


class Wrong(OracleBackend):
    """Notes updates a second early, from the second second on."""

    name = "wrong"

    def op(self, message: testee_pb2.Op) -> testee_pb2.Result:
        copy = testee_pb2.Op()
        copy.CopyFrom(message)
        if copy.op == "optimize" and copy.time > 1:
            copy.time -= 1
        return super().op(copy)


def _search(folder: Path, backend: OracleBackend, examples: int = 10) -> Searcher:
    searcher = Searcher(backend, CASES, Corpus(folder), quirks=DEFAULT)
    searcher.run(None, examples)
    return searcher


def test_there_are_generated_cases_of_every_level() -> None:
    levels = {case.level for case in all_cases().values() if case.generated}
    assert {"core", "table", "filter", "sync"} <= levels


def test_a_finding_becomes_a_fixed_case(tmp_path: Path) -> None:
    found = _search(tmp_path, Wrong()).found
    assert len(found.findings) == 1
    finding = found.findings[0]
    assert finding.new
    assert finding.path.parent == tmp_path / "cases"
    transcript, header = Transcript.load(finding.path)
    assert header["id"] == finding.outcome.case.id
    assert 1 < len(transcript) < 8  # shrunk
    right = run_conformance("oracle", cases=tmp_path / "cases", select=[SELECT + finding.path.stem])
    assert right.count("passed") == 1
    wrong = run_conformance(Wrong(), cases=tmp_path / "cases", select=[SELECT + finding.path.stem])
    assert wrong.count("failed") == 1


def test_a_kept_finding_is_played_first(tmp_path: Path) -> None:
    _search(tmp_path, Wrong())
    again = _search(tmp_path, Wrong()).found
    assert [finding.new for finding in again.findings] == [False, True]
    assert again.findings[0].path == again.findings[1].path  # the same requests give the same file
    mended = _search(tmp_path, OracleBackend()).found
    assert (mended.kept, mended.findings) == (1, [])


def test_every_round_tries_other_examples_and_goes_on(tmp_path: Path) -> None:
    seeds: list[int] = []

    class Noting(OracleBackend):
        name = "noting"

    searcher = Searcher(Noting(), CASES, Corpus(tmp_path), quirks=DEFAULT)
    original = searcher._judge

    def noted(case):  # type: ignore[no-untyped-def]
        seeds.append(searcher._session.search.seed)  # type: ignore[union-attr]
        return original(case)

    searcher._judge = noted  # type: ignore[method-assign]
    searcher.run(None, 3)
    searcher.run(None, 3)
    assert seeds == sorted(set(seeds))
    assert Corpus(tmp_path).progress.rounds == 2
    assert Corpus(tmp_path).progress.examples == 3 * len(seeds)


def test_other_seeds_give_other_examples(tmp_path: Path) -> None:
    def requests(seed: int | None) -> list[bytes]:
        sent: list[bytes] = []

        class Recording(OracleBackend):
            def answer(self, request: testee_pb2.Request) -> testee_pb2.Reply:
                copy = testee_pb2.Request()
                copy.CopyFrom(request)
                copy.seq = 0
                sent.append(copy.SerializeToString())
                return super().answer(request)

        session = Session(Recording(), "ieee", DEFAULT)
        session.search = None if seed is None else Search(5, seed, str(tmp_path / "examples"))
        session.open()
        next(case for case in CASES if case.generated).judge(session)
        return sent

    assert requests(1) == requests(1)
    assert requests(1) != requests(2)
    assert requests(None) == requests(None)


def test_the_time_is_kept(tmp_path: Path) -> None:
    ticks = iter(range(0, 10_000, 4))
    searcher = Searcher(OracleBackend(), CASES, Corpus(tmp_path), quirks=DEFAULT, clock=lambda: float(next(ticks)))
    found = searcher.run(30.0, 2)
    assert 1 < found.rounds < 8
    assert found.seconds >= 30.0


def test_a_backend_that_can_do_nothing_ends_the_search(tmp_path: Path) -> None:
    found = Searcher(NullBackend(), CASES, Corpus(tmp_path), quirks=DEFAULT).run(60.0)
    assert (found.rounds, found.cases, found.examples) == (1, set(), 0)
    with pytest.raises(ConfigError, match="generates"):
        Searcher(OracleBackend(), [case for case in CASES if not case.generated], Corpus(tmp_path), quirks=DEFAULT)


def test_a_broken_corpus_is_named(tmp_path: Path) -> None:
    (tmp_path / "progress.json").write_text('{"rounds": 1, "weather": 2}')
    with pytest.raises(FormatError, match="progress"):
        Corpus(tmp_path)


def test_the_command_says_how_to_repeat(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--examples", "10", "--select", SELECT, "--corpus", str(tmp_path)]
    assert run(["conform", "fuzz", "--backend", f"{__name__}:Wrong", *options], False) == 1
    said = capsys.readouterr().out
    replay = next(line.split("monolith-ref ")[1] for line in said.splitlines() if "replay " in line)
    assert run(replay.split(), False) == 1
    assert run([*replay.split()[:3], "--backend", "oracle"], False) == 0
    assert f"--cases {tmp_path / 'cases'}" in said
    assert run(["conform", "fuzz", "--backend", "oracle", *options], False) == 0
    assert json.loads((tmp_path / "progress.json").read_text())["rounds"] == 2
