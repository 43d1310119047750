"""Training speed, compared with PyTorch: same network, batch, optimizer and precision.

PyTorch uses the same cores, `channels_last`, its Adam (the best of its implementations for a CPU,
`fused=True`) and batches that are ready in memory, in bfloat16 its `autocast`. Ours come through
the input pipeline, augmented from experiment 5 on. Where the machine has a C++ compiler,
`torch.compile` is a case of its own for experiment 4. Other work on the machine slows PyTorch many
times, because its threads wait for each other. Takes at most 10 minutes on two idle cores. First
run ``pip install -r benchmarks/requirements.txt``.
"""

import shutil
import sys
import time
from collections.abc import Callable

import numpy as np

from benchmarks._measure import PRECISIONS, by_turns, closing, noise, ours, ratios, row
from lib import inputs
from lib.engine import keras
from lib.results import parameters
from lib.study import SLUGS

COMPILED = "04_batch_norm"
ROUNDS = 7

# For GPUs only. Where TensorFlow is loaded, it ends the process.
sys.modules.setdefault("triton", None)


def measure() -> list[dict]:
    """Returns images/s of PyTorch and our speed against it, per experiment and precision."""
    return [one for slug in SLUGS for one in _rows(slug)]


def _rows(slug: str) -> list[dict]:
    keras.utils.clear_session()
    clipnorm = parameters.of_profile("budget", slug).get("CLIPNORM", 0.0)
    trainings = {dtype: ours(slug, dtype) for dtype in PRECISIONS}
    theirs = {
        f"torch {dtype}": _torch_speed(one.model, one.batch_size, clipnorm, dtype)
        for dtype, one in trainings.items()
    }
    compiled = slug == COMPILED and bool(shutil.which("g++"))
    if compiled:
        one = trainings["float32"]
        theirs["compiled"] = _torch_speed(one.model, one.batch_size, clipnorm, compiled=True)
    with closing(**trainings, **theirs) as cases:
        found = by_turns(cases, ROUNDS)
    rows = []
    for dtype in PRECISIONS:
        gain = ratios(found[dtype], found[f"torch {dtype}"])
        rows += [
            row(f"{slug}, {dtype}: PyTorch", found[f"torch {dtype}"], "images/s"),
            row(f"{slug}, {dtype}: ours against PyTorch", gain, "×", target=1.0, required=True),
        ]
    if compiled:
        gain = ratios(found["compiled"], found["torch float32"])
        rows.append(row(f"{slug}, float32: torch.compile against PyTorch without it", gain, "×"))
    print(*(f"{r['case']}: {r['figure']:.3g} {r['unit']}" for r in rows), sep="\n", flush=True)
    return rows


def torch_network(model: keras.Model):
    """Returns the same network as PyTorch modules, with the same weights."""
    import torch
    from torch import nn

    modules, shape = [], model.input_shape
    for layer in model.layers[1:]:
        kind, config = type(layer).__name__, layer.get_config()
        weights = [torch.from_numpy(np.array(value)) for value in layer.get_weights()]
        if kind == "Conv2D":
            module = nn.Conv2d(shape[-1], config["filters"], 3, padding="same")
            kernel, bias = weights
            module.weight.data, module.bias.data = kernel.permute(3, 2, 0, 1), bias
        elif kind == "Dense":
            module = nn.Linear(shape[-1], config["units"])
            kernel, bias = weights
            module.weight.data, module.bias.data = kernel.T.contiguous(), bias
        elif kind == "BatchNormalization":
            made = nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d
            module = made(shape[-1], eps=config["epsilon"], momentum=1 - config["momentum"])
            module.weight.data, module.bias.data = weights[:2]
            module.running_mean.data, module.running_var.data = weights[2:]
        elif kind == "Flatten":
            module = _Flatten()
        else:
            module = {"MaxPooling2D": nn.MaxPool2d(2), "Dropout": nn.Dropout(0.25)}[kind]
        modules.append(module)
        if config.get("activation") == "relu":
            modules.append(nn.ReLU(inplace=True))
        if not layer.trainable:
            module.requires_grad_(False)
        shape = layer.output.shape
    return nn.Sequential(*modules).to(memory_format=torch.channels_last)


def _Flatten():  # noqa: N802 - a class that exists only where PyTorch does
    from torch import nn

    class Flatten(nn.Module):
        """Flattens maps as Keras does, channels last; here that is no copy."""

        def forward(self, x):
            return x.permute(0, 2, 3, 1).flatten(1)

    return Flatten()


def _torch_speed(
    model: keras.Model,
    batch_size: int,
    clipnorm: float,
    dtype: str = "float32",
    *,
    compiled: bool = False,
    seconds: float = 0.5,
) -> Callable[[], float]:
    """Returns a case: images/s of the same network in PyTorch."""
    import torch

    network = torch_network(model).train()
    trainable = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trainable, lr=1e-5, eps=1e-7, fused=True)
    loss_of = torch.nn.CrossEntropyLoss()
    x, y = noise(batch_size, model.input_shape[1])
    x = torch.from_numpy(inputs.scale(x)).permute(0, 3, 1, 2)  # channels last in memory
    y = torch.from_numpy(y)
    forward = torch.compile(network) if compiled else network

    def speed(steps: int) -> float:
        began = time.perf_counter()
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == "bfloat16"):
                loss = loss_of(forward(x), y)
            loss.backward()
            if clipnorm:
                for parameter in trainable:
                    torch.nn.utils.clip_grad_norm_(parameter, clipnorm)
            optimizer.step()
            loss.item()
        return steps * batch_size / (time.perf_counter() - began)

    speed(2)
    steps = max(1, round(seconds * speed(2) / batch_size))
    return lambda: speed(steps)
