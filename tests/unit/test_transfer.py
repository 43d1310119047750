"""Transfer learning: stored features, classifiers on them, chance level."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from lib import data, inputs, metrics, models, training
from lib.companions import transfer
from lib.engine import keras


@pytest.fixture(scope="module")
def images():
    return data.load("digits", train_size=60, val_size=20, test_size=30)


@pytest.fixture(scope="module")
def tiny():
    """A backbone of one convolution, which costs nothing."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape=(8, 8, 3))
    maps = keras.layers.Conv2D(4, 3, strides=2, activation="relu", name="block5_conv1")(inputs)
    return keras.Model(inputs, maps)


def small_head(shape: tuple[int, ...], classes: int = 10) -> keras.Model:
    inputs = keras.Input(shape=shape)
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    x = keras.layers.Dropout(0.3)(x)
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(x))


def test_study_head_is_the_studys():
    top = transfer.study_head((1, 1, 512), 10)
    assert top.count_params() == 166_282 + 2 * (256 + 128)  # trainable, and moving averages
    assert [x.rate for x in top.layers if isinstance(x, keras.layers.Dropout)] == [0.25]


def test_cost_of_a_joined_network_is_that_of_its_parts(tiny):
    top = small_head((3, 3, 4))
    model = keras.Sequential([tiny, top])
    assert models.forward_macs(top) == 4 * 10
    assert models.forward_macs(model) == models.forward_macs(tiny) + models.forward_macs(top)


def test_features_are_the_backbones_output(images, tiny):
    stored = transfer.features(tiny, images)
    assert {part: maps.shape for part, maps in stored.items()} == {
        "train": (60, 3, 3, 4),
        "val": (20, 3, 3, 4),
        "test": (30, 3, 3, 4),
    }
    expected = tiny(inputs.scale(inputs.resize(images.x_val, 8)))
    np.testing.assert_allclose(stored["val"], expected, rtol=1e-5, atol=1e-6)


def test_head_on_stored_features_learns_as_behind_a_frozen_backbone(images, tiny):
    """One batch per epoch: the order within it does not matter."""
    stored = transfer.features(tiny, images)
    inputs = keras.Input(shape=(3, 3, 4))
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    outputs = keras.layers.Dense(len(images.classes), activation="softmax")(x)
    head = keras.Model(inputs, outputs)
    copy = keras.models.clone_model(head)
    copy.set_weights(head.get_weights())
    how = {"epochs": 3, "batch_size": 60, "learning_rate": 1e-2, "seed": 0}
    fit = transfer.fit_head(head, stored, images, **how)
    tiny.trainable = False
    whole = training.fit(keras.Sequential([tiny, copy]), images, training.Recipe(patience=0, **how))
    tiny.trainable = True
    np.testing.assert_allclose(fit.history["loss"], whole.history["loss"], rtol=1e-4)
    np.testing.assert_allclose(fit.history["val_loss"], whole.history["val_loss"], rtol=1e-4)
    assert fit.history["loss"][-1] < fit.history["loss"][0]


def test_fit_head_repeats_and_scores_all_parts(images, tiny):
    stored = transfer.features(tiny, images)

    def once(before: int):
        keras.utils.set_random_seed(1)
        top = small_head((3, 3, 4))
        keras.utils.set_random_seed(before)  # what happened before does not count
        return transfer.fit_head(
            top, stored, images, epochs=2, batch_size=16, learning_rate=1e-3, seed=5
        ), top

    (first, top), (second, _) = once(2), once(3)
    assert first.history == second.history
    assert first.metrics == second.metrics
    outputs = np.asarray(top(stored["test"], training=False))
    assert first.metrics["test"] == metrics.score(outputs, images.y_test)


def test_two_class_head_is_scored_as_two_classes():
    pair = data.load("digits", train_size=60, val_size=20, test_size=30, classes=("0", "1"))
    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape=(32, 32, 3))
    x = keras.layers.Flatten()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(x))
    recipe = training.Recipe(epochs=5, batch_size=16, learning_rate=1e-3, patience=0, seed=0)
    fit = training.fit(model, pair, recipe)
    outputs = training.predict(model, pair.x_test)
    assert outputs.shape == (30, 2)
    np.testing.assert_allclose(outputs.sum(axis=1), 1, atol=1e-6)
    measured = training.evaluate(model, pair).metrics["test"]
    assert measured.accuracy > 0.9
    inference = training.evaluate(model, pair).metrics["val"]
    assert fit.history["val_loss"][-1] == pytest.approx(inference.loss, rel=1e-4)


def test_strength_is_chosen_on_validation(images, monkeypatch):
    accuracies = {"train": (0.9, 0.8, 0.7), "val": (0.2, 0.6, 0.5), "test": (0.3, 0.4, 0.9)}

    class Classifier(BaseEstimator):
        def __init__(self, C=1.0, max_iter=0, random_state=0):  # noqa: N803
            self.C = C

        def fit(self, x, y):
            self.fitted_ = True
            return self

        def score(self, x, y):
            part = next(part for part in accuracies if y is getattr(images, f"y_{part}"))
            return accuracies[part][transfer.STRENGTHS.index(self.C)]

    monkeypatch.setattr(transfer, "LogisticRegression", Classifier)
    stored = {p: np.ones((len(getattr(images, f"y_{p}")), 1, 1, 2), "f4") for p in transfer.PARTS}
    linear = transfer.fit_linear(stored, images)
    strength = linear[-1].C
    assert strength == transfer.STRENGTHS[1]
    assert linear.score(stored["test"], images.y_test) == 0.4


@pytest.mark.parametrize("pooled", [False, True])
def test_a_regression_learns_what_is_there(images, pooled):
    one_hot = {
        part: np.eye(10, dtype="f4")[getattr(images, f"y_{part}")][:, None, None, :]
        for part in transfer.PARTS
    }
    linear = transfer.fit_linear(one_hot, images, pooled=pooled)
    assert linear.score(one_hot["test"], images.y_test) == 1
    blank = {part: np.zeros_like(maps) for part, maps in one_hot.items()}
    assert linear.score(blank["test"], images.y_test) < 0.5


def test_pooled_features_are_the_channels_means(images):
    maps = np.zeros((len(images.y_test), 2, 2, 3), "f4")
    maps[:, 0, 0, 1] = 4
    assert transfer._flat(maps, pooled=True)[0].tolist() == [0, 1, 0]
    assert transfer._flat(maps, pooled=False).shape == (len(maps), 12)


def test_drift():
    before = [np.ones(3), np.zeros(2)]
    assert transfer.drift(before, before) == 0
    assert transfer.drift(before, [3 * np.ones(3), np.zeros(2)]) == pytest.approx(2)


@pytest.mark.parametrize(
    ("accuracy", "text"),
    [
        (0.30, "30.0% (below chance level, 50.0%)"),
        (0.45, "45.0% (at chance level, 50.0%)"),
        (0.50, "50.0% (at chance level, 50.0%)"),
        (0.58, "58.0% (at chance level, 50.0%)"),
        (0.62, "62.0%"),
    ],
)
def test_an_accuracy_that_is_not_above_chance_is_called_that(accuracy, text):
    """Of 100 images half are guessed, give or take five: two standard errors are ten points."""
    images = SimpleNamespace(classes=("a", "b"), y_test=range(100))
    assert transfer.in_words(accuracy, images) == text


def test_chance_is_one_of_the_classes():
    images = SimpleNamespace(classes=tuple("abcdefgh"), y_test=range(1000))
    assert transfer.in_words(0.12, images) == "12.0% (at chance level, 12.5%)"
