"""Early stopping, schedule, metrics and repeatability."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from lib import clock, data, inputs, metrics, models, training
from lib.engine import keras
from lib.errors import ModelError, ParameterError, TrainingError
from lib.results import model_cell
from lib.training import callbacks, checkpoints


class OneWeight(keras.Model):
    """A stand-in whose only weight is the number of the epoch it was set in."""

    def __init__(self):
        super().__init__()
        self.number = self.add_weight(shape=(), initializer="zeros")


def replay(losses, accuracies, patience) -> tuple[callbacks.EarlyStopping, int, int]:
    """Plays a history to the callback; returns it, the epochs run and the epoch restored."""
    model = OneWeight()
    model.stop_training = False
    stopping = callbacks.EarlyStopping(patience)
    stopping.set_model(model)
    for epoch, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True)):
        model.number.assign(epoch + 1)
        stopping.on_epoch_end(epoch, {"val_loss": loss, "val_accuracy": accuracy})
        if model.stop_training:
            break
    return stopping, epoch + 1, int(model.number.numpy())


def test_loss_stops_first_and_restores_its_own_best():
    # The loss is best in epoch 2; accuracy still rises in epoch 4.
    stopping, ran, restored = replay([1.0, 0.8, 0.9, 0.95, 0.1], [0.5, 0.6, 0.7, 0.8, 0.9], 2)
    assert (stopping.stopped_by, ran, restored, stopping.best_epoch) == ("val_loss", 4, 2, 2)


def test_accuracy_stops_first_and_restores_its_own_best():
    stopping, ran, restored = replay([1.0, 0.9, 0.8, 0.7], [0.7, 0.6, 0.65, 0.9], 2)
    assert (stopping.stopped_by, ran, restored, stopping.best_epoch) == ("val_accuracy", 3, 1, 1)


def test_accuracy_wins_when_both_run_out_together():
    # Both last improve so that they run out in epoch 4; their best epochs differ by nothing
    # but the monitor: the loss's in epoch 2, the accuracy's in epoch 2 as a tie is no gain.
    stopping, ran, restored = replay([1.0, 0.8, 0.8, 0.9], [0.6, 0.7, 0.7, 0.6], 2)
    assert (stopping.stopped_by, ran, restored) == ("val_accuracy", 4, 2)


def test_nothing_is_restored_when_all_epochs_run():
    stopping, ran, restored = replay([1.0, 0.5, 0.9], [0.5, 0.9, 0.6], 5)
    assert (stopping.stopped_by, ran, restored, stopping.best_epoch) == ("epochs", 3, 3, 3)


def test_linear_decay():
    schedule = training.LinearDecay(1e-3, warmup=10, steps=100)
    rates = [float(schedule(step)) for step in range(101)]
    assert rates[0] == pytest.approx(1e-4)
    assert max(rates) == pytest.approx(1e-3)
    assert rates[55] == pytest.approx(0.5e-3)
    assert rates[100] == 0
    assert float(training.LinearDecay(1e-3, warmup=0, steps=100)(0)) == pytest.approx(1e-3)


def test_triangular_rate():
    model = model_cell.build("00_base_cnn")
    training.compile(model, learning_rate=2.0, schedule="triangular", steps=200, optimizer="sgd")
    rates = [float(model.optimizer._learning_rate(step)) for step in range(201)]
    assert rates[0] == pytest.approx(2 * (0.2 + 0.8 / 46))
    assert max(rates) == rates[45] == pytest.approx(2)
    assert rates[200] == pytest.approx(2 * 0.07)


def test_biases_of_batch_normalization_have_a_rate_of_their_own():
    layer = keras.layers.BatchNormalization()
    layer.build((None, 3))
    sgd = training.SGD(0.01, bias_rate=64.0, momentum=0.9, nesterov=True)
    sgd.apply([np.ones(3, "f4")] * 2, layer.trainable_variables)
    assert layer.gamma.numpy() == pytest.approx(1 - 0.01 * 1.9)
    assert layer.beta.numpy() == pytest.approx(-0.64 * 1.9)


@pytest.mark.parametrize("units", [10, 1])
def test_only_the_training_loss_is_smoothed(units):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, "sigmoid")])
    training.compile(model, learning_rate=1e-3, label_smoothing=0.2)
    rng, classes = np.random.default_rng(0), max(units, 2)
    y = rng.integers(0, classes, 32)
    outputs = rng.dirichlet(np.ones(classes), 32).astype("f4")
    chosen, evenly = -np.log(outputs[np.arange(32), y]).mean(), -np.log(outputs).mean()
    given = {"y": y.reshape(-1, 1) if units == 1 else y, "y_pred": outputs[:, -units:]}
    plain, smooth = (float(model.compute_loss(**given, training=x)) for x in (False, True))
    assert plain == pytest.approx(chosen, rel=1e-4)
    assert smooth == pytest.approx(0.8 * chosen + 0.2 * evenly, rel=1e-4)


def test_lookahead_trains_on_from_the_average():
    model = OneWeight()
    model.optimizer = SimpleNamespace(iterations=0)
    lookahead = callbacks.Lookahead(steps=6, all_steps=12)
    lookahead.set_model(model)
    found = []
    for step in range(1, 13):  # each step adds 1
        model.number.assign_add(1.0)
        model.optimizer.iterations = step
        lookahead.on_train_batch_end(step, {})
        found.append(float(model.number))
    at_5 = 5 - 0.95**5 * (5 / 12) ** 3 * 4
    at_10 = at_5 + (1 - 0.95**5 * (10 / 12) ** 3) * 4
    expected = [1, 2, 3, 4, at_5, at_5, *(at_5 + x for x in (1, 2, 3)), at_10, at_10 + 1, at_10]
    assert found == pytest.approx(expected)


BEYOND = {
    "schedule": "triangular",
    "optimizer": "sgd",
    "learning_rate": 0.02,
    "momentum": 0.85,
    "weight_decay": 0.01,
    "bias_rate": 8.0,
    "label_smoothing": 0.2,
    "lookahead": True,
    "augmented": True,
    "augmentation": "alternating flip",
}


@pytest.mark.parametrize("killed_in", [3, 7, 13])
def test_momentum_and_averages_are_resumed(monkeypatch, tmp_path, killed_in):
    monkeypatch.setenv("CIFAR10_LADDER_CACHE", str(tmp_path))
    monkeypatch.setenv("CIFAR10_LADDER_CHECKPOINT_SECONDS", "0")
    unbroken, fit, _ = train("00_base_cnn", epochs=3, **BEYOND)
    for path in fit.checkpoints:
        path.unlink()
    save = callbacks.SaveCheckpoints.save

    def killed(self):
        save(self)
        if int(self.model.optimizer.iterations) == killed_in:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.SaveCheckpoints, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            train("00_base_cnn", epochs=3, **BEYOND)
    resumed, again, _ = train("00_base_cnn", epochs=3, **BEYOND)
    assert again.history == fit.history
    for mine, his in zip(resumed.get_weights(), unbroken.get_weights(), strict=True):
        assert np.array_equal(mine, his)


def test_smooth_labels_leave_validation_alone():
    _, fit, evaluation = train("00_base_cnn", **BEYOND)
    assert fit.history["val_loss"][-1] == pytest.approx(evaluation.metrics["val"].loss, rel=1e-4)


def test_score_is_plain_accuracy_and_cross_entropy():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.0, 1.0, 0.0]], dtype=np.float32)
    labels = np.array([0, 2, 1])
    measured = metrics.score(probabilities, labels)
    assert measured.accuracy == pytest.approx(2 / 3)
    expected = -(math.log(0.7) + math.log(0.3) + math.log(1 - 1e-7)) / 3
    assert measured.loss == pytest.approx(expected, rel=1e-6)


def test_score_equals_keras():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(200, 10)).astype("f4") * 4
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    labels = rng.integers(0, 10, 200)
    loss = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
    accuracy = keras.metrics.sparse_categorical_accuracy(labels, probabilities)
    measured = metrics.score(probabilities, labels)
    assert measured.loss == pytest.approx(float(np.mean(loss)), rel=1e-5)
    assert measured.accuracy == pytest.approx(float(np.mean(accuracy)))


RECIPE = training.Recipe(epochs=2, batch_size=64, learning_rate=1e-3, patience=0, seed=0)


def digits() -> data.Dataset:
    return data.load("digits", train_size=300, val_size=100, test_size=100)


def train(slug="04_batch_norm", **changes):
    training.seed(0)
    model = model_cell.build(slug)
    fit = training.fit(model, digits(), replace(RECIPE, **changes))
    return model, fit, training.evaluate(model, digits())


def test_same_seed_same_bits():
    (_, fit, evaluation), (_, fit_again, again) = train(augmented=True), train(augmented=True)
    assert np.array_equal(evaluation.probabilities, again.probabilities)
    assert fit.history == fit_again.history


@pytest.mark.parametrize("threads", [1, 4])
def test_threads_that_make_batches_change_nothing(threads, monkeypatch):
    _, fit, evaluation = train(augmented=True, epochs=1)
    monkeypatch.setattr(inputs, "THREADS", threads)
    _, fit_again, again = train(augmented=True, epochs=1)
    assert np.array_equal(evaluation.probabilities, again.probabilities)
    assert fit.history == fit_again.history


def test_dropout_derives_from_the_seed_and_not_from_what_was_drawn_before():
    def dropped(seed, drawn_before):
        training.seed(0)
        for _ in range(drawn_before):
            keras.layers.Dropout(0.5)(np.ones((1, 4), "f4"), training=True)
        model = model_cell.build("02_dropout")
        model.set_weights([np.full(w.shape, 0.01, "f4") for w in model.get_weights()])
        return training.fit(model, digits(), replace(RECIPE, epochs=1, seed=seed)).history

    assert dropped(0, 0) == dropped(0, 3) != dropped(1, 0)


def test_a_model_is_trained_once():
    model, *_ = train("00_base_cnn", epochs=1)
    with pytest.raises(TrainingError, match="has been trained already"):
        training.fit(model, digits(), RECIPE)


def test_a_model_resumed_after_its_last_epoch_is_trained_already(monkeypatch, tmp_path):
    monkeypatch.setenv("CIFAR10_LADDER_CACHE", str(tmp_path))
    monkeypatch.setenv("CIFAR10_LADDER_CHECKPOINT_SECONDS", "0")
    train("00_base_cnn", epochs=1)  # as if it were killed in its evaluation
    model, *_ = train("00_base_cnn", epochs=1)
    with pytest.raises(TrainingError, match="has been trained already"):
        training.fit(model, digits(), RECIPE)


def test_a_model_stopped_between_its_stages_is_trained_already(monkeypatch):
    training.seed(0)
    model = model_cell.build("09_mini_vgg16")
    real, compiled = training.compile, []

    def stop(*arguments, **options):
        compiled.append(options)
        if len(compiled) == 2:
            raise KeyboardInterrupt
        real(*arguments, **options)

    monkeypatch.setattr(training, "compile", stop)
    small = data.load("digits", train_size=40, val_size=20, test_size=20)
    recipe = replace(RECIPE, epochs=1, head_epochs=1)
    with pytest.raises(KeyboardInterrupt):
        training.fit(model, small, recipe)
    with pytest.raises(TrainingError, match="has been trained already"):
        training.fit(model, small, recipe)


def test_a_model_that_keras_has_trained_is_trained_already():
    model = model_cell.build("00_base_cnn")
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    model.fit(np.zeros((4, 32, 32, 3)), np.zeros(4), verbose=0)
    with pytest.raises(TrainingError, match="has been trained already"):
        training.fit(model, digits(), RECIPE)


def test_without_patience_nothing_is_watched():
    stopping, ran, restored = replay([1.0, 1.1, 1.2], [0.5, 0.4, 0.3], 0)
    assert (stopping.stopped_by, ran, restored, stopping.best_epoch) == ("epochs", 3, 3, 3)
    assert stopping.weights == {}


def test_what_a_fit_leaves_behind():
    model, fit, evaluation = train("00_base_cnn", schedule="linear", epochs=4)
    assert fit.history["epoch"] == [1, 2, 3, 4]
    assert set(fit.history) == {
        "epoch",
        "loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
        "learning_rate",
    }
    assert fit.images_seen == 4 * 300
    assert fit.operations == 4 * 300 * models.training_macs(model)
    assert fit.history["learning_rate"][-1] < 1e-4
    # The record's figures are those of the model that is there, on the parts they name.
    probabilities = model.predict(digits().x_test / np.float32(255), verbose=0)
    assert evaluation.metrics["test"].accuracy == pytest.approx(
        (probabilities.argmax(1) == digits().y_test).mean()
    )
    assert not evaluation.at_chance


def test_constant_rate_is_recorded():
    _, fit, _ = train("00_base_cnn")
    assert fit.history["learning_rate"] == pytest.approx([1e-3, 1e-3])


def test_head_first_leaves_the_base_alone_and_then_trains_it(monkeypatch):
    training.seed(0)
    model = model_cell.build("09_mini_vgg16")
    before = model.get_layer("block1_conv1").get_weights()[0]
    seen = []

    class Watch(callbacks.Progress):
        def on_epoch_end(self, epoch, logs):
            super().on_epoch_end(epoch, logs)
            seen.append(np.abs(model.get_layer("block1_conv1").get_weights()[0] - before).max())

    monkeypatch.setattr(training, "Progress", Watch)
    small = data.load("digits", train_size=64, val_size=32, test_size=32)
    fit = training.fit(model, small, replace(RECIPE, epochs=1, head_epochs=1))
    assert seen[0] == 0 < seen[1]
    assert fit.history["epoch"] == [1, 2]
    assert fit.operations < 2 * 64 * models.training_macs(model)


def test_divergence_is_an_error_with_advice():
    with pytest.raises(TrainingError, match="lower LEARNING_RATE"):
        train("00_base_cnn", learning_rate=1e30)


def test_chance_level_is_noticed():
    images = digits()
    constant = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
    )
    constant.set_weights([np.zeros((3072, 10)), np.eye(10)[3] * 9])
    assert training.evaluate(constant, images).at_chance


def test_a_rare_class_that_is_known_is_above_chance(monkeypatch):
    labels = np.repeat([0, 1], [400, 20])
    images = replace(digits(), x_test=np.zeros((420, 32, 32, 3), np.uint8), y_test=labels)

    def evaluated(common: int, rare: int) -> bool:
        """Of a network that names so many images of each class as the rare one."""
        named = np.repeat([0, 1, 0, 1], [400 - common, common, 20 - rare, rare])
        monkeypatch.setattr(training, "predict", lambda model, x: np.eye(2)[named[: len(x)]])
        return training.evaluate(None, images)

    monkeypatch.setattr(training, "PARTS", ("test",))
    for common, rare, at_chance in ((0, 0, True), (40, 2, True), (40, 18, False), (0, 20, False)):
        assert evaluated(common, rare).at_chance == at_chance, (common, rare)
    assert evaluated(40, 18).metrics["test"].accuracy < 400 / 420


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "EPOCHS = 0"),
        ({"batch_size": 0}, "BATCH_SIZE = 0"),
        ({"patience": -1}, "PATIENCE = -1"),
        ({"head_epochs": -1}, "HEAD_EPOCHS = -1"),
        ({"views": -1}, "VIEWS = -1"),
        ({"schedule": "cosine"}, "SCHEDULE = 'cosine': expected 'constant', 'linear' or"),
        ({"optimizer": "SGD"}, "OPTIMIZER = 'SGD': expected 'adam' or 'sgd'"),
        ({"augmentation": True}, "AUGMENTATION = True: expected 'study', 'random flip' or"),
        (
            {"views": 1, "augmentation": "random flip"},
            "VIEWS = 1: only with AUGMENTATION = 'study'",
        ),
        ({"momentum": 1.0}, "MOMENTUM = 1.0: expected a number from 0 to below 1"),
        ({"label_smoothing": -0.1}, "LABEL_SMOOTHING = -0.1: expected"),
        ({"weight_decay": math.nan}, "WEIGHT_DECAY = nan: expected"),
        ({"bias_rate": 0.0}, "BIAS_RATE = 0.0: expected a positive number"),
        ({"epochs": 2.0}, "EPOCHS = 2.0: expected a whole number, 1 or more"),
        ({"epochs": True}, "EPOCHS = True: expected a whole number"),
        *(
            ({"learning_rate": rate}, f"LEARNING_RATE = {rate!r}: expected a positive number such")
            for rate in (0, -1e-3, math.nan, math.inf, 10**40, 1e-50, "1e-3", True, None)
        ),
        *(
            ({"clipnorm": norm}, f"CLIPNORM = {norm!r}: expected a positive number .*, or 0 for")
            for norm in (-1, math.nan, math.inf, False, "1")
        ),
    ],
)
def test_values_out_of_range(change, message):
    with pytest.raises(ParameterError, match=message):
        replace(RECIPE, **change)


def test_a_whole_rate_is_a_number():
    train("00_base_cnn", epochs=1, learning_rate=1, clipnorm=1)
    assert replace(RECIPE, learning_rate=np.int64(1)) == replace(RECIPE, learning_rate=1.0)


def test_clock():
    assert [clock(s) for s in (8.2, 89, 91, 720, 12_600)] == [
        "8 s",
        "89 s",
        "2 min",
        "12 min",
        "3.5 h",
    ]


def frozen(**changes):
    """Trains the head of a frozen first block of VGG16 on digits."""
    training.seed(0)
    model = models.vgg16(
        image_size=32, classes=10, weights=None, blocks=1, frozen=True, dense=(16,)
    )
    fit = training.fit(model, digits(), replace(RECIPE, **changes))
    return model, fit


def test_features_kept_train_as_the_frozen_layers_would():
    (through, fit), (kept, fit_kept) = frozen(), frozen(views=1)
    for name, values in fit.history.items():
        assert fit_kept.history[name] == pytest.approx(values, rel=1e-3), name
    for mine, his in zip(kept.get_weights(), through.get_weights(), strict=True):
        assert np.allclose(mine, his, atol=1e-4)
    hidden, output = 16 * 16 * 64 * 16, 16 * 10  # the head: nobody needs its input's gradient
    base = models.forward_macs(through) - hidden - output
    assert fit_kept.operations == 300 * (base + 2 * (2 * hidden + 3 * output))
    assert fit.operations == fit_kept.operations + 300 * base


def test_each_epoch_learns_from_the_next_view(monkeypatch):
    seen = []
    real = inputs.feature_batches
    monkeypatch.setattr(
        inputs, "feature_batches", lambda views, *a, **k: seen.append(views) or real(views, *a, **k)
    )
    frozen(views=3, augmented=True)
    views = seen[0]
    assert views.shape == (3, 300, 16 * 16 * 64)
    assert not np.allclose(views[0], views[1])
    labels = np.arange(300)
    stream = (
        real(views, labels, SimpleNamespace(batch_size=300, seed=0)).take(4).as_numpy_iterator()
    )
    for epoch, (features, chosen) in enumerate(stream):
        assert np.array_equal(features, views[epoch % 3][chosen])


def test_a_training_killed_among_its_views_keeps_those_it_has(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("CIFAR10_LADDER_CACHE", str(tmp_path))
    monkeypatch.setenv("CIFAR10_LADDER_CHECKPOINT_SECONDS", "0")
    unbroken, _ = frozen(views=3, augmented=True)
    for checkpoint in tmp_path.rglob("*.npz"):
        checkpoint.unlink()
    real, seen = inputs.evaluation_batches, []

    def kill_at(number):
        def batches(*arguments, view=None, **options):
            seen.append(view)
            if view == (0, number):
                raise KeyboardInterrupt
            return real(*arguments, view=view, **options)

        return batches

    monkeypatch.setattr(inputs, "evaluation_batches", kill_at(2))
    with pytest.raises(KeyboardInterrupt):
        frozen(views=3, augmented=True)
    seen.clear()
    monkeypatch.setattr(inputs, "evaluation_batches", kill_at(None))
    resumed, _ = frozen(views=3, augmented=True)
    assert [view for view in seen if view] == [(0, 2)]
    for mine, his in zip(resumed.get_weights(), unbroken.get_weights(), strict=True):
        assert np.array_equal(mine, his)


def test_features_of_layers_that_learn_are_refused():
    with pytest.raises(ModelError, match=r"VIEWS = 2: layers before .* learn.*set VIEWS = 0"):
        train(views=2)


def test_another_network_of_the_same_weights_has_another_checkpoint():
    """The same layers and weights at another size, or on pixels of another range."""

    def key(size: int, factor: float) -> str:
        training.seed(0)
        pixels = keras.Input((size, size, 3))
        x = keras.layers.GlobalAveragePooling2D()(factor * pixels)
        model = keras.Model(pixels, keras.layers.Dense(10, activation="softmax")(x))
        return checkpoints.of_training(model, digits(), {"epochs": 1}).key

    assert key(32, 1.0) == key(32, 1.0)
    assert len({key(32, 1.0), key(48, 1.0), key(32, 255.0)}) == 3
