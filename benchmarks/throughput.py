"""Training speed, compared with plain Keras and with the machine's matrix product.

In float32 and in bfloat16, at the batch size of ``budget``, through the project's own input
pipeline. "Plain Keras" is the same network of Keras' own layers and optimizer in float32,
`model.fit` on arrays of floats, neither resized nor augmented. The share counts multiply–adds of
convolutions and dense layers, forward and backward, against this machine's matrix product in the
same precision, measured in turns with the training. Products with the zeros beyond a map's border
count too. Minutes are those of ``budget`` in the precision that ``auto`` means here, computed from
the speed. The minutes and the gain of bfloat16 have targets only where ``auto`` is bfloat16. Where
`ceiling` has a lower share or gain for this processor, that is the target. Takes at most 8 minutes
on two idle cores.
"""

import json
import statistics
from pathlib import Path

from benchmarks._measure import (
    PRECISIONS,
    Training,
    by_turns,
    closing,
    matrix_product,
    noise,
    ours,
    ratios,
    recipe,
    row,
)
from lib import data, inputs, models
from lib.engine import keras, precision
from lib.results import machine, parameters
from lib.study import SLUGS
from lib.training import pace

SHARES = {  # at least, of the matrix product's speed
    "01_deeper_cnn": 0.70,
    "02_dropout": 0.70,
    "03_double_conv": 0.70,
    "06_vgg16_scratch": 0.75,
    "08_vgg16_finetuned": 0.70,
    "10_vgg16_64x64": 0.90,
}
AGAINST_KERAS = {"04_batch_norm": 1.4, "05_data_augmentation": 1.4}
# Where `auto` means bfloat16:
GAIN = 1.7
MINUTES, ALL_MINUTES = {"10_vgg16_64x64": 25}, 120
ROUNDS = 7
EPOCH = 64  # batches of the arrays: few turns begin an epoch of Keras'
CEILING = Path(__file__).parent / "results" / "ceiling.json"


def measure() -> list[dict]:
    """Returns speed, shares, gains and minutes of every experiment, and of all together."""
    rows = []
    for slug in SLUGS:
        found = _rows(slug)
        print(*(f"{r['case']}: {r['figure']:.3g} {r['unit']}" for r in found), sep="\n", flush=True)
        rows += found
    minutes = sum(r["figure"] for r in rows if r["case"].endswith(": minutes of budget"))
    unit, case = f"min ({precision.resolved('auto')})", "the eleven: minutes of budget"
    return [*rows, _on_fast(case, minutes, unit, ALL_MINUTES, better="lower")]


def _rows(slug: str) -> list[dict]:
    """Returns the rows of one experiment; all cases take turns."""
    keras.utils.clear_session()
    trainings = {dtype: ours(slug, dtype) for dtype in PRECISIONS}
    products = {f"{dtype} product": matrix_product(dtype) for dtype in PRECISIONS}
    model = trainings["float32"].model
    with closing(**trainings, **products, keras=_plain(slug, model)) as cases:
        found = by_turns(cases, ROUNDS)
    rows = []
    for dtype in PRECISIONS:
        share = ratios(found[dtype], found[f"{dtype} product"])
        share = [2 * models.training_macs(model) * one for one in share]
        wanted = SHARES.get(slug) if dtype == "float32" else None
        least = _at_most_the_ceiling(f"{slug}, float32: all three", wanted)
        case = f"{slug}, {dtype}: share of the matrix product"
        rows += [
            row(f"{slug}, {dtype}: training", found[dtype], "images/s"),
            row(case, share, "of its speed", target=least, required=least is not None),
        ]
    gain, target = ratios(found["float32"], found["keras"]), AGAINST_KERAS.get(slug)
    auto = precision.resolved("auto")
    minutes = _minutes(slug, model, statistics.median(found[auto]))
    unit, most = f"min ({auto})", MINUTES.get(slug)
    return [
        *rows,
        row(f"{slug}: against plain Keras", gain, "×", target=target, required=bool(target)),
        _on_fast(
            f"{slug}: bfloat16 against float32",
            ratios(found["bfloat16"], found["float32"]),
            "×",
            _at_most_the_ceiling(f"{slug}: bfloat16 against float32", GAIN),
        ),
        _on_fast(f"{slug}: minutes of budget", minutes, unit, most, better="lower"),
    ]


def _plain(slug: str, model: keras.Model) -> Training:
    """Returns a case: the training of the same network in plain Keras, float32."""
    values = parameters.of_profile("budget", slug)
    plain, batch_size = models.as_keras(model), values["BATCH_SIZE"]
    plain.compile(
        keras.optimizers.Adam(1e-5, clipnorm=values.get("CLIPNORM", 0.0) or None),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    x, y = noise(EPOCH * batch_size, model.input_shape[1])
    return Training(plain, batch_size, fit={"x": inputs.scale(x), "y": y, "batch_size": batch_size})


def _at_most_the_ceiling(case: str, wanted: float | None) -> float | None:
    """Returns a target: the wanted one, or this processor's figure in `ceiling` if it is lower."""
    content = json.loads(CEILING.read_text())
    if wanted and content["machine"]["cpu"] == machine.environment()["cpu"]:
        ceilings = [r["figure"] for r in content["rows"] if r["case"] == case]
        return round(min([wanted, *ceilings]), 3)
    return wanted


def _minutes(slug: str, model: keras.Model, speed: float) -> float:
    """Returns the minutes of training and evaluation at so many training images per second."""
    values = parameters.of_profile("budget", slug)
    forward = models.forward_macs(model) / models.training_macs(model)
    sizes = {part: values[f"{part.upper()}_SIZE"] for part in data.PARTS}
    one = pace.Pace(training=1 / speed, forward=forward / speed)
    return pace.training_seconds(one, recipe(values), **sizes) / 60


def _on_fast(case: str, figures: list[float] | float, unit: str, target, **options) -> dict:
    """Makes a row whose target holds only where `auto` means bfloat16."""
    target = target if precision.fastest() == "bfloat16" else None
    return row(case, figures, unit, target=target, required=target is not None, **options)
