"""Settings: every source, their precedence, every rule of the original's variables, every refusal."""

from __future__ import annotations

from pathlib import Path

import pytest

from monolith_ref.errors import ConfigError, UnknownNameError
from monolith_ref.training.settings import Settings
from monolith_ref.training.settings_table import KEYS, key_of_option, variable_of


def resolve(line: dict[str, str] | None = None, env: dict[str, str] | None = None, **more: object) -> Settings:
    return Settings.resolve(line, env or {}, **more)  # type: ignore[arg-type]


def test_defaults() -> None:
    settings = resolve()
    assert settings["sync.timeout"] == 60.0
    assert settings["sync.empty_rank0"] is False
    assert settings["training.steps"] is None
    assert settings["training.seed"] == 42
    assert settings["targets"] == ("cpu",)
    assert all(origin == "default" for _, _, origin in settings.explain())
    assert [key for key, _, _ in settings.explain()] == list(KEYS)


def test_precedence(tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    file.write_text("threads = 3\n[sync]\ntimeout = 1\n[training]\nlog_every = 1\n")
    env = {"HOROVOD_STALL_CHECK_TIME_SECONDS": "2"}
    assert resolve(config_file=file)["sync.timeout"] == 1
    assert resolve(config_file=file)["threads"] == 3
    assert resolve(env=env, config_file=file)["sync.timeout"] == 2
    env["MONOLITH_REF_SYNC_TIMEOUT"] = "3"
    assert resolve(env=env, config_file=file)["sync.timeout"] == 3
    last = resolve({"timeout": "4"}, env, config_file=file, defaults={"timeout": "9"})
    assert last["sync.timeout"] == 4
    assert last.origin("sync.timeout") == "--timeout"
    assert resolve(env=env, config_file=file).origin("sync.timeout") == "MONOLITH_REF_SYNC_TIMEOUT"
    assert resolve(config_file=file).origin("training.log_every") == str(file)
    assert resolve(defaults={"timeout": "9"})["sync.timeout"] == 9


@pytest.mark.parametrize(
    ("env", "key", "value"),
    [
        ({"MONOLITH_WITH_HOROVOD": "0"}, "sync.communicator", "mpi"),
        ({"MONOLITH_WITH_HOROVOD": "False"}, "sync.communicator", "mpi"),
        ({"MONOLITH_WITH_OPTIMIZED_HOROVOD": "2"}, "sync.embedding_grad_wire", "f16"),
        ({"MONOLITH_WITH_OPTIMIZED_HOROVOD": "0"}, "sync.embedding_grad_wire", "f32"),
        ({"MONOLITH_WITH_BYTEPS_BWD_CAST": "16"}, "sync.embedding_grad_wire", "f16"),
        ({"MONOLITH_WITH_BYTEPS_BWD_CAST": "32"}, "sync.embedding_grad_wire", "f32"),
        ({"MONOLITH_WITH_ALLREDUCE_FUSION": "grouped"}, "sync.allreduce_fusion", "one"),
        ({"MONOLITH_WITH_ALLREDUCE_FUSION": "none"}, "sync.allreduce_fusion", "none"),
        ({"MONOLITH_WITH_ALLREDUCE_FP16": "1"}, "sync.dense_wire", "f16"),
        ({"MONOLITH_SKIP_ALLREDUCE": "1"}, "sync.skip_allreduce", True),
        ({"MONOLITH_SYNC_EMPTY_RANK0_PS_SHARD": "1"}, "sync.empty_rank0", True),
        ({"MONOLITH_SYNC_EMPTY_RANK0_PS_SHARD": "0"}, "sync.empty_rank0", False),
        ({"MONOLITH_ROOT_LOG_INTERVAL": "10"}, "training.log_every", 10),
        ({"MONOLITH_SAVE_SUMMARY_INTERVAL": "7"}, "training.report_every", 7),
        ({"HOROVOD_STALL_SHUTDOWN_TIME_SECONDS": "0", "HOROVOD_STALL_CHECK_TIME_SECONDS": "5"}, "sync.timeout", 5),
        ({"HOROVOD_STALL_SHUTDOWN_TIME_SECONDS": "9", "HOROVOD_STALL_CHECK_TIME_SECONDS": "5"}, "sync.timeout", 9),
        ({"HOROVOD_STALL_CHECK_TIME_SECONDS": "0"}, "sync.timeout", 0),
        ({"MONOLITH_WITH_BYTEPS": "0", "MONOLITH_WITH_BYTEPS_FAKE_CAST": "0"}, "sync.timeout", 60),
    ],
)
def test_original_variables(env: dict[str, str], key: str, value: object) -> None:
    settings = resolve(env=env)
    assert settings[key] == value
    assert type(settings[key]) is type(value) or isinstance(settings[key], float)


def test_the_published_tests_variables_are_accepted() -> None:
    settings = resolve(
        env={
            "MONOLITH_WITH_HOROVOD": "True",
            "HOROVOD_AUTOTUNE": "1",
            "HOROVOD_CYCLE_TIME": "0.1",
            "MONOLITH_SYNC_EMPTY_RANK0_PS_SHARD": "0",
            "MONOLITH_WITH_ALLREDUCE_FUSION": "one",
            "MONOLITH_ROOT_LOG_INTERVAL": "10",
        }
    )
    rows = {key: (value, origin) for key, value, origin in settings.explain()}
    assert rows["sync.allreduce_fusion"] == ("one", "MONOLITH_WITH_ALLREDUCE_FUSION")
    assert rows["HOROVOD_CYCLE_TIME"] == ("0.1", "accepted, no effect")


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"MONOLITH_REF_SYNC_TIMEOUTS": "1"}, "MONOLITH_REF_SYNC_TIMEOUTS; did you mean 'MONOLITH_REF_SYNC_TIMEOUT'"),
        ({"MONOLITH_REF_THREADS": "two"}, "MONOLITH_REF_THREADS: threads must be a whole number from 1, not 'two'"),
        ({"MONOLITH_REF_THREADS": ""}, "MONOLITH_REF_THREADS"),
        ({"MONOLITH_REF_TRAINING_STEPS": ""}, "MONOLITH_REF_TRAINING_STEPS"),
        ({"MONOLITH_REF_THREADS": "1_0"}, "MONOLITH_REF_THREADS"),
        ({"MONOLITH_REF_SYNC_TIMEOUT": "nan"}, "MONOLITH_REF_SYNC_TIMEOUT"),
        ({"MONOLITH_REF_SYNC_TIMEOUT": "-1"}, "MONOLITH_REF_SYNC_TIMEOUT"),
        ({"MONOLITH_REF_QUIRKS": "default +nonsense"}, "MONOLITH_REF_QUIRKS"),
        ({"MONOLITH_REF_SYNC_SKIP_ALLREDUCE": "yes"}, "true or false"),
        ({"MONOLITH_REF_TARGETS": "cpu,cpu"}, "MONOLITH_REF_TARGETS"),
        ({"MONOLITH_WITH_HOROVOD": ""}, "MONOLITH_WITH_HOROVOD"),
        ({"MONOLITH_WITH_OPTIMIZED_HOROVOD": "True"}, "MONOLITH_WITH_OPTIMIZED_HOROVOD"),
        ({"MONOLITH_WITH_ALLREDUCE_FUSION": "multi"}, "MONOLITH_WITH_ALLREDUCE_FUSION"),
        ({"MONOLITH_WITH_ALLREDUCE_FP16": "2"}, "MONOLITH_WITH_ALLREDUCE_FP16"),
        ({"MONOLITH_WITH_BYTEPS": "1"}, "BytePS"),
        ({"MONOLITH_WITH_BYTEPS_BCAST": "-1"}, "BytePS"),
        ({"MONOLITH_WITH_BYTEPS_FWD_GDR": "1"}, "BytePS"),
        ({"MONOLITH_WITH_BYTEPS_BWD_CAST": "8"}, "MONOLITH_WITH_BYTEPS_BWD_CAST"),
        ({"MONOLITH_WITH_BYTEPS_FAKE_CAST": "1"}, "MONOLITH_WITH_BYTEPS_FAKE_CAST"),
        ({"MONOLITH_SYNC_EMPTY_RANK0_PS_SHARD": "yes"}, "MONOLITH_SYNC_EMPTY_RANK0_PS_SHARD"),
        ({"MONOLITH_ROOT_LOG_INTERVAL": "0"}, "MONOLITH_ROOT_LOG_INTERVAL"),
        ({"HOROVOD_STALL_CHECK_TIME_SECONDS": "soon"}, "HOROVOD_STALL_CHECK_TIME_SECONDS"),
        (
            {"MONOLITH_WITH_OPTIMIZED_HOROVOD": "1", "MONOLITH_WITH_BYTEPS_BWD_CAST": "32"},
            "MONOLITH_WITH_OPTIMIZED_HOROVOD and MONOLITH_WITH_BYTEPS_BWD_CAST contradict",
        ),
    ],
)
def test_refused_variables_are_named(env: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(env=env)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"stepz": "5"}, "did you mean 'steps'"),
        ({"steps": "0"}, "--steps: training.steps must be a whole number from 1"),
        ({"seed": str(2**64)}, "--seed"),
        ({"reduction": "avg"}, "one of sequential, sum, mean, exact"),
        ({"reduction": "exact", "dense_wire": "f16"}, "sync.dense_wire (--dense_wire)"),
        ({"reduction": "exact", "sync.embedding_grad_wire": "f16"}, "sync.embedding_grad_wire"),
        ({"batch-size": "4", "batch-size-per-rank": "4"}, "exclude each other"),
        ({"every_steps": "4", "every_seconds": "4"}, "exclude each other"),
        ({"model-dir": ""}, "--model-dir"),
    ],
)
def test_refused_options(line: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(line)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[sync]\ntimout = 5\n", "unknown key 'sync.timout'; did you mean 'sync.timeout'"),
        ("[sync]\ntimeout = [1]\n", "sync.timeout cannot be"),
        ("[sync]\ntimeout = -2\n", "sync.timeout must be"),
        ("[sync\n", "not valid TOML"),
        ("[model]\nx = 1\n", "unknown key 'model.x'"),
    ],
)
def test_refused_files_are_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        resolve(config_file=file)
    assert said in str(caught.value)
    assert str(file) in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        resolve(config_file=tmp_path / "absent.toml")


