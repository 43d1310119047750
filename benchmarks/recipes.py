"""Schedules tried for `budget`: validation accuracy on a part of CIFAR-10, seed 0.

8,000 images and fewer epochs than `budget` takes; of each rung its own recipe first, then what the
case changes. They choose between schedules; the accuracies themselves are those of few images.
"""

from benchmarks._measure import row
from lib import data, models, pretrained, training
from lib.results import parameters
from lib.training import checkpoints

TRAIN, VAL = 8_000, 3_000
EPOCHS = {"05_data_augmentation": 15, "08_vgg16_finetuned": 4, "09_mini_vgg16": 5}
TRIED = {
    "05_data_augmentation": ({}, {"LEARNING_RATE": 1.5e-3}, {"LEARNING_RATE": 8e-3}),
    "08_vgg16_finetuned": ({}, {"LEARNING_RATE": 5e-5}, {"LEARNING_RATE": 2e-4}),
    "09_mini_vgg16": ({}, {"LEARNING_RATE": 1e-4}),
}


def measure() -> list[dict]:
    """Returns the validation accuracy that each schedule ends with."""
    images = data.load("cifar10", train_size=TRAIN, val_size=VAL)
    rows = []
    for slug, cases in TRIED.items():
        recipe = parameters.of_profile("budget", slug) | {"EPOCHS": EPOCHS[slug]}
        for changes in cases:
            accuracy = _train(slug, images, recipe | changes)
            said = ", ".join(f"{name} {value:g}" for name, value in changes.items())
            rows.append(row(f"{slug}: {said or 'as in budget'}", 100 * accuracy, _unit(recipe)))
            print(f"{rows[-1]['case']}: {rows[-1]['figure']:.2f} %", flush=True)
    return rows


def _unit(recipe: parameters.Values) -> str:
    head = f"{recipe['HEAD_EPOCHS']} + " if recipe.get("HEAD_EPOCHS") else ""
    return f"% of validation, after {head}{recipe['EPOCHS']} epochs"


def _train(slug: str, images: data.Dataset, values: parameters.Values) -> float:
    """Trains a rung and returns its last validation accuracy, 0 to 1."""
    training.start(0)
    weights = {"weights": pretrained.load(values["WEIGHTS"])} if "WEIGHTS" in values else {}
    fit = training.fit(
        models.build(slug, classes=len(images.classes), **weights),
        images,
        epochs=values["EPOCHS"],
        batch_size=values["BATCH_SIZE"],
        learning_rate=values["LEARNING_RATE"],
        schedule=values["SCHEDULE"],
        patience=0,
        seed=0,
        clipnorm=values.get("CLIPNORM", 0.0),
        augmented=values["AUGMENT"],
        head_epochs=values.get("HEAD_EPOCHS", 0),
    )
    checkpoints.remove(checkpoints.finished())  # a next one is not to go on from here
    return fit.history["val_accuracy"][-1]
