"""Training speed under other settings, compared with the project's defaults.

A figure above 1 is faster than the default, one below slower; within the spread it is nothing.

| setting | default | why |
| --- | --- | --- |
| BatchNormalization, Adam, Dropout, Conv2D | `lib.engine.fast_layers` | fewer passes over memory |
| inter-op threads | one | two are no faster, and with one two runs give the same bits |
| intra-op threads | all cores | |
| XLA | off | it does not use oneDNN's convolutions |
| layout | channels last | oneDNN reads it as it is; TensorFlow transposes the other |
| oneDNN | on | |
| precision | float32 | bfloat16 pays only where the processor has units for it, as here |
| allocator | the system's | huge pages and kept blocks are within the noise |
| batch size | by experiment | larger ones are faster per image, but each image teaches less |
"""

import ctypes.util
import json
import os
import subprocess
import sys

from benchmarks._measure import by_turns, ratios, row

SLUGS = ("01_deeper_cnn", "04_batch_norm", "08_vgg16_finetuned")
SETTINGS = {
    "default": {},
    "Keras' BatchNormalization": {"keras": "BatchNormalization"},
    "Keras' Adam": {"keras": "Adam"},
    "Keras' Dropout": {"keras": "Dropout"},
    "Keras' Conv2D": {"keras": "Conv2D"},
    "two inter-op threads": {"inter": 2},
    "one intra-op thread": {"intra": 1},
    "XLA": {"jit": True},
    "channels first": {"layout": "channels_first"},
    "oneDNN off": {"env": {"TF_ENABLE_ONEDNN_OPTS": "0"}},
    "bfloat16 inside oneDNN": {"env": {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"}},
    "Keras' mixed_bfloat16": {"policy": "mixed_bfloat16"},
    "huge pages for malloc": {"env": {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}},
    "malloc keeps large blocks": {
        "env": {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**34)}
    },
    "batch of 32": {"batch": 32},
    "batch of 256": {"batch": 256},
}
for library in ("tcmalloc_minimal", "jemalloc"):
    if found := ctypes.util.find_library(library):
        SETTINGS[library] = {"env": {"LD_PRELOAD": found}}


class _Child:
    """A process that trains with one setting, a turn for each line it gets, and says how fast."""

    def __init__(self, slug: str, setting: dict):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.settings", json.dumps(setting | {"slug": slug})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | setting.get("env", {}),
            text=True,
        )

    def __call__(self) -> float:
        """Returns images/s, 0 where the setting does not work."""
        try:
            print("go", file=self.process.stdin, flush=True)
            return float(self.process.stdout.readline() or 0)
        except BrokenPipeError:
            return 0.0


def measure() -> list[dict]:
    """Returns per setting the speed against the default."""
    rows = []
    for slug in SLUGS:
        children = {name: _Child(slug, setting) for name, setting in SETTINGS.items()}
        try:
            speeds = by_turns(children, rounds=7)
        finally:
            for child in children.values():
                child.process.kill()
                child.process.wait()
        rows.append(row(f"{slug}: default", speeds["default"], "images/s"))
        for name in list(SETTINGS)[1:]:
            if not min(speeds[name]):  # it does not work here
                continue
            gain = ratios(speeds[name], speeds["default"])
            rows.append(row(f"{slug}: {name}", gain, "× the default's speed"))
            print(f"{rows[-1]['case']}: {rows[-1]['figure']:.3g} {rows[-1]['unit']}", flush=True)
    return rows


def _child(setting: dict) -> None:
    """Trains when a line comes in, and writes images/s."""
    import tensorflow  # noqa: F401 (reads its settings before lib.engine clears them)

    from lib.engine import fast_layers, keras, tf

    os.environ |= setting.get("env", {})
    theirs = {"Adam": keras.optimizers.Adam}
    name = setting.get("keras")
    if name:
        setattr(fast_layers, name, theirs.get(name) or getattr(keras.layers, name))
    if "inter" in setting:
        tf.config.threading.set_inter_op_parallelism_threads(setting["inter"])
    if "intra" in setting:
        tf.config.threading.set_intra_op_parallelism_threads(setting["intra"])
    if "policy" in setting:
        keras.config.set_dtype_policy(setting["policy"])

    from benchmarks._measure import Training, build
    from lib import training

    model, values = build(setting["slug"])
    if "layout" in setting:
        model = _channels_first(model)
    batch_size = setting.get("batch", values["BATCH_SIZE"])
    training.compile(model, learning_rate=1e-5, clipnorm=values.get("CLIPNORM", 0.0))
    if setting.get("jit"):
        model.jit_compile = True
    speed = None
    for _ in sys.stdin:
        speed = speed or Training(model, batch_size)
        print(speed(), flush=True)


def _channels_first(model):
    """Returns the same network, of Keras' layers, that works on maps (n, channels, h, w)."""
    from lib.engine import keras

    inputs = keras.Input(model.input_shape[1:])
    x = keras.layers.Permute((3, 1, 2))(inputs)
    for layer in model.layers[1:]:
        config = layer.get_config()
        if "data_format" in config:
            config["data_format"] = "channels_first"
        if config.get("axis") == 3:
            config["axis"] = 1
        x = getattr(keras.layers, type(layer).__name__).from_config(config)(x)
    return keras.Model(inputs, x)


if __name__ == "__main__":
    _child(json.loads(sys.argv[1]))