def test_sections_of_others_and_toml_types(tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    file.write_text('targets = ["cpu", "cuda"]\n[model]\nx = 1\n[sync]\nempty_rank0 = true\ntimeout = 2.5\n')
    settings = resolve(config_file=file, other_sections=("model",))
    assert settings["targets"] == ("cpu", "cuda")
    assert settings["sync.empty_rank0"] is True
    assert settings["sync.timeout"] == 2.5


def test_a_given_batch_size_replaces_a_commands_default() -> None:
    settings = resolve({"batch_size_per_rank": "4"}, defaults={"training.batch_size": "455"})
    assert settings["training.batch_size"] is None
    assert settings["training.batch_size_per_rank"] == 4


def test_every_key_has_an_option_a_variable_and_a_readable_text() -> None:
    settings = resolve({"seed": str(2**64 - 1), "clip_norm": "0.5", "skip_allreduce": "TRUE"})
    again = resolve({key: settings.text(key) for key in KEYS if settings.text(key)})
    assert again.shared() == settings.shared()
    assert again.digest() == settings.digest() != resolve().digest()
    for key in KEYS:
        assert key_of_option(key) == key
        assert resolve(env={variable_of(key): KEYS[key].default} if KEYS[key].default else {}) is not None


def test_per_rank_keys_do_not_count_in_the_digest() -> None:
    assert resolve({"threads": "4", "model_dir": "x"}).digest() == resolve().digest()


def test_unknown_key_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean 'sync\.timeout'"):
        resolve()["sync.timout"]
