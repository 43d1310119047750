"""Transfer learning: heads and budgets as published, freezing, stored features."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from lib import data, inputs, models, study, training
from lib.companions import backbones, transfer
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


def vgg16(size: int) -> keras.Model:
    return backbones.build("VGG16", image_size=size)


def joined(kind: str, size: int, classes: int, freeze) -> keras.Model:
    base = vgg16(size)
    freeze(base)
    return transfer.join(base, transfer.head(kind, base.output_shape[1:], classes))


COURSE = {
    "all": lambda base: transfer.freeze_first(base, 0),
    "head only": lambda base: transfer.freeze_first(base, len(base.layers)),
    "from block5_conv1": lambda base: transfer.unfreeze_from(base, "block5_conv1"),
}


@pytest.mark.parametrize("strategy", study.COURSE_TRAINABLE)
def test_course_pages_budgets(strategy):
    model = joined("course", 32, 2, COURSE[strategy])
    assert model.count_params() == study.COURSE_PARAMS == 14_846_273
    assert models.trainable_params(model) == study.COURSE_TRAINABLE[strategy]


def test_blog_posts_budget():
    model = joined("post", 48, 10, lambda base: transfer.unfreeze_blocks(base, 0))
    assert (model.count_params(), models.trainable_params(model)) == (15_237_698, 523_010)
    assert (study.POST_PARAMS, study.POST_TRAINABLE) == (15_237_698, 523_010)


def test_chapters_budget():
    model = joined("chapter", 224, 2, lambda base: transfer.freeze_first(base, 15))
    assert (model.count_params(), models.trainable_params(model)) == (15_242_050, 7_606_786)
    assert (study.CHAPTER_PARAMS, study.CHAPTER_TRAINABLE) == (15_242_050, 7_606_786)


@pytest.mark.parametrize("count", range(6))
def test_blocks_are_unfrozen_from_the_last(count):
    base = vgg16(32)
    transfer.unfreeze_blocks(base, count)
    learning = {layer.name[:6] for layer in base.layers if layer.trainable_weights}
    assert learning == {f"block{number}" for number in range(6 - count, 6)}


def test_freezing_again_starts_afresh():
    base = vgg16(32)
    transfer.freeze_first(base, len(base.layers))
    assert not base.trainable_weights
    transfer.unfreeze_from(base, "block5_conv1")
    assert models.trainable_params(base) == 3 * 2_359_808


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda base: transfer.unfreeze_blocks(base, 6), "6 trainable blocks: expected 0 to 5"),
        (lambda base: transfer.unfreeze_blocks(base, -1), "-1 trainable blocks"),
        (lambda base: transfer.unfreeze_from(base, "block6"), "no layer 'block6': expected .*pool"),
        (lambda base: transfer.freeze_first(base, 99), "99 frozen layers: expected 0 to 19"),
    ],
)
def test_depths_that_do_not_fit_are_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call(vgg16(32))


@pytest.mark.parametrize(("kind", "classes"), [("linear", 10), ("course", 10)])
def test_unknown_head(kind, classes):
    with pytest.raises(ValueError, match=f"head '{kind}' for {classes} classes: expected study"):
        transfer.head(kind, (1, 1, 8), classes)


@pytest.mark.parametrize(("kind", "rate"), [("study", 0.25), ("post", 0.3)])
def test_heads_drop_out_as_published(kind, rate):
    top = transfer.head(kind, (1, 1, 8), 10)
    assert [x.rate for x in top.layers if isinstance(x, keras.layers.Dropout)] == [rate]


def test_cost_of_a_joined_network_is_that_of_its_parts(tiny):
    top = transfer.head("post", (3, 3, 4), 10)
    model = transfer.join(tiny, top)
    assert models.forward_macs(top) == 36 * 1000 + 1000 * 10
    assert models.forward_macs(model) == models.forward_macs(tiny) + models.forward_macs(top)


def test_layer_list_has_index_name_and_state():
    base = vgg16(32)
    transfer.freeze_first(base, 15)
    rows = transfer.layer_list(base)
    assert (rows[15]["index"], rows[15]["layer"]) == (15, "block5_conv1")
    assert [row["state"] for row in rows[12:16]] == ["frozen", "frozen", "–", "learns"]
    assert sum(row["parameters"] for row in rows) == 14_714_688


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
    classes = len(images.classes)
    heads = [transfer.head("chapter", (3, 3, 4), classes) for _ in range(2)]
    heads[1].set_weights(heads[0].get_weights())
    fit = transfer.fit_head(
        heads[0], stored, images, epochs=3, batch_size=60, learning_rate=1e-2, seed=0
    )
    tiny.trainable = False
    whole = training.fit(
        transfer.join(tiny, heads[1]),
        images,
        epochs=3,
        batch_size=60,
        learning_rate=1e-2,
        patience=0,
        seed=0,
    )
    tiny.trainable = True
    np.testing.assert_allclose(fit.history["loss"], whole.history["loss"], rtol=1e-4)
    np.testing.assert_allclose(fit.history["val_loss"], whole.history["val_loss"], rtol=1e-4)
    assert fit.history["loss"][-1] < fit.history["loss"][0]


def test_fit_head_repeats_and_scores_all_parts(images, tiny):
    stored = transfer.features(tiny, images)

    def once(before: int):
        keras.utils.set_random_seed(1)
        top = transfer.head("post", (3, 3, 4), 10)
        keras.utils.set_random_seed(before)  # what happened before does not count
        return transfer.fit_head(
            top, stored, images, epochs=2, batch_size=16, learning_rate=1e-3, seed=5
        ), top

    (first, top), (second, _) = once(2), once(3)
    assert first.history == second.history
    assert first.metrics == second.metrics
    assert first.metrics["test"] == transfer.score_head(top, stored, images)


def test_two_class_head_is_scored_as_two_classes():
    pair = data.load("digits", train_size=60, val_size=20, test_size=30, classes=("0", "1"))
    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape=(32, 32, 3))
    x = keras.layers.Flatten()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(x))
    fit = training.fit(model, pair, epochs=5, batch_size=16, learning_rate=1e-3, patience=0, seed=0)
    outputs = training.predict(model, pair.x_test)
    assert outputs.shape == (30, 2)
    np.testing.assert_allclose(outputs.sum(axis=1), 1, atol=1e-6)
    measured = training.evaluate(model, pair).metrics["test"]
    assert measured["accuracy"] > 0.9
    inference = training.evaluate(model, pair).metrics["val"]
    assert fit.history["val_loss"][-1] == pytest.approx(inference["loss"], rel=1e-4)


def test_strength_is_chosen_on_validation(images, monkeypatch):
    accuracies = {"train": (0.9, 0.8, 0.7), "val": (0.2, 0.6, 0.5), "test": (0.3, 0.4, 0.9)}

    class Classifier(BaseEstimator):
        def __init__(self, C=1.0, max_iter=0, random_state=0):  # noqa: N803
            self.place = transfer.STRENGTHS.index(C)

        def fit(self, x, y):
            self.fitted_ = True
            return self

        def score(self, x, y):
            part = next(part for part in accuracies if y is getattr(images, f"y_{part}"))
            return accuracies[part][self.place]

    monkeypatch.setitem(transfer.CLASSIFIERS, "known", Classifier)
    stored = {p: np.ones((len(getattr(images, f"y_{p}")), 1, 1, 2), "f4") for p in transfer.PARTS}
    linear = transfer.fit_linear(stored, images, "known")
    assert (linear.strength, linear.val) == (transfer.STRENGTHS[1], 0.6)
    assert linear.accuracy(stored, images) == 0.4


@pytest.mark.parametrize("kind", transfer.CLASSIFIERS)
def test_linear_classifiers_learn_what_is_there(images, kind):
    one_hot = {
        part: np.eye(10, dtype="f4")[getattr(images, f"y_{part}")][:, None, None, :]
        for part in transfer.PARTS
    }
    linear = transfer.fit_linear(one_hot, images, kind, pooled=True)
    assert linear.accuracy(one_hot, images) == 1
    blank = {part: np.zeros_like(maps) for part, maps in one_hot.items()}
    assert linear.accuracy(blank, images) < 0.5


def test_pooled_features_are_the_channels_means(images):
    maps = np.zeros((len(images.y_test), 2, 2, 3), "f4")
    maps[:, 0, 0, 1] = 4
    assert transfer._flat(maps, pooled=True)[0].tolist() == [0, 1, 0]
    assert transfer._flat(maps, pooled=False).shape == (len(maps), 12)


def test_drift():
    before = [np.ones(3), np.zeros(2)]
    assert transfer.drift(before, before) == 0
    assert transfer.drift(before, [3 * np.ones(3), np.zeros(2)]) == pytest.approx(2)
