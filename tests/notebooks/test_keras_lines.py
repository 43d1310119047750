"""The networks as the notebooks write them in plain Keras, against those that they train."""

import json
import re

import numpy as np
import pytest

from lib import models, training
from lib.engine import keras
from lib.results import parameters
from lib.study import SLUGS, experiment


def lines(slug: str) -> tuple[list[str], list[str], str]:
    """Returns a notebook's network as it writes it: before, after, and the notebook before."""
    cells = json.loads(parameters.notebook_path(slug).read_text(encoding="utf-8"))["cells"]
    text = next(t for t in map("".join, (c["source"] for c in cells)) if t.startswith("## Model"))
    if same := re.search(r"The network is that of (\d\d)\.", text):
        after = lines(of_number(same[1]))[1]
        return after, after, same[1]
    if found := re.search(r"against (\d\d):\n\n```diff\n(.*?)```", text, re.DOTALL):
        marked = found[2].splitlines()
        before, after = ([line[1:] for line in marked if line[:1] != m] for m in "+-")
        return before, after, found[1]
    return [], re.search(r"```python\n(.*?)```", text, re.DOTALL)[1].splitlines(), ""


def of_number(number: str) -> str:
    return next(slug for slug in SLUGS if slug.startswith(number))


def flat(model) -> list:
    inner = [flat(part) if isinstance(part, keras.Model) else [part] for part in model.layers]
    found = [layer for part in inner for layer in part]
    return [layer for layer in found if not isinstance(layer, keras.layers.InputLayer)]


@pytest.mark.parametrize("slug", SLUGS[1:])
def test_a_change_begins_where_the_other_notebook_ends(slug):
    before, after, other = lines(slug)
    assert before == lines(of_number(other))[1]
    assert (before == after) == (slug == "05_data_augmentation")


@pytest.mark.parametrize("slug", SLUGS)
def test_they_build_the_network_that_is_trained(slug):
    size, names = experiment(slug).image_size, {}
    exec("\n".join(lines(slug)[1]).replace('weights="imagenet"', "weights=None"), names)
    random = {"imagenet": False} if "imagenet" in models.ARCHITECTURES[slug] else {}
    plain, ours = names["model"], models.build(slug, image_size=size, **random)
    alike = [
        [(type(x).__name__, x.output.shape, getattr(x, "rate", None)) for x in flat(model)]
        for model in (plain, ours)
    ]
    assert alike[0] == alike[1]
    assert plain.count_params() == ours.count_params()
    assert models.trainable_params(plain) == models.trainable_params(ours)
    published = parameters.defaults(slug)
    assert float(plain.optimizer.learning_rate) == pytest.approx(published["LEARNING_RATE"])
    assert plain.optimizer.clipnorm == published.get("CLIPNORM")
    training.compile(ours, learning_rate=1e-3)
    assert (type(plain.optimizer).__name__, plain.loss) == ("Adam", ours.loss)
    plain.set_weights(ours.get_weights())
    x = np.random.default_rng(0).random((2, size, size, 3), np.float32)
    np.testing.assert_allclose(plain(x), ours(x), atol=1e-5)
