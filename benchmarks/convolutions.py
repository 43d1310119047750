"""Speed of several ways to compute a 3×3 convolution, forward and backward.

`TensorFlow` is `tf.nn.conv2d`. `matrix` (2×2 maps only) and `patches`, which copies the nine
neighbors of each pixel and multiplies once, are those of `lib.engine.fast_layers`. `Winograd` is
F(4×4, 3×3), or F(2×2, 3×3) on 2×2 maps, as in arXiv 1509.09308: a quarter (four ninths) of the
products, but transforms of maps and kernels. `slices` changes the kernel's gradient only: nine
matrix products of the padded maps, each shifted by a slice that copies nothing. Batches of 64
images, the channels of VGG16. At 4×4 it depends on the processor which way is the fastest: two were
tried.
"""

import time
from collections.abc import Callable

import numpy as np

from benchmarks._measure import by_turns, ratios, row
from lib.engine import fast_layers, tf

MAPS = ((2, 512), (4, 512), (8, 256), (8, 512), (16, 128), (32, 64))

USED = {2: "matrix", 4: "patches"}  # by `lib.engine.fast_layers`, for maps of this size

# Transforms of tiles, of kernels and of products, by size of the output tile.
WINOGRAD = {
    2: (
        [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
        [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]],
        [[1, 1, 1, 0], [0, 1, -1, -1]],
    ),
    4: (
        [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ],
        [
            [1 / 4, 0, 0],
            [-1 / 6, -1 / 6, -1 / 6],
            [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6],
            [1 / 24, -1 / 12, 1 / 6],
            [0, 0, 1],
        ],
        [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    ),
}


def tensorflow(maps, kernel):
    return tf.nn.conv2d(maps, kernel, strides=1, padding="SAME")


@tf.custom_gradient
def slices(maps, kernel):
    size, (channels, filters) = maps.shape[1], kernel.shape[2:]
    wide = size + 2
    padded = tf.reshape(tf.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0))), (-1, channels))
    count = padded.shape[0] - 2 * wide - 2  # the rest meets zeros only

    def gradient(upstream):
        wanted = tf.pad(upstream, ((0, 0), (0, 2), (0, 2), (0, 0)))
        wanted = tf.reshape(wanted, (-1, filters))[:count]
        shifts = [i * wide + j for i in range(3) for j in range(3)]
        taps = [tf.matmul(padded[s : s + count], wanted, transpose_a=True) for s in shifts]
        return (
            tf.nn.conv2d_transpose(upstream, kernel, tf.shape(maps), 1, "SAME"),
            tf.reshape(tf.stack(taps), kernel.shape),
        )

    return tensorflow(maps, kernel), gradient


def winograd(maps, kernel):
    size, (channels, filters) = maps.shape[1], kernel.shape[2:]
    tile = min(size, 4)
    of_tile, of_kernel, of_product = (np.array(m, "f4") for m in WINOGRAD[tile])
    tiles, wide = size // tile, tile + 2
    x = tf.pad(maps, ((0, 0), (1, tile - 1), (1, tile - 1), (0, 0)))
    x = tf.reshape(x, (-1, tiles + 1, tile, tiles + 1, tile, channels))
    x = tf.concat([x[:, :-1], x[:, 1:, :2]], axis=2)
    x = tf.concat([x[:, :, :, :-1], x[:, :, :, 1:, :2]], axis=4)
    x = tf.reshape(tf.transpose(x, (2, 4, 0, 1, 3, 5)), (wide**2, -1))
    x = tf.reshape(tf.matmul(np.kron(of_tile, of_tile), x), (wide**2, -1, channels))
    k = tf.matmul(np.kron(of_kernel, of_kernel), tf.reshape(kernel, (9, -1)))
    y = tf.matmul(x, tf.reshape(k, (wide**2, channels, filters)))
    y = tf.matmul(np.kron(of_product, of_product), tf.reshape(y, (wide**2, -1)))
    y = tf.reshape(y, (tile, tile, -1, tiles, tiles, filters))
    return tf.reshape(tf.transpose(y, (2, 3, 0, 4, 1, 5)), (-1, size, size, filters))


def measure() -> list[dict]:
    """Returns the speed of each way against TensorFlow's convolution, and its error."""
    rows = []
    for size, channels in MAPS:
        rng = np.random.default_rng(0)
        maps = tf.constant(rng.normal(size=(64, size, size, channels)).astype("f4"))
        kernel = tf.constant(rng.normal(0, 0.02, (3, 3, channels, channels)).astype("f4"))
        ways = {
            "TensorFlow": tensorflow,
            "patches": fast_layers._convolve_patches,
            "slices": slices,
            "Winograd": winograd,
        }
        if size == 2:
            ways["matrix"] = fast_layers._convolve_2x2
        reference = tensorflow(maps, kernel)
        found = by_turns({name: _case(way, maps, kernel) for name, way in ways.items()})
        for name, way in ways.items():
            case = f"{size}×{size}×{channels}: {name}"
            milliseconds = [1e3 * seconds for seconds in found[name]]
            rows.append(row(case, milliseconds, "ms", better="lower"))
            if name != "TensorFlow":
                error = tf.norm(way(maps, kernel) - reference) / tf.norm(reference)
                gain = ratios(found["TensorFlow"], found[name])
                target = 1.0 if name == USED.get(size) else None
                rows += [
                    row(f"{case} against TensorFlow", gain, "×", target=target),
                    row(f"{case}, relative error", float(error), "of the norm", better="lower"),
                ]
    return rows


def _case(way: Callable, maps, kernel) -> Callable[[], float]:
    @tf.function
    def step():
        with tf.GradientTape() as tape:
            tape.watch([maps, kernel])
            loss = tf.reduce_sum(way(maps, kernel) ** 2)
        return [tf.reduce_sum(gradient) for gradient in tape.gradient(loss, [maps, kernel])]

    def seconds() -> float:
        began = time.perf_counter()
        [value.numpy() for value in step()]
        return time.perf_counter() - began

    return seconds
