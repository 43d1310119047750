"""TensorFlow and Keras, imported quiet and repeatable, whatever the reader's settings of them are.

Left as they are: devices, memory, threads, logs, and TensorFlow's own determinism. All else in the
environment or in ``keras.json`` would change what is computed, and no record would show it.
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from lib import cache, in_batch_run
from lib.opencv import quiet

_CHANGES_RESULTS = re.compile(
    "KERAS_(?!HOME$)|ONEDNN_DEFAULT|DNNL_DEFAULT|NVIDIA_TF32_OVERRIDE$"
    "|TF_(?!CPP_|FORCE_GPU_ALLOW_GROWTH$|GPU_|NUM_|DETERMINISTIC_OPS$|CUDNN_DETERMINISTIC$)"
)
for _name in filter(_CHANGES_RESULTS.match, list(os.environ)):
    del os.environ[_name]
if "XLA_FLAGS" in os.environ:  # where CUDA is belongs to the machine
    _flags = os.environ["XLA_FLAGS"].split()
    os.environ["XLA_FLAGS"] = " ".join(flag for flag in _flags if "cuda_data_dir" in flag)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"


@contextmanager
def _no_keras_json() -> Iterator[None]:
    """Hides the reader's ``keras.json``, one that Keras would refuse too, from Keras' import."""
    home, before = cache.keras_home(), os.environ.get("KERAS_HOME")
    with tempfile.TemporaryDirectory() as empty:
        os.environ["KERAS_HOME"] = empty
        try:
            yield
        finally:
            del os.environ["KERAS_HOME"]
    if before is not None:
        os.environ["KERAS_HOME"] = before
    keras.src.backend.config._KERAS_DIR = str(home)  # where its downloads are


if "ipykernel" in sys.modules and "tensorflow" not in sys.modules and not in_batch_run():
    print("Loading TensorFlow (about 10 s)")  # a notebook would be silent meanwhile

with quiet(), _no_keras_json():
    import keras
    import tensorflow as tf

# Again, for a notebook that had imported Keras before.
keras.config.set_image_data_format("channels_last")
keras.config.set_floatx("float32")
keras.config.set_epsilon(1e-7)
keras.config.set_dtype_policy("float32")
keras.config.set_max_epochs(None)
keras.config.set_max_steps_per_epoch(None)

# With one inter-op thread TensorFlow's CPU kernels give the same bits each time, at no visible
# cost; each kernel still uses all cores. It must be set before the first operation.
tf.config.threading.set_inter_op_parallelism_threads(1)

# TensorFlow would warn about the graph of each of many models.
tf.get_logger().setLevel("ERROR")

__all__ = ["keras", "tf"]
