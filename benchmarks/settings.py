"""Training speed under other settings, compared with the project's defaults.

A figure above 1 is faster than the default, one below slower; within the spread it is nothing.

| setting | default | why |
| --- | --- | --- |
| inter-op threads | one | two are no faster, and with one two runs give the same bits |
| intra-op threads | all cores | |
| XLA | off | it does not use oneDNN's convolutions |
| oneDNN | on | |
| precision inside oneDNN | float32 | |
| batch size | by experiment | larger ones are faster per image, but each image teaches less |

Channels first (slower) and other allocators (within the spread) are in the history:
``git show 27203db:benchmarks/results/settings.json``.
"""

import json
import os
import subprocess
import sys

from benchmarks._measure import by_turns, ratios, row

SLUGS = ("01_deeper_cnn", "04_batch_norm", "08_vgg16_finetuned")
SETTINGS = {
    "default": {},
    "two inter-op threads": {"inter": 2},
    "one intra-op thread": {"intra": 1},
    "XLA": {"jit": True},
    "oneDNN off": {"env": {"TF_ENABLE_ONEDNN_OPTS": "0"}},
    "bfloat16 inside oneDNN": {"env": {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"}},
    "batch of 32": {"batch": 32},
    "batch of 256": {"batch": 256},
}


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

    from lib.engine import tf

    os.environ |= setting.get("env", {})
    if "inter" in setting:
        tf.config.threading.set_inter_op_parallelism_threads(setting["inter"])
    if "intra" in setting:
        tf.config.threading.set_intra_op_parallelism_threads(setting["intra"])

    from benchmarks._measure import Training, build
    from lib import training

    model, values = build(setting["slug"])
    batch_size = setting.get("batch", values["BATCH_SIZE"])
    training.compile(model, learning_rate=1e-5, clipnorm=values.get("CLIPNORM", 0.0))
    if setting.get("jit"):
        model.jit_compile = True
    speed = None
    for _ in sys.stdin:
        speed = speed or Training(model, batch_size)
        print(speed(), flush=True)


if __name__ == "__main__":
    _child(json.loads(sys.argv[1]))
