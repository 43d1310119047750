"""Figures of predictions, against scikit-learn's."""

import numpy as np
from sklearn.metrics import balanced_accuracy_score, recall_score

from lib import metrics


def test_recalls_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [200, 40, 10])
    probabilities = rng.dirichlet([1, 1, 1], 250) + np.array([0.4, 0, 0])
    found, named = metrics.recalls(probabilities, labels), probabilities.argmax(axis=1)
    np.testing.assert_allclose(found, recall_score(labels, named, average=None), rtol=1e-12)
    assert np.isclose(found.mean(), balanced_accuracy_score(labels, named))
    assert not np.isclose(found.mean(), metrics.score(probabilities, labels).accuracy, rtol=0.02)


def test_a_class_without_images_has_no_recall(recwarn):
    found = metrics.recalls(np.eye(3)[[0, 1, 1]], np.array([0, 0, 1]))
    np.testing.assert_array_equal(found, [0.5, 1, np.nan])
    assert not recwarn.list
