"""What predictions are worth, over all ranks: the same bits for any number of ranks and any split of the rows.

AUC counts pairs in whole numbers and divides once; means are exact sums, rounded once, divided once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from monolith_kernels import reduction
from monolith_kernels.target import Target
from numpy.typing import NDArray

from monolith_ref.errors import SyncError
from monolith_ref.sync.communicator import Communicator
from monolith_ref.sync.dense import DenseReducer

__all__ = ["Evaluation", "area_under_curve", "judge"]

_SMALL = 1 << 62
_HALF = np.float32(0.5)


@dataclass(frozen=True)
class Evaluation:
    """Of one state of the model on the rows kept apart.

    Attributes
    ----------
    step : int
        Steps made before it.
    rows, positives : int
        A row is positive where its label is above one half.
    auc : float or None
        None: all rows have one kind of label.
    loss : float
        Mean of the model's own loss (``bce``: log loss), float32.
    mean_prediction, mean_label : float
        float32; ``bce``: of the probabilities.
    seconds : float
    """

    step: int
    rows: int
    positives: int
    auc: float | None
    loss: float
    mean_prediction: float
    mean_label: float
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def area_under_curve(
    predictions: NDArray[np.float32], labels: NDArray[np.float32], communicator: Communicator
) -> tuple[float | None, int, int]:
    """(AUC, positives, rows) over all ranks. Collective.

    Every rank sends its distinct predictions with their counts. A pair of a positive and a negative row counts 2 where
    the positive one is predicted higher, 1 where both are equal; AUC = that sum / (2 * positives * negatives), one
    division of whole numbers.
    """
    values, place = np.unique(predictions, return_inverse=True)
    counts = np.zeros((len(values), 2), np.int64)
    np.add.at(counts, (place, (labels > _HALF).astype(np.intp)), 1)
    everywhere = np.concatenate(communicator.allgatherv(values, "evaluation: predictions"))
    counted = np.concatenate(communicator.allgatherv(counts, "evaluation: counts"))
    distinct, place = np.unique(everywhere, return_inverse=True)
    total = np.zeros((len(distinct), 2), np.int64)
    np.add.at(total, place, counted)
    negatives, positives = int(total[:, 0].sum()), int(total[:, 1].sum())
    rows = negatives + positives
    if not negatives or not positives:
        return None, positives, rows
    below = np.cumsum(total[:, 0]) - total[:, 0]
    weight = 2 * below + total[:, 0]
    if 2 * negatives * positives < _SMALL:
        won = int((weight * total[:, 1]).sum())
    else:
        won = sum(int(w) * int(p) for w, p in zip(weight, total[:, 1], strict=True))
    return won / (2 * negatives * positives), positives, rows


def judge(
    step: int,
    predictions: NDArray[np.float32],
    labels: NDArray[np.float32],
    loss: Literal["bce", "mse"],
    communicator: Communicator,
    target: Target,
) -> Evaluation:
    """Metrics of this rank's rows and all others'. ``predictions``: what the model gives (``bce``: logits). Collective.

    SyncError where a prediction is not a number.
    """
    nowhere = np.array([len(predictions), np.isnan(predictions).sum()], np.int64)
    rows, bad = communicator.sum_int64(nowhere, "evaluation: rows").tolist()
    if bad:
        raise SyncError(f"step {step}: {bad} of {rows} predictions are not numbers")
    terms, probabilities = _terms(predictions, labels, loss, target)
    reducer = DenseReducer(communicator, "exact")

    def mean(values: NDArray[np.float32]) -> float:
        return float(reducer.reduce_loss_exact(reduction.exact_sum(values), rows))

    auc, positives, _ = area_under_curve(predictions, labels, communicator)
    return Evaluation(step, rows, positives, auc, mean(terms), mean(probabilities), mean(labels))


def _terms(
    predictions: NDArray[np.float32], labels: NDArray[np.float32], loss: str, target: Target
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Loss of every row, and what its label is compared with."""
    count = len(predictions)
    p, y = target.asarray(np.ascontiguousarray(predictions)), target.asarray(np.ascontiguousarray(labels))
    terms, unused = (target.asarray(np.zeros(count, np.float32)) for _ in range(2))
    if count and loss == "bce":
        target.dense.logistic_loss_terms(p, y, 1.0, unused, terms)
        target.dense.sigmoid(p, unused)
        return target.to_host(terms), target.to_host(unused)
    if count:
        target.dense.squared_error_terms(p, y, 1.0, unused, terms)
    return target.to_host(terms), predictions
