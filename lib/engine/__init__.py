"""TensorFlow and Keras, imported quiet and repeatable."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever Keras is set to elsewhere


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Holds back what libraries write to standard error; an error lets it through."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


with _silent_stderr():
    import keras
    import tensorflow as tf

# With one inter-op thread TensorFlow's CPU kernels give the same bits each time, at no visible
# cost; each kernel still uses all cores. It must be set before the first operation.
tf.config.threading.set_inter_op_parallelism_threads(1)

# TensorFlow would warn about the graph of each of many models.
tf.get_logger().setLevel("ERROR")

__all__ = ["keras", "tf"]
