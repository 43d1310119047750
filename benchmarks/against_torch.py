"""Training speed, compared with PyTorch: same network, batch and optimizer.

PyTorch works on the same two cores, float32, `channels_last`, with its Adam (the best of its
implementations for a CPU, `fused=True`) and batches that are ready in memory; ours come through
the input pipeline, augmented from experiment 5 on. `pip install -r benchmarks/requirements.txt`
first.
"""

import sys
import time
from collections.abc import Callable

import numpy as np

from benchmarks._measure import Training, build, by_turns, closing, noise, ratios, row
from lib import inputs, training
from lib.engine import keras
from lib.study import SLUGS

# For GPUs only; where TensorFlow is loaded, it ends the process.
sys.modules.setdefault("triton", None)


def measure() -> list[dict]:
    """Returns images/s of PyTorch and our speed against it, per experiment."""
    rows = []
    for slug in SLUGS:
        keras.utils.clear_session()
        model, values = build(slug)
        batch_size, clipnorm = values["BATCH_SIZE"], values.get("CLIPNORM", 0.0)
        training.compile(model, learning_rate=1e-5, clipnorm=clipnorm)
        with closing(
            ours=Training(model, batch_size, augmented=values.get("AUGMENT", False)),
            torch=_torch_speed(model, batch_size, clipnorm),
        ) as cases:
            found = by_turns(cases, rounds=15)
        gain = ratios(found["ours"], found["torch"])
        rows += [
            row(f"{slug}: PyTorch", found["torch"], "images/s"),
            row(f"{slug}: ours against PyTorch", gain, "×", target=1.0),
        ]
        print(f"{rows[-1]['case']}: {rows[-1]['figure']:.3g} {rows[-1]['unit']}", flush=True)
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
    model: keras.Model, batch_size: int, clipnorm: float, seconds: float = 0.8
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

    def speed(steps: int) -> float:
        began = time.perf_counter()
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(network(x), y)
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
