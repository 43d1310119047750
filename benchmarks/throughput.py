"""Training speed, compared with plain Keras and with the machine's matrix product.

All at the batch size of ``budget``, through the project's own input pipeline. "Plain Keras"
is the same network of Keras' own layers and optimizer, `model.fit` on arrays of floats, neither
resized nor augmented. The share counts multiply–adds of convolutions and dense layers, forward and
backward, against this machine's float32 matrix products of the same seconds; what a 3×3 kernel
would multiply beyond the border counts too, as is usual. What these products reach alone is in
`ceiling`: where that is hardly above the target, or below, TensorFlow's convolutions are why it is
missed. They are the same in "Plain Keras": only the time around them can be saved.
"""

from benchmarks._measure import (
    Training,
    build,
    by_turns,
    closing,
    matrix_product,
    noise,
    ratios,
    row,
)
from lib import inputs, models, training
from lib.engine import keras
from lib.study import SLUGS

SHARES = {  # at least, of the matrix product's speed
    "01_deeper_cnn": 0.70,
    "02_dropout": 0.70,
    "03_double_conv": 0.70,
    "06_vgg16_scratch": 0.65,
    "08_vgg16_finetuned": 0.65,
    "10_vgg16_64x64": 0.90,
}
ROUNDS = 15
EPOCH = 64  # batches of the arrays: where a gain has a target, few turns begin an epoch of Keras'
AGAINST_KERAS = {"04_batch_norm": 1.4, "05_data_augmentation": 1.4}


def measure() -> list[dict]:
    """Returns images/s, share of the matrix product and gain over Keras, per experiment."""
    rows = []
    for slug in SLUGS:
        keras.utils.clear_session()
        model, values = build(slug)
        plain = models.as_keras(model)
        batch_size, clipnorm = values["BATCH_SIZE"], values.get("CLIPNORM", 0.0)
        training.compile(model, learning_rate=1e-5, clipnorm=clipnorm)
        plain.compile(
            keras.optimizers.Adam(1e-5, clipnorm=clipnorm or None),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        x, y = noise(EPOCH * batch_size, model.input_shape[1])
        arrays = {"x": inputs.scale(x), "y": y, "batch_size": batch_size}
        with closing(
            ours=Training(model, batch_size, augmented=values.get("AUGMENT", False)),
            product=matrix_product(),
            keras=Training(plain, batch_size, fit=arrays),
        ) as cases:
            found = by_turns(cases, rounds=ROUNDS)
        operations = 2 * models.training_macs(model)
        share = [operations * ratio for ratio in ratios(found["ours"], found["product"])]
        rows += [
            row(f"{slug}: training", found["ours"], "images/s"),
            row(
                f"{slug}: share of the matrix product",
                share,
                "of sgemm",
                target=SHARES.get(slug),
                required=slug in SHARES,
            ),
            row(
                f"{slug}: against plain Keras",
                ratios(found["ours"], found["keras"]),
                "×",
                target=AGAINST_KERAS.get(slug),
                required=slug in AGAINST_KERAS,
            ),
        ]
        print(*(f"{r['case']}: {r['figure']:.3g} {r['unit']}" for r in rows[-3:]), sep="\n")
    return rows
