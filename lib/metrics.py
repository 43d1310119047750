"""Top-1 accuracy and plain cross-entropy, the two figures of every record; recall by class."""

from dataclasses import dataclass

import numpy as np

EPSILON = 1e-7
"""Probabilities are clipped here before the logarithm, as Keras' cross-entropy does."""


@dataclass(frozen=True)
class Score:
    """What a network reaches on one part of a data set.

    Attributes:
        accuracy: top-1 accuracy, 0 to 1.
        loss: mean cross-entropy, nats.
    """

    accuracy: float
    loss: float

    def __str__(self) -> str:
        return f"accuracy {self.accuracy:.2%} and cross-entropy {self.loss:.3f}"


def score(probabilities: np.ndarray, labels: np.ndarray) -> Score:
    """Measures predictions.

    Args:
        probabilities: shape (n, classes).
        labels: int, shape (n,).
    """
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return Score(
        accuracy=float((probabilities.argmax(axis=1) == labels).mean()),
        loss=float(-np.log(np.clip(chosen, EPSILON, 1 - EPSILON)).mean()),
    )


def recalls(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns for each class the share of its images that are recognized.

    Their mean is the balanced accuracy, to which each class adds the same, however rare it is.

    Args:
        probabilities, labels: as for `score`.

    Returns:
        float64, shape (classes,), 0 to 1; NaN for a class without images.
    """
    count = probabilities.shape[1]
    right = np.bincount(labels[probabilities.argmax(axis=1) == labels], minlength=count)
    with np.errstate(invalid="ignore"):
        return right / np.bincount(labels, minlength=count)
