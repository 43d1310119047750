"""The eleven notebooks' code: parameters reach what they name, test images come last."""

import ast
import re

import pytest

from lib.results import parameters
from lib.study import SLUGS

NAMED = {"AUGMENT": "augmented"}  # all other arguments have their parameter's name
PASSED = {
    "data.load": ("SEED", "TRAIN_SIZE", "VAL_SIZE", "TEST_SIZE", "IMAGE_SIZE"),
    "training.Recipe": (
        *("EPOCHS", "BATCH_SIZE", "LEARNING_RATE", "SCHEDULE", "PATIENCE", "SEED"),
        *("CLIPNORM", "AUGMENT", "HEAD_EPOCHS", "VIEWS"),
    ),
}


def code_of(slug: str) -> str:
    return "\n".join(parameters.working_code(parameters.notebook_path(slug)))


@pytest.mark.parametrize("slug", SLUGS)
def test_parameters_reach_what_they_name(slug):
    calls = {
        ast.unparse(node.func): node
        for node in ast.walk(ast.parse(code_of(slug)))
        if isinstance(node, ast.Call)
    }
    assert [ast.unparse(part) for part in calls["results.begin"].args] == [f"{slug!r}", "globals()"]
    assert [ast.unparse(part) for part in calls["data.load"].args] == ["DATASET"]
    assert [ast.unparse(x) for x in calls["training.fit"].args] == ["model", "images", "recipe"]
    known = parameters.defaults(slug)
    for name, wanted in PASSED.items():
        given = {part.arg: ast.unparse(part.value) for part in calls[name].keywords}
        expected = {NAMED.get(part, part.lower()): part for part in wanted if part in known}
        assert {part: given.get(part) for part in expected} == expected, name


@pytest.mark.parametrize("slug", SLUGS)
def test_test_images_come_after_the_training(slug):
    before, found, _ = code_of(slug).partition("training.evaluate(")
    assert found
    assert "training.fit(" in before
    assert not re.findall(r"\b[xy]_test\b", before)
