"""Training as a sound experiment: which images it sees, and how they are measured."""

import numpy as np
import pytest

from lib import data, inputs, metrics, models, training
from lib.results import model_cell


@pytest.fixture(scope="module")
def images() -> data.Dataset:
    return data.load("digits", train_size=120, val_size=60, test_size=70)


def fit(model, images) -> training.Fit:
    recipe = training.Recipe(epochs=1, batch_size=32, learning_rate=1e-3, patience=0, seed=0)
    return training.fit(model, images, recipe)


@pytest.fixture
def network():
    """A small network with Dropout, and BatchNormalization that has other means than a batch."""
    training.seed(0)
    model = models.cnn(
        image_size=32,
        classes=10,
        blocks=((1, 4), (1, 8)),
        dense=(16,),
        dropout_after=(1, "dense"),
        batch_norm=True,
    )
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights([gamma, beta, mean + 0.1, variance / 2])
    return model


def test_training_never_touches_the_test_images(images):
    class Sealed:
        def __getattr__(self, name):
            assert not name.endswith("_test"), f"training reads {name}"
            return getattr(images, name)

    fit(model_cell.build("00_base_cnn"), Sealed())


def test_an_epochs_figures_are_those_of_the_validation_images(images, network):
    left = fit(network, images)
    measured = metrics.score(training.predict(network, images.x_val), images.y_val)
    assert left.history["val_loss"][-1] == pytest.approx(measured.loss, rel=1e-4)
    assert left.history["val_accuracy"][-1] == pytest.approx(measured.accuracy)


def test_evaluation_is_over_all_images_as_they_are_in_inference_mode(images, network, monkeypatch):
    monkeypatch.setattr(inputs, "EVALUATION_BATCH", 50)  # 120 = 50 + 50 + 20
    evaluation = training.evaluate(network, images)
    assert list(evaluation.metrics) == ["train", "val", "test"]
    for part, measured in evaluation.metrics.items():
        x, y = getattr(images, f"x_{part}"), getattr(images, f"y_{part}")
        expected = np.asarray(network(x / np.float32(255), training=False))
        loss = -np.log(np.maximum(expected[np.arange(len(y)), y], 1e-7)).mean()
        assert measured.loss == pytest.approx(loss, rel=1e-4), part
        assert measured.accuracy == pytest.approx((expected.argmax(axis=1) == y).mean()), part


def test_a_networks_answer_does_not_depend_on_chance_or_on_other_images(images, network):
    x = images.x_test[:8] / np.float32(255)
    answer = np.asarray(network(x))
    np.testing.assert_allclose(network(x), answer, rtol=1e-4, atol=1e-6)  # no Dropout
    np.testing.assert_allclose(network(x[:1]), answer[:1], rtol=1e-4, atol=1e-6)  # no batch's mean


def test_two_seeds_are_two_networks():
    def weights(seed: int) -> np.ndarray:
        training.seed(seed)
        return model_cell.build("00_base_cnn").layers[1].get_weights()[0]

    assert np.array_equal(weights(0), weights(0))
    assert not np.array_equal(weights(0), weights(1))


def test_augmentation_comes_after_resizing_and_leaves_labels_alone(images):
    recipe = training.Recipe(
        epochs=1, batch_size=32, learning_rate=1e-3, patience=0, seed=3, augmented=True
    )
    pixels, labels = inputs.training_batch(
        images.x_train, images.y_train, recipe, step=1, image_size=64
    )
    chosen = inputs.epoch_order(len(images.x_train), 3, 0)[32:64]
    drawn = inputs.draw_augmentation(np.random.default_rng((3, 0, 1)), 32)
    expected = inputs.augment(inputs.resize(images.x_train[chosen], 64), **drawn)
    assert np.array_equal(pixels, inputs.scale(expected))
    assert np.array_equal(labels, images.y_train[chosen])


def test_a_frozen_base_keeps_its_weights_in_training(images):
    training.seed(0)
    model = models.vgg16(image_size=32, classes=10, weights=None, blocks=1, frozen=True)

    def weights() -> list[np.ndarray]:
        return [model.get_layer("block1_conv1").get_weights()[0], model.layers[-1].get_weights()[0]]

    base, top = weights()
    fit(model, images)
    assert np.array_equal(weights()[0], base)
    assert not np.array_equal(weights()[1], top)
