"""Mixed precision: what a machine computes in, and what stays float32."""

import json

import numpy as np
import pytest

from ladder.report import verdicts
from lib import data, models, results, training
from lib.engine import keras, precision, tf
from lib.errors import ParameterError, RecordError
from lib.results import fingerprint, parameters, record
from lib.training import checkpoints
from tests.report import made_up

RECIPE = training.Recipe(epochs=2, batch_size=32, learning_rate=1e-3, patience=0, seed=0)


@pytest.fixture(scope="module")
def images():
    return data.load("digits", train_size=96, val_size=30, test_size=40)


@pytest.fixture
def use(monkeypatch):
    """Sets a precision; float32 again afterwards."""
    yield lambda name: (precision.use(name), training.seed(0))
    precision.use("float32")


def pasted() -> keras.Model:
    """A reader's network, which knows nothing of precision."""
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.25),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def fitted(images, model: keras.Model, recipe=RECIPE) -> training.Fit:
    fit = training.fit(model, images, recipe)
    for path in fit.checkpoints:
        path.unlink(missing_ok=True)
    return fit


@pytest.mark.parametrize(
    ("flags", "fastest"),
    [
        ("vendor_id : AuthenticAMD\nflags : avx512f avx512_bf16", "bfloat16"),
        ("vendor_id : GenuineIntel\nflags : avx512f avx512_bf16", "float32"),
        ("vendor_id : GenuineIntel\nflags : avx512_bf16 amx_bf16", "bfloat16"),
        ("vendor_id : AuthenticAMD\nflags : avx512f", "float32"),
        (None, "float32"),
    ],
)
def test_fastest_on_a_processor(flags, fastest, tmp_path, monkeypatch):
    path = tmp_path / "cpuinfo"
    if flags:
        path.write_text(flags)
    monkeypatch.setattr(precision, "CPUINFO", path)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert precision.fastest.__wrapped__() == fastest


@pytest.mark.parametrize(
    ("capability", "fastest"), [((9, 0), "bfloat16"), ((7, 5), "float16"), ((6, 1), "float32")]
)
def test_fastest_on_a_gpu(capability, fastest, monkeypatch):
    details = {"compute_capability": capability}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["gpu"])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details)
    assert precision.fastest.__wrapped__() == fastest


def test_an_unknown_precision_is_refused():
    with pytest.raises(ParameterError, match="'float64': expected one of float32, bfloat16, auto"):
        precision.resolved("float64")
    assert precision.resolved("auto") == precision.fastest()


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_what_stays_float32(name, images, use, tmp_path):
    use(name)
    model = pasted()
    fit = fitted(images, model)
    assert model.layers[0].compute_dtype == name
    assert model.layers[-1].compute_dtype == "float32"
    assert {weight.dtype for weight in model.weights if "seed" not in weight.name} == {"float32"}
    probabilities = training.predict(model, images.x_test)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)  # not in half precision
    score = training.evaluate(model, images).metrics["val"]
    assert fit.history["val_loss"][-1] == pytest.approx(score.loss, rel=1e-3)
    models.as_keras(model).save(tmp_path / "saved.keras")
    use("float32")
    saved = results.saved_model(tmp_path / "saved.keras")
    assert {layer.compute_dtype for layer in saved.layers} == {"float32"}
    np.testing.assert_allclose(training.predict(saved, images.x_test), probabilities, atol=0.02)


def test_moving_averages_are_those_of_float32(images, use):
    """The layer's inputs have 8 bits of a mantissa, its averages 24."""
    found = {}
    for name in ("float32", "bfloat16"):
        use(name)
        model = models.cnn(image_size=32, classes=10, blocks=((1, 4),), dense=(8,), batch_norm=True)
        fitted(images, model)
        layer = next(x for x in model.layers if isinstance(x, keras.layers.BatchNormalization))
        found[name] = layer.moving_variance.numpy()
    bits = found["bfloat16"].view(np.uint32) & 0xFFFF  # those that bfloat16 lacks
    assert bits.any()
    np.testing.assert_allclose(found["bfloat16"], found["float32"], rtol=0.02)


