"""Schedules tried for `budget`: validation accuracy on a part of CIFAR-10, seed 0.

8,000 images and fewer epochs than `budget` takes; of each experiment its own recipe first, then
what the case changes. They choose between schedules; the accuracies themselves are those of few
images.
"""

from benchmarks._measure import forget, recipe, row
from lib import data, pretrained, training
from lib.results import model_cell, parameters

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
        values = parameters.of_profile("budget", slug) | {"EPOCHS": EPOCHS[slug]}
        for changes in cases:
            accuracy = _train(slug, images, values | changes)
            said = ", ".join(f"{name} {value:g}" for name, value in changes.items())
            rows.append(row(f"{slug}: {said or 'as in budget'}", 100 * accuracy, _unit(values)))
            print(f"{rows[-1]['case']}: {rows[-1]['figure']:.2f} %", flush=True)
    return rows


def _unit(values: parameters.Values) -> str:
    head = f"{values['HEAD_EPOCHS']} + " if values.get("HEAD_EPOCHS") else ""
    return f"% of validation, after {head}{values['EPOCHS']} epochs"


def _train(slug: str, images: data.Dataset, values: parameters.Values) -> float:
    """Trains an experiment and returns its last validation accuracy, 0 to 1."""
    training.seed(0)
    weights = pretrained.load(values["WEIGHTS"]) if "WEIGHTS" in values else None
    model = model_cell.build(slug, classes=len(images.classes), weights=weights, **values)
    fit = training.fit(model, images, recipe(values))
    forget(fit)
    return fit.history["val_accuracy"][-1]
