"""Keras' layers and optimizer with the same mathematics and other TensorFlow operations.

Each class does the same as Keras' class of its name. In some experiments it is faster on a CPU
(`benchmarks.fast_layers` measures each). On a GPU they are Keras' own classes.
"""

from lib.engine import keras, tf


class Conv2D(keras.layers.Conv2D):
    """Keras' Conv2D, with matrix products where those are faster for a 3×3 kernel.

    On maps of 2×2 pixels the convolution is one dense product: with padding only 16 of the 36
    products per pair of channels fall inside such a map. In bfloat16 oneDNN is slow at the kernel's
    gradient on maps of up to 8×8 pixels. With 128 channels or more it is a dense product instead.
    """

    def convolution_op(self, inputs, kernel):
        plain = self.strides == self.dilation_rate == (1, 1) and self.groups == 1
        if plain and self.kernel_size == (3, 3) and self.padding == "same":
            height, width, channels = inputs.shape[1:]
            if (height, width) == (2, 2):
                return _convolve_2x2(inputs, tf.convert_to_tensor(kernel))
            if inputs.dtype == tf.bfloat16 and max(height, width) <= 8 and channels >= 128:
                return _convolve(inputs, tf.convert_to_tensor(kernel))
        return super().convolution_op(inputs, kernel)


@tf.custom_gradient
def _convolve(maps, kernel):
    """Convolves as Keras does, except for the kernel's gradient: one product of all neighbors."""
    height, width, channels = maps.shape[1:]
    how = {"strides": [1, 1, 1, 1], "padding": "SAME"}

    def gradient(upstream):
        padded = tf.pad(maps, [[0, 0], [1, 1], [1, 1], [0, 0]])
        corners = [(row, column) for row in range(3) for column in range(3)]
        neighbors = tf.concat([padded[:, y : y + height, x : x + width] for y, x in corners], -1)
        kernel_gradient = tf.matmul(
            tf.reshape(neighbors, (-1, 9 * channels)),
            tf.reshape(upstream, (-1, kernel.shape[-1])),
            transpose_a=True,
        )
        return (
            tf.nn.conv2d_transpose(upstream, kernel, tf.shape(maps), **how),
            tf.reshape(kernel_gradient, kernel.shape),
        )

    return tf.nn.conv2d(maps, kernel, **how), gradient


_PIXELS = [(row, column) for row in (0, 1) for column in (0, 1)]


@tf.custom_gradient
def _convolve_2x2(maps, kernel):
    """Convolves maps (n, 2, 2, c) with a kernel (3, 3, c, filters), same padding."""
    channels, filters = kernel.shape[2:]

    def tap(pixel, target):  # where the kernel, centered on target, meets pixel
        return pixel[0] - target[0] + 1, pixel[1] - target[1] + 1

    matrix = tf.concat(
        [tf.concat([kernel[tap(p, t)] for t in _PIXELS], axis=1) for p in _PIXELS], axis=0
    )
    flat = tf.reshape(maps, (-1, 4 * channels))

    def gradient(upstream):
        flat_upstream = tf.reshape(upstream, (-1, 4 * filters))
        kernel_gradient = []
        for at in [(row, column) for row in range(3) for column in range(3)]:
            pairs = [(p, t) for p in _PIXELS for t in _PIXELS if tap(p, t) == at]
            seen = tf.concat([maps[:, p[0], p[1]] for p, _ in pairs], axis=0)
            wanted = tf.concat([upstream[:, t[0], t[1]] for _, t in pairs], axis=0)
            kernel_gradient.append(tf.matmul(seen, wanted, transpose_a=True))
        return (
            tf.reshape(tf.matmul(flat_upstream, matrix, transpose_b=True), tf.shape(maps)),
            tf.reshape(tf.stack(kernel_gradient), kernel.shape),
        )

    return tf.reshape(tf.matmul(flat, matrix), (-1, 2, 2, filters)), gradient


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' BatchNormalization with TensorFlow's fused kernel for training on feature maps.

    Keras composes it of moments and arithmetic. Variables and moving averages are the same.
    """

    def call(self, inputs, training=None, mask=None):
        if not (training and self.trainable and len(inputs.shape) == 4 and mask is None):
            return super().call(inputs, training=training, mask=mask)
        scale = self.gamma if self.scale else tf.ones_like(self.moving_variance)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, scale, self.beta, epsilon=self.epsilon, is_training=True
        )
        # The kernel's variance is that of a sample, n - 1 in its denominator; Keras keeps n's.
        count = tf.cast(tf.size(inputs) / inputs.shape[-1], variance.dtype)
        for moving, now in (
            (self.moving_mean, mean),
            (self.moving_variance, variance * (count - 1) / count),
        ):
            moving.assign(moving * self.momentum + now * (1 - self.momentum))
        return outputs


class Adam(keras.optimizers.Adam):
    """Keras' Adam with TensorFlow's fused kernel: one pass over each variable."""

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )

    def _clip_by_norm(self, values, axes=None):
        norm = tf.sqrt(2 * tf.nn.l2_loss(values))
        return values * (self.clipnorm / tf.maximum(norm, self.clipnorm))


def plain(layer: keras.Layer) -> keras.Layer:
    """Returns a layer as one of Keras' own class, in float32; a new one has no weights."""
    ours = type(layer).__module__ == __name__
    policy = getattr(layer, "dtype_policy", None)  # an operation such as ``2 * x`` has none
    if not ours and (policy is None or policy.name == "float32"):
        return layer
    kind = getattr(keras.layers, type(layer).__name__) if ours else type(layer)
    return kind.from_config(layer.get_config() | {"dtype": "float32"})


if tf.config.list_physical_devices("GPU"):
    Conv2D, BatchNormalization = keras.layers.Conv2D, keras.layers.BatchNormalization
    Adam = keras.optimizers.Adam