def test_same_seed_same_bits(images, use):
    histories = []
    for _ in range(2):
        use("bfloat16")
        histories.append(fitted(images, pasted()).history)
    assert histories[0] == histories[1]
    use("float32")
    assert fitted(images, pasted()).history != histories[0]


@pytest.fixture
def saved(monkeypatch) -> list[dict]:
    """The arrays of all checkpoints that a training would save."""
    found: list[dict] = []
    monkeypatch.setattr(
        checkpoints.Checkpoint, "save", lambda self, _, arrays: found.append(arrays)
    )
    monkeypatch.setenv(checkpoints.EVERY, "0")
    return found


def test_the_scale_of_the_loss_is_in_a_checkpoint(images, use, saved):
    use("float16")
    training.fit(pasted(), images, RECIPE)
    scalars = {float(array) for array in saved[-1]["optimizer"] if array.shape == ()}
    assert scalars & {2.0**power for power in range(8, 16)}  # it is halved after an overflow


def test_stored_features_are_float32(images, use, saved):
    use("bfloat16")
    model = pasted()
    for layer in model.layers[:2]:
        layer.trainable = False
    training.fit(model, images, training.Recipe(**vars(RECIPE) | {"views": 1}))
    stored = next(arrays for arrays in saved if "train" in arrays)
    assert {array.dtype for part in stored.values() for array in part} == {np.dtype("float32")}


def test_a_checkpoint_is_of_one_precision(images, use):
    keys = set()
    for name in precision.POLICIES:
        use(name)
        keys.add(checkpoints.of_training(models.functional(pasted(), 32), images, {}).key)
    assert len(keys) == 3


def test_a_record_has_the_precision_and_the_fingerprint_the_parameter(
    images, use, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(precision, "fastest", lambda: "bfloat16")
    names = parameters.of_profile("smoke", "00_base_cnn")
    names |= {"OUT": str(tmp_path), "DATASET": "digits", "EPOCHS": 1}
    monkeypatch.setenv("CIFAR10_LADDER_BATCH", "1")
    found = {}
    for value in ("auto", "bfloat16"):
        run = results.begin("00_base_cnn", dict(names, PRECISION=value))
        assert "layers compute in bfloat16." in capsys.readouterr().out
        model = pasted()
        assert model.layers[0].compute_dtype == "bfloat16"
        fit = fitted(images, model)
        evaluation = training.evaluate(model, images)
        path = run.write(images=images, model=model, fit=fit, evaluation=evaluation)
        found[value] = json.loads(path.read_text())
    assert {each["training"]["precision"] for each in found.values()} == {"bfloat16"}
    assert found["auto"]["parameters"]["PRECISION"] == "auto"
    assert found["auto"]["fingerprint"] != found["bfloat16"]["fingerprint"]
    given = {"data": images.sha256, "weights": None}
    given["architecture"] = found["auto"]["model"]["architecture"]
    values = dict(names, PRECISION="auto")
    assert found["auto"]["fingerprint"] == fingerprint.of_run("00_base_cnn", values, **given)


def test_a_slow_precision_is_named(use, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(precision, "fastest", lambda: "float32")
    monkeypatch.setenv("CIFAR10_LADDER_BATCH", "1")
    names = parameters.of_profile("study", "00_base_cnn")
    assert results.begin("00_base_cnn", dict(names)).precision == "float32"
    assert "layers compute" not in capsys.readouterr().out
    results.begin("00_base_cnn", dict(names, PRECISION="bfloat16"))
    assert "bfloat16, which is slower than float32 on this machine" in capsys.readouterr().out


def test_two_precisions_are_not_averaged():
    values = parameters.of_profile("budget", "00_base_cnn")

    def run(seed: int, name: str) -> record.Record:
        mine = values | {"SEED": seed}
        return made_up.record(
            profile="budget", seed=seed, parameters=mine, training={"precision": name}
        )

    half, single = [run(seed, "bfloat16") for seed in (0, 1)], run(2, "float32")
    assert verdicts.same_conditions([*half, single]) == half
    with pytest.raises(RecordError, match="several precisions are not averaged"):
        verdicts.table([*half, single])
    other = verdicts.others(verdicts.table(half)[0], [*half, single])
    assert [str(each) for each in other] == ["budget with PRECISION float32 instead of bfloat16"]
