"""The networks as the notebooks write them in plain Keras: true, and good to paste."""

import ast
import json
import re

import numpy as np
import pytest

from lib import data, inputs, models, results, training
from lib.engine import keras
from lib.results import model_cell, parameters, record
from lib.study import SLUGS, experiment
from tests.notebooks.test_lint import network_size


def text(slug: str, cell: str = "model-title") -> str:
    cells = json.loads(parameters.notebook_path(slug).read_text(encoding="utf-8"))["cells"]
    return "".join(next(c["source"] for c in cells if c["id"] == cell))


def whole(slug: str, cell: str = "model-title") -> list[str]:
    """Returns the folded code of a cell: the whole network, or its training, in plain Keras."""
    (folded,) = re.findall(r"<details[^>]*>\n<summary>.*?</details>", text(slug, cell), re.DOTALL)
    return re.search(r"```python\n(.*?)```", folded, re.DOTALL)[1].splitlines()


def build(slug: str, path: str = ""):
    """Builds the network of the plain Keras in a notebook, with a weight file for Keras'."""
    names = {}
    weights = f"weights={path!r}" if path else "weights=None"
    exec("\n".join(whole(slug)).replace('weights="imagenet"', weights), names)
    return names["model"]


@pytest.mark.parametrize("slug", SLUGS[1:])
def test_a_change_begins_where_the_other_notebook_ends(slug):
    if slug == "05_data_augmentation":
        assert "The network is that of 04." in text(slug)
        assert whole(slug) == whole("04_batch_norm")
        return
    other, diff = re.search(
        r"compared with (\d\d):\n\n```diff\n(.*?)```", text(slug), re.DOTALL
    ).groups()
    before, after = ([x[1:] for x in diff.splitlines() if x[:1] != mark] for mark in "+-")
    assert before == whole(next(known for known in SLUGS if known.startswith(other)))
    assert after == whole(slug)


@pytest.mark.parametrize("slug", SLUGS)
def test_they_build_the_network_that_is_trained(slug):
    plain = build(slug)
    ours = model_cell.build(slug, image_size=network_size(slug))
    assert models.architecture(plain) == models.architecture(ours) == experiment(slug).architecture
    assert plain.count_params() == ours.count_params()
    published = parameters.defaults(slug)
    assert float(plain.optimizer.learning_rate) == pytest.approx(published["LEARNING_RATE"])
    assert plain.optimizer.clipnorm == published.get("CLIPNORM")
    training.compile(ours, learning_rate=1e-3)
    assert (type(plain.optimizer).__name__, plain.loss) == ("Adam", ours.loss)
    plain.set_weights(ours.get_weights())
    size = network_size(slug)
    x = np.random.default_rng(0).random((2, size, size, 3), np.float32)
    np.testing.assert_allclose(plain(x), ours(x), atol=1e-5)


@pytest.mark.parametrize("slug", SLUGS)
def test_pasted_they_train_and_are_recorded_as_the_experiment(slug, weights, tmp_path):
    images = data.load("digits", train_size=32, val_size=10, test_size=10)
    values = parameters.of_profile("smoke", slug)
    values |= {"PROFILE": "smoke", "DATASET": "digits", "OUT": str(tmp_path)}
    run = results.Run(slug, values, 0.0)
    training.seed(0)
    imagenet = "WEIGHTS" in values
    model = build(slug, str(next(weights.glob("*.h5"))) if imagenet else "")
    recipe = training.Recipe(
        epochs=1,
        batch_size=32,
        learning_rate=1e-3,
        patience=0,
        seed=0,
        head_epochs=int("HEAD_EPOCHS" in values),
        views=int("VIEWS" in values),
    )
    fit = training.fit(model, images, recipe)
    evaluation = training.evaluate(model, images)
    path = run.write(images=images, model=model, fit=fit, evaluation=evaluation)
    found = record.read(path)
    assert (found.profile, found.name) == ("smoke", f"{slug}-smoke-seed0")
    assert found.model.total_params == experiment(slug).total_params
    assert found.model.architecture == experiment(slug).architecture
    _, again = results.trained_model(tmp_path, found.name)
    assert isinstance(again, keras.Model)
    np.testing.assert_allclose(
        training.predict(again, images.x_test), evaluation.probabilities, atol=1e-5
    )


def run_briefly(code: str, monkeypatch) -> tuple[dict, dict]:
    """Runs code that trains, on few random images and for one epoch.

    Returns:
        Its variables, and the arguments of its call of `fit`; ``data`` are those without a name.
    """
    rng, asked, fit = np.random.default_rng(0), {}, keras.Model.fit

    def few(count):
        labels = np.arange(count)[:, None] % 10
        return rng.integers(0, 256, (count, 32, 32, 3), np.uint8), labels.astype(np.uint8)

    def short(model, *data, **how):
        asked.update(how, data=data)
        model.run_eagerly = True  # so few images are quicker without a graph
        before = [w.copy() for w in model.get_weights()]
        history = fit(model, *data, **how | {"epochs": 1, "verbose": 0})
        after = model.get_weights()
        assert any((b != a).any() for b, a in zip(before, after, strict=True))
        return history

    monkeypatch.setattr(keras.Model, "fit", short)
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", lambda: (few(20), few(10)))
    names = {}
    exec(code, names)
    return names, asked


@pytest.mark.parametrize("slug", SLUGS)
def test_without_lib_they_train_as_the_study(slug, monkeypatch):
    published = parameters.defaults(slug)
    code = "\n".join(whole(slug) + whole(slug, "plain-keras"))
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert imported <= {"cv2", "keras", "numpy", "sklearn", "tensorflow"}
    held_out = f"test_size={published['VAL_SIZE']:_}"
    assert code.count(held_out) == 1
    code = code.replace(held_out, "test_size=10").replace('"imagenet"', "None")
    names, asked = run_briefly(code, monkeypatch)
    assert np.isfinite(names["loss"])
    assert 0 <= names["accuracy"] <= 1
    assert asked["epochs"] == published["EPOCHS"]
    assert [
        (watch.monitor, watch.patience, watch.restore_best_weights) for watch in asked["callbacks"]
    ] == [(name, published["PATIENCE"], True) for name in ("val_loss", "val_accuracy")]
    size = network_size(slug)
    if not published.get("AUGMENT"):
        (x, _), (x_val, _) = asked["data"], asked["validation_data"]
        assert asked["batch_size"] == published["BATCH_SIZE"]
        assert (len(x), len(x_val), len(names["x_test"])) == (10, 10, 10)
        assert all(0.9 < pixels.max() <= 1 for pixels in (x, x_val))
        return
    (train,), val = asked["data"], asked["validation_data"]
    assert train.batch_size == val.batch_size == published["BATCH_SIZE"]
    assert (train.n, val.n, train.x.shape[1:]) == (10, 10, (size, size, 3))
    augmented, scaled = vars(train.image_data_generator), vars(val.image_data_generator)
    assert scaled == vars(type(val.image_data_generator)(rescale=1 / 255))
    assert augmented == scaled | {
        "rotation_range": inputs.ROTATION_DEGREES,
        "width_shift_range": inputs.SHIFT,
        "height_shift_range": inputs.SHIFT,
        "horizontal_flip": True,
    }
