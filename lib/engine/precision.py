"""Mixed precision: the type that layers compute in. Weights, loss and metrics stay float32."""

from functools import cache
from pathlib import Path

from lib.engine import keras, tf
from lib.errors import ParameterError

CHOICES = ("float32", "bfloat16", "auto")
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
"""Keras' policy by precision. With float16 Keras scales the loss by itself."""
CPUINFO = Path("/proc/cpuinfo")


def use(name: str) -> None:
    """Sets Keras' policy for all layers that are built from now on; ``name`` is in `POLICIES`."""
    keras.config.set_dtype_policy(POLICIES[name])


def resolved(parameter: str) -> str:
    """Returns the precision that PRECISION means on this machine, one of `POLICIES`.

    Raises:
        ParameterError: if it is none of `CHOICES`.
    """
    if parameter not in CHOICES:
        raise ParameterError(f"PRECISION = {parameter!r}: expected one of {', '.join(CHOICES)}")
    return fastest() if parameter == "auto" else parameter


@cache
def fastest() -> str:
    """Returns the precision in which this machine trains fastest.

    On GPUs that is bfloat16 from compute capability 8.0 on, and float16 from 7.0 on. On
    processors it is bfloat16 with AMX, and on AMD with AVX512_BF16. Intel's AVX512_BF16 alone is
    slower than float32 (`benchmarks.throughput`).
    """
    for gpu in tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(gpu)
        capability = details.get("compute_capability", (0, 0))
        half = "float16" if capability >= (7, 0) else "float32"
        return "bfloat16" if capability >= (8, 0) else half
    try:
        words = set(CPUINFO.read_text().split())
    except OSError:  # not Linux: only TensorFlow for Linux has these kernels
        return "float32"
    units = "amx_bf16" in words or {"AuthenticAMD", "avx512_bf16"} <= words
    return "bfloat16" if units else "float32"
