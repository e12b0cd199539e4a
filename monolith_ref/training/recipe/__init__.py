"""What is to be trained, and from what: a TOML file as checked, frozen values."""

from monolith_ref.training.recipe.data import EvaluationSpec, InputSpec, OutputSpec
from monolith_ref.training.recipe.load import TrainConfig, load_train_config
from monolith_ref.training.recipe.model import FeatureSpec, ModelSpec, SliceSpec

__all__ = [
    "EvaluationSpec",
    "FeatureSpec",
    "InputSpec",
    "ModelSpec",
    "OutputSpec",
    "SliceSpec",
    "TrainConfig",
    "load_train_config",
]
