"""Configurations in TOML: what they become, and how what does not fit is refused, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from monolith_ref.entry import AdagradOptimizer, StochasticRoundingFloat16OptimizerWrapper
from monolith_ref.errors import ConfigError
from monolith_ref.learning_rate import PolynomialDecay
from monolith_ref.training.recipe import TrainConfig, load_train_config
from monolith_ref.training.recipe.lines import line_numbers
from tests.monolith_ref.training.small_log import TEXT, small_config, write_config


def load(folder: Path, text: str = TEXT, **overrides: str) -> TrainConfig:
    return load_train_config(write_config(folder, text), overrides, environment={})


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def test_everything_is_read(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    assert [f.slot for f in config.model.features] == [1, 7, 3, 7, 0]
    assert [f.name for f in config.model.embedded] == ["user", "item", "tags", "seen"]
    vec, bias = config.model.slices
    assert vec.features == ("user", "item", "tags", "seen")
    assert (vec.dim, vec.to, bias.dim, bias.to, bias.features) == (4, "layers", 1, "output", ("user", "item"))
    assert isinstance(bias.learning_rate, PolynomialDecay)
    assert vec.optimizer == AdagradOptimizer(learning_rate=0.1, initial_accumulator_value=0.1)
    assert config.settings["training.batch_size"] == 16
    assert config.settings.origin("training.batch_size") == f"{tmp_path / 'train.toml'}:2"
    assert config.evaluation.split == "random"


def test_the_example_of_the_documentation_is_valid() -> None:
    example = Path(__file__).parents[3] / "docs" / "examples" / "movielens-train.toml"
    config = load_train_config(example, environment={})
    assert config.settings["sync.reduction"] == "exact"
    assert {f.name for f in config.model.features} >= {"user_id", "item_id", "age", "gender", "occupation", "genres"}


def test_options_win_over_the_file_and_environment(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    environment = {"MONOLITH_REF_TRAINING_EPOCHS": "5", "MONOLITH_REF_TRAINING_SEED": "9"}
    changes = {
        "epochs": "7",
        "model.layers": "[3, 2]",
        "model.slices.0.dim": "2",
        "model.loss": "mse",
        "evaluation.split": "time",
    }
    config = load_train_config(path, changes, environment=environment)
    assert (config.settings["training.epochs"], config.settings["training.seed"]) == (7, 9)
    assert (config.model.layers, config.model.slices[0].dim) == ((3, 2), 2)
    assert (config.model.loss, config.evaluation.split) == ("mse", "time")


def test_stochastic_rounding_wraps_an_optimizer(tmp_path: Path) -> None:
    text = TEXT.replace('kind = "sgd", learning_rate = 0.1', 'kind = "sgd", stochastic_rounding_float16 = true')
    optimizer = load(tmp_path, text).model.slices[1].optimizer
    assert isinstance(optimizer, StochasticRoundingFloat16OptimizerWrapper)


HEAD = '[input]\nfiles = "a"\nlabel = "b"\n'

WRONG = [
    (
        "batch_size = 16",
        "batch_sise = 16",
        "unknown key 'training.batch_sise'; the nearest known one is 'training.batch_size'",
    ),
    ("batch_size = 16", "batch_size = 0", "training.batch_size must be a whole number from 1, not '0'"),
    ("[training]", "[trainning]", "unknown key 'trainning'; the nearest known one is 'training'"),
    ('label = "click"', 'label = "click >"', "label expression"),
    ('label = "click"', "label = 3", "input.label must be a text, not 3"),
    ("ratio = 0.3", "ratio = 1.5", "evaluation.ratio must be above 0 and below 1"),
    ('split = "random"', 'split = "randon"', "there is no 'randon'; the nearest known one is 'random'"),
    ("layers = [6]", "layers = [6, 0]", "whole numbers from 1, not 0"),
    ("layers = [6]", "layers = [6]\nactivations = ['relu', 'relu']", "2 words for 1 layers"),
    ("layers = [6]", "layers = [6]\nactivations = 'rely'", "the nearest known one is 'relu'"),
    ("bias = 0.1", "bias = true", "model.bias must be a number"),
    ("dim = 4", "dims = 4", "model.slices[0].dim is missing"),
    ('compressor = "fp16"', 'compressor = "fp61"', "the nearest known one is 'fp16'"),
    ('initializer = "zeros"', 'initializer = {{ kind = "constants" }}', "constant is missing"),
    (
        'kind = "adagrad", learning_rate = 0.1,',
        'kind = "adagrad", learning_rat = 0.1,',
        "nearest known one is 'learning_rate'",
    ),
    (
        'kind = "sgd", learning_rate = 0.1',
        'kind = "sgd", learning_rate = "a"',
        "learning_rate must be a finite float32 number",
    ),
    (
        'features = ["user", "item"]',
        'features = ["user", "itme"]',
        "no feature with ids; the nearest known one is 'item'",
    ),
    ('to = "output"', 'to = "output"\ndim = 2', "its dim must be 1, not 2"),
    ('name = "tags"', 'name = "item"', "feature 'item' is there twice"),
    ("slot = 7", "slot = 1", "has slot 1, which is 'user''s"),
    ("slot = 7", "slot = 70000", "from 1 to 32767"),
    ('shared = "item"', 'shared = "itm"', "which no feature before has; the nearest known one is 'item'"),
    ('shared = "item"', 'shared = "item"\noccurrence_threshold = 2', "is that of 'item'"),
    ("max_length = 2", "", "go together"),
    ('kind = "number"', 'kind = "number"\nslot = 3', "unknown key 'features[4].slot'"),
    (
        'combiner = "reduce_mean"',
        'combine = "reduce_mean"',
        "unknown key 'features[2].combine'; the nearest known one is 'combiner'",
    ),
]


@pytest.mark.parametrize(("part", "other", "message"), WRONG, ids=map(str, range(len(WRONG))))
def test_what_does_not_fit_is_refused_with_its_line(tmp_path: Path, part: str, other: str, message: str) -> None:
    assert part in TEXT
    text = TEXT.replace(part, other, 1)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    said = str(caught.value)
    assert message in said
    assert said.startswith(f"{tmp_path / 'train.toml'}:")
    assert int(said[len(f"{tmp_path / 'train.toml'}:") :].partition(":")[0]) > 0


def test_lines_are_those_of_keys(tmp_path: Path) -> None:
    for part, other in (("ratio = 0.3", "ratio = 7"), ("epochs = 2", "epochs = 'x'"), ("bias = 0.1", "bais = 0.1")):
        text = TEXT.replace(part, other)
        with pytest.raises(ConfigError, match=rf"train\.toml:{line_of(text, other)}: "):
            load(tmp_path, text)


def test_line_numbers_of_a_document() -> None:
    text = "\n".join(
        [
            "a = 1",
            "[t]  # note",
            "b.c = [",
            '  "x = 3",',
            "]",
            'd = """',
            "e = 4",
            '"""',
            "[[u]]",
            "f = { g = 1 }",
            "[[u]]",
            "[u.v]",
            "'w x' = 2",
        ]
    )
    found = line_numbers(text)
    assert found == {
        ("a",): 1, ("t",): 2, ("t", "b"): 3, ("t", "b", "c"): 3, ("t", "d"): 6, ("u",): 9, ("u", 0): 9,
        ("u", 0, "f"): 10, ("u", 1): 11, ("u", 1, "v"): 12, ("u", 1, "v", "w x"): 13,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("modell.loss", "bce", "there is no such key; the nearest known one is"),
        ("model.slices.9.dim", "3", "there is no model.slices[9]"),
        ("model.los", "bce", "--set model.los: unknown key 'model.los'; the nearest known one is 'loss'"),
        ("model.loss", "bse", "--set model.loss: model.loss: there is no 'bse'"),
        ("training.epochs", "-1", "--training.epochs: training.epochs must be a whole number"),
        ("sync.staleness", "1", ""),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, key: str, value: str, message: str) -> None:
    if not message:
        with pytest.raises(ConfigError, match="holds updates back"):
            load(tmp_path, **{key: value, "checkpoint.every_steps": "2"})
        return
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, **{key: value})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = [", "not valid TOML"),
        ("", "input.files is missing"),
        (HEAD, "there are no [[features]]"),
        (HEAD + '[[features]]\nname = "f"\n', "there are no [[model.slices]]"),
        (
            HEAD + '[[features]]\nname = "f"\n[[model.slices]]\nname = "s"\nto = "output"\n',
            "no slice goes to the layers",
        ),
        (
            HEAD + '[evaluation]\nsplit = "time"\n[[features]]\nname = "f"\n[[model.slices]]\nname = "s"\ndim = 1\n',
            "needs input.time_column",
        ),
    ],
)
def test_files_that_lack_something(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "train.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_train_config(path, environment={})
    assert message in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_train_config(tmp_path / "absent.toml", environment={})
