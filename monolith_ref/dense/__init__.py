"""The dense half: a tape of few operations, layers, losses, initializers and optimizers. Rule: features 6 to 8,
sync_training 6.2."""

from monolith_ref.dense.graph import Graph, Loss, Tensor
from monolith_ref.dense.initializers import Constant, GlorotUniform, Initializer
from monolith_ref.dense.layers import MLP, Dense
from monolith_ref.dense.losses import bce_with_logits, mse
from monolith_ref.dense.operations import add_n, concat, relu, stack
from monolith_ref.dense.variables import Variable

__all__ = [
    "MLP",
    "Constant",
    "Dense",
    "GlorotUniform",
    "Graph",
    "Initializer",
    "Loss",
    "Tensor",
    "Variable",
    "add_n",
    "bce_with_logits",
    "concat",
    "mse",
    "relu",
    "stack",
]
