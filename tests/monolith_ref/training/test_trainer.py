"""The trainer on a small log: digests over ranks and layouts, resumption, filters, expiry, evaluation, callbacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monolith_ref.errors import CheckpointError, ConfigError, FormatError
from monolith_ref.training import history
from monolith_ref.training.callbacks import Callback
from monolith_ref.training.metrics import Evaluation
from monolith_ref.training.trainer import Trainer, TrainResult
from tests.monolith_ref.training.small_log import ROWS, small_config, write_log
from tests.monolith_ref.training.threads import ThreadRanks

STEPS = 8
"""Of two epochs of 63 rows in batches of 16."""


def fit(
    folder: Path, ranks: int = 1, *, resume: bool = False, directory: Path | None = None, **changes: Any
) -> TrainResult:
    config = small_config(folder, **changes)

    def work(communicator: Any) -> TrainResult:
        trainer = Trainer(config, communicator=communicator, directory=directory, resume=resume)
        return trainer.fit()

    results = ThreadRanks(ranks).run(work)
    assert all(result.digests == results[0].digests for result in results)
    assert all(result.evaluations[-1].auc == results[0].evaluations[-1].auc for result in results)
    first: TrainResult = results[0]
    return first


def test_a_run_of_one_rank(tmp_path: Path) -> None:
    result = fit(tmp_path)
    assert result.steps == STEPS
    assert [one.step for one in result.evaluations] == [4, 8]
    assert result.evaluations[-1].rows == 27
    assert [(window.step, window.steps) for window in result.windows] == [(3, 3), (4, 1), (6, 2), (8, 2)]
    assert sum(window.rows for window in result.windows) == 2 * (ROWS - 27)
    # Items and what was seen share rows.
    assert set(result.rows) == {"user", "item", "tags"}
    assert result.loss != result.windows[0].loss


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_exact_gives_one_digest_for_any_number_of_ranks(tmp_path: Path, ranks: int) -> None:
    alone, together = fit(tmp_path), fit(tmp_path, ranks)
    assert together.digests == alone.digests
    plain = [Evaluation(**{**one.as_dict(), "seconds": 0.0}) for one in alone.evaluations]
    assert [Evaluation(**{**one.as_dict(), "seconds": 0.0}) for one in together.evaluations] == plain
    assert together.rows == alone.rows


def test_neither_layout_nor_threads_nor_prefetching_show(tmp_path: Path) -> None:
    expected = fit(tmp_path).digests
    assert fit(tmp_path, 2, **{"table.layout": "merged"}).digests == expected
    assert fit(tmp_path, threads=2).digests == expected
    assert fit(tmp_path, **{"input.prefetch": 0}).digests == expected
    assert fit(tmp_path, **{"input.shuffle": "false"}).digests["state"] != expected["state"]
    assert fit(tmp_path, seed=1).digests["state"] != expected["state"]


RANDOM = {"model.slices.0.initializer": '{ kind = "random_uniform", minval = -0.1, maxval = 0.1 }'}
FILTERED = {"features.0.occurrence_threshold": 2, "features.2.occurrence_threshold": 1}
EXPIRING = {"features.0.expire_days": 0, "table.evict_every_steps": 2}


@pytest.mark.parametrize("changes", [{}, RANDOM, FILTERED, EXPIRING, {**RANDOM, **FILTERED}], ids=map(str, range(5)))
@pytest.mark.parametrize("layout", ["multi", "merged"])
def test_a_resumed_run_ends_with_the_bits_of_one_without_a_break(
    tmp_path: Path, layout: str, changes: dict[str, Any]
) -> None:
    changes = {**changes, "checkpoint.every_steps": 3, "table.layout": layout, "threads": 2}
    whole = fit(tmp_path, directory=tmp_path / "whole", **changes)
    cut = fit(tmp_path, directory=tmp_path / "cut", steps=6, **changes)
    assert (cut.steps, cut.resumed_at) == (6, 0)
    resumed = fit(tmp_path, directory=tmp_path / "cut", resume=True, **changes)
    assert (resumed.steps, resumed.resumed_at) == (STEPS, 6)
    assert resumed.digests == whole.digests
    assert resumed.rows == whole.rows
    assert [one.step for one in resumed.evaluations] == [one.step for one in whole.evaluations] == [4, 8]
    assert [window.step for window in resumed.windows][-1] == STEPS


def test_another_number_of_ranks_continues_an_exact_run(tmp_path: Path) -> None:
    whole = fit(tmp_path, directory=tmp_path / "whole")
    fit(tmp_path, 2, directory=tmp_path / "cut", steps=5)
    resumed = fit(tmp_path, 3, directory=tmp_path / "cut", resume=True)
    assert resumed.resumed_at == 5
    assert resumed.digests == whole.digests


def test_resumptions_that_cannot_be(tmp_path: Path) -> None:
    fit(tmp_path, 2, directory=tmp_path / "run", steps=5)
    with pytest.raises(ConfigError, match=r"training\.seed was '42', now it is '7'"):
        fit(tmp_path, directory=tmp_path / "run", resume=True, seed=7)
    with pytest.raises(ConfigError, match="rows of a global batch was '16'"):
        fit(tmp_path, directory=tmp_path / "run", resume=True, batch_size=8)
    with pytest.raises(ConfigError, match=r"3 steps are wanted, .* already at step 5"):
        fit(tmp_path, directory=tmp_path / "run", resume=True, steps=3)
    with pytest.raises(ConfigError, match="earlier run; --overwrite"):
        fit(tmp_path, directory=tmp_path / "run")
    with pytest.raises(ConfigError, match="nothing to resume without"):
        fit(tmp_path, resume=True)
    fit(tmp_path, 2, directory=tmp_path / "sum", steps=5, reduction="sum")
    with pytest.raises(ConfigError, match="written by 2 ranks, this run has 1: only"):
        fit(tmp_path, directory=tmp_path / "sum", resume=True, reduction="sum")
    data = next((tmp_path / "run" / "checkpoint").glob("*.assets/*-00000-of-00002"))
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(CheckpointError):
        fit(tmp_path, directory=tmp_path / "run", resume=True)


def test_filter_counts_do_not_travel_to_other_ranks(tmp_path: Path) -> None:
    fit(tmp_path, 2, directory=tmp_path / "run", steps=5, **FILTERED)
    with pytest.raises(CheckpointError, match="holds counts"):
        fit(tmp_path, directory=tmp_path / "run", resume=True, **FILTERED)


def test_filters_keep_rare_ids_out_and_checkpoints_keep_their_counts(tmp_path: Path) -> None:
    everything, filtered = fit(tmp_path, steps=2), fit(tmp_path, steps=2, directory=tmp_path / "run", **FILTERED)
    # Nobody is counted twice before the third step.
    assert filtered.rows["user"] == 0 < everything.rows["user"]
    assert 0 < filtered.rows["tags"] <= everything.rows["tags"]
    assert filtered.rows["item"] == everything.rows["item"]
    assert filtered.checkpoint is not None
    manifest = json.loads(filtered.checkpoint.read_text())
    assert manifest["filters"][0]["kind"] == "sliding"
    assert manifest["random"] == [{"initializer_draws": 0, "rounding": manifest["random"][0]["rounding"]}]


def test_random_initial_values_are_drawn_from_one_stream_of_the_rank(tmp_path: Path) -> None:
    result = fit(tmp_path, directory=tmp_path / "run", **RANDOM)
    assert result.checkpoint is not None
    drawn = json.loads(result.checkpoint.read_text())["random"][0]["initializer_draws"]
    assert drawn == 4 * sum(result.rows.values())
    assert len(result.notes) == 1
    assert "at random" in result.notes[0]


def test_rows_expire_by_the_time_of_their_slot(tmp_path: Path) -> None:
    kept, gone = fit(tmp_path), fit(tmp_path, **EXPIRING)
    # With no days at all only rows of the latest time stay.
    assert gone.rows["user"] < kept.rows["user"]
    assert gone.rows["item"] == kept.rows["item"]
    assert fit(tmp_path, 3, **EXPIRING).digests == gone.digests


def test_checkpoints_are_kept_as_many_as_asked_for(tmp_path: Path) -> None:
    fit(tmp_path, directory=tmp_path / "run", **{"checkpoint.every_steps": 2, "checkpoint.keep": 2})
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoint").glob("*.manifest"))
    assert names == ["model.ckpt-6.manifest", "model.ckpt-8.manifest"]
    fit(tmp_path, directory=tmp_path / "seconds", **{"checkpoint.every_seconds": 1e-9})
    assert len(list((tmp_path / "seconds" / "checkpoint").glob("*.manifest"))) == STEPS


def test_callbacks_are_told_in_order(tmp_path: Path) -> None:
    told: list[str] = []

    class Listener(Callback):
        def on_start(self, trainer: Trainer) -> None:
            told.append("start")

        def on_step(self, trainer: Trainer, result: Any) -> None:
            told.append(f"step {result.step}")

        def on_window(self, trainer: Trainer, window: Any) -> None:
            told.append(f"window {window.step}")

        def on_evaluate(self, trainer: Trainer, evaluation: Evaluation) -> None:
            told.append(f"evaluate {evaluation.step}")

        def on_checkpoint(self, trainer: Trainer, path: Path) -> None:
            told.append(path.name)

        def on_end(self, trainer: Trainer, result: TrainResult) -> None:
            told.append(f"end {result.steps}")

    config = small_config(tmp_path, steps=4, **{"checkpoint.every_steps": 2})
    trainer = Trainer(config, callbacks=[Listener()], directory=tmp_path / "run")
    trainer.fit()
    assert told == [
        "start", "step 0", "step 1", "window 2", "model.ckpt-2.manifest", "step 2", "window 3", "step 3", "window 4",
        "evaluate 4", "model.ckpt-4.manifest", "end 4",
    ]  # fmt: skip
    assert trainer.predict(trainer.dataset.evaluation).shape == (27,)  # type: ignore[arg-type]


def test_the_model_learns_and_a_time_split_takes_the_latest(tmp_path: Path) -> None:
    config = small_config(tmp_path, epochs=30, **{"evaluation.split": "time", "evaluation.every_steps": 1000})
    trainer = Trainer(config)
    assert trainer.dataset.evaluation is not None
    untrained = trainer.evaluate()
    trained = trainer.fit().evaluations[-1]
    assert trained.loss < untrained.loss
    assert trained.auc is not None
    assert trained.auc > 0.75
    # Prices are a column of their own, so the rows kept apart can be told: they are the last of the log.
    lines = (tmp_path / "log.tsv").read_text().splitlines()[1:]
    latest = [float(line.split("\t")[3]) for line in lines[-27:]]
    assert trainer.dataset.evaluation.dense["price"][:, 0].tolist() == np.float32(latest).tolist()


def test_evaluation_files_of_their_own(tmp_path: Path) -> None:
    other = write_log(tmp_path / "other.tsv", 11)
    result = fit(tmp_path, **{"evaluation.split": "none", "evaluation.files": f'["{other}"]'})
    assert result.evaluations[-1].rows == 11
    without = small_config(tmp_path, **{"evaluation.split": "none"})
    trainer = Trainer(without)
    assert trainer.fit().evaluations == []
    with pytest.raises(ConfigError, match="no rows are kept apart"):
        trainer.evaluate()
    with pytest.raises(ConfigError, match="no directory"):
        trainer.save()


def test_squared_error_takes_any_label_in_its_range(tmp_path: Path) -> None:
    changes = {"model.loss": "mse", "input.label": "price"}
    assert fit(tmp_path, 2, **changes).digests == fit(tmp_path, **changes).digests
    with pytest.raises(FormatError, match=r"log\.tsv, record \d+: column 'price': the label .* outside of 0 to 0\.5"):
        fit(tmp_path, **changes, **{"input.label_range": "[0, 0.5]"})


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"input.label": "price"}, None, ""),
        ({"input.label": "when"}, FormatError, r"record 0: column 'when': the label 1000 is outside of 0 to 1"),
        ({"input.files": "absent.tsv"}, ConfigError, r"absent\.tsv: cannot read"),
        ({"input.files": "absent*.tsv"}, ConfigError, "nothing matches"),
        ({"features.0.column": "usr"}, ConfigError, "no column 'usr'; the nearest one is 'user'"),
        ({"features.0.kind": "id"}, FormatError, r"record 0: column 'user': an id must be a whole number"),
        ({"features.4.column": "tags"}, FormatError, "expected a number"),
        ({"input.time_column": "user"}, FormatError, "expected a number"),
        ({"evaluation.ratio": 0.001}, ConfigError, "leaves nothing"),
        ({"input.format": "jsonl"}, FormatError, "not JSON"),
        ({"table.layout": "both"}, ConfigError, "must be multi or merged"),
        ({"targets": "cpu,cuda"}, ConfigError, "one target"),
    ],
)
def test_data_that_does_not_fit_is_refused_before_any_step(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception] | None, message: str
) -> None:
    if error is None:
        assert fit(tmp_path, **changes).steps == STEPS
        return
    with pytest.raises(error, match=message):
        Trainer(small_config(tmp_path, **changes))


def test_long_runs_keep_few_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = fit(tmp_path, report_every=1).windows
    monkeypatch.setattr(history, "MOST_WINDOWS", 4)
    few = fit(tmp_path, report_every=1).windows
    assert [(window.step, window.steps) for window in few] == [(4, 4), (6, 2), (7, 1), (8, 1)]
    assert sum(window.ids for window in few) == sum(window.ids for window in every)
    assert few[0].loss == pytest.approx(sum(window.loss for window in every[:4]) / 4)


def test_ranks_share_the_reading(tmp_path: Path) -> None:
    """Of one file every rank encodes some rows, of many files each reads some: the same data, and the same error."""
    whole = fit(tmp_path).digests
    assert fit(tmp_path, 3).digests == whole
    header, *lines = (tmp_path / "log.tsv").read_text().splitlines()
    for number, (low, high) in enumerate(((0, 0), (0, 40), (40, 41), (41, ROWS))):
        (tmp_path / f"part-{number}.tsv").write_text("\n".join([header, *lines[low:high]]) + "\n")
    many = {"input.files": f"{tmp_path}/part-*.tsv"}
    assert fit(tmp_path, **many).digests == whole
    assert fit(tmp_path, 3, **many).digests == whole
    assert fit(tmp_path, 4, **many).digests == whole
    bad = [line[:-1] + "7" if number == 60 else line for number, line in enumerate(lines)]
    (tmp_path / "part-3.tsv").write_text("\n".join([header, *bad[41:]]) + "\n")
    for ranks in (1, 3):
        with pytest.raises(FormatError, match=r"part-3\.tsv, record 19: column 'click': the label 7"):
            fit(tmp_path, ranks, **many)
    (tmp_path / "log2.tsv").write_text("\n".join([header, *bad]) + "\n")
    with pytest.raises(FormatError, match=r"log2\.tsv, record 60: column 'click'"):
        fit(tmp_path, 3, **{"input.files": f"{tmp_path}/log2.tsv"})
    (tmp_path / "none.tsv").write_text(header + "\n")
    for ranks in (1, 2):
        with pytest.raises(ConfigError, match="there are no rows"):
            fit(tmp_path, ranks, **{"input.files": f"{tmp_path}/none.tsv"})
