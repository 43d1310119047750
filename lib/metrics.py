"""Top-1 accuracy and plain cross-entropy, the two figures of every record."""

import numpy as np

EPSILON = 1e-7
"""Probabilities are clipped here before the logarithm, as Keras' cross-entropy does."""


def score(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Returns top-1 accuracy (0 to 1) and plain cross-entropy (nats).

    Args:
        probabilities: shape (n, classes).
        labels: int, shape (n,).
    """
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return {
        "accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
        "loss": float(-np.log(np.clip(chosen, EPSILON, 1 - EPSILON)).mean()),
    }
