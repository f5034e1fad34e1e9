"""Layer, what every layer of the mirror is, and the layers without a window: dense, flatten, dropout, batch
norm, activations.

Arrays are (N, width) or (N, C, *sizes) with one to three sizes. In the formulae x is the input, y the output,
L the loss, and `dx` stands for dL/dx, an array of the shape of x.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from neocog.errors import ShapeError

Array = npt.NDArray[Any]
Shape = tuple[int, ...]
"""Of one example, without the batch axis: (width,) or (C, *sizes)."""
Mode = Literal["training", "inference"]


class Layer:
    """One step of a network. `forward` keeps what `backward` needs, so that `backward` belongs to the latest
    `forward`.

    `parameters` are learnt; `gradients` holds dL/dp under the same names after `backward`; `buffers` are
    numbers that are kept with the weights, but not learnt. `l1` and `l2` are part of L: they add
    l1 sum |W| + l2 sum W^2 of the layer's weight W.
    """

    l1: float = 0.0
    l2: float = 0.0

    def __init__(self) -> None:
        self.parameters: dict[str, Array] = {}
        self.gradients: dict[str, Array] = {}
        self.buffers: dict[str, Array] = {}

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of one output for one input of `shape`; `ShapeError` where there is none."""
        return shape

    def forward(self, x: Array, mode: Mode) -> Array:
        """y for a batch x."""
        raise NotImplementedError

    def backward(self, dy: Array) -> Array:
        """dx for dy; fills `gradients`."""
        raise NotImplementedError

    def pull(self) -> Array:
        """d(l1 sum |W| + l2 sum W^2)/dW = l1 sign(W) + 2 l2 W."""
        weight = self.parameters["weight"]
        return np.asarray(self.l1 * np.sign(weight) + 2 * self.l2 * weight)


class Dense(Layer):
    """y = x W^T + b: (N, inputs) -> (N, units), with W (units, inputs) and b (units,)."""

    def __init__(self, inputs: int, units: int, *, bias: bool = True) -> None:
        super().__init__()
        self.parameters["weight"] = np.zeros((units, inputs))
        if bias:
            self.parameters["bias"] = np.zeros(units)

    def output_shape(self, shape: Shape) -> Shape:
        return self.parameters["weight"].shape[:1]

    def forward(self, x: Array, mode: Mode) -> Array:
        self.x = x
        y = x @ self.parameters["weight"].T
        return y + self.parameters["bias"] if "bias" in self.parameters else y

    def backward(self, dy: Array) -> Array:
        """dW = dy^T x, db = sum of dy over the batch, dx = dy W."""
        self.gradients["weight"] = dy.T @ self.x + self.pull()
        if "bias" in self.parameters:
            self.gradients["bias"] = dy.sum(axis=0)
        return np.asarray(dy @ self.parameters["weight"])


class Flatten(Layer):
    """(N, C, *sizes) -> (N, C * sizes): the numbers of an example in a row."""

    def output_shape(self, shape: Shape) -> Shape:
        return (int(np.prod(shape)),)

    def forward(self, x: Array, mode: Mode) -> Array:
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dy: Array) -> Array:
        return dy.reshape(self.shape)


class Dropout(Layer):
    """Training: y = x m / (1 - rate), each m 0 with probability `rate`, else 1 (Srivastava et al. 2014).
    Inference: y = x.

    The masks are drawn from `generator`; the latest is `mask`, m / (1 - rate).
    """

    def __init__(self, rate: float, generator: np.random.Generator) -> None:
        super().__init__()
        self.rate, self.generator = rate, generator

    def forward(self, x: Array, mode: Mode) -> Array:
        self.mask = np.ones_like(x)
        if mode == "training":
            kept = self.generator.random(x.shape) >= self.rate
            self.mask = kept.astype(x.dtype) / (1 - self.rate)
        return x * self.mask

    def backward(self, dy: Array) -> Array:
        """dx = dy m / (1 - rate)."""
        return dy * self.mask


class BatchNorm(Layer):
    """y = g z + b with z = (x - mean) / sqrt(var + eps), channel by channel (Ioffe & Szegedy 2015).

    In training mean and var are those of the batch, over every axis but the channels' (axis 1), var divided
    by the count n. Inference uses running values; each training step moves them to momentum * running +
    (1 - momentum) * batch, with var divided by n - 1. `momentum` is Keras', g is `weight`, b is `bias`.
    """

    def __init__(self, channels: int, *, momentum: float = 0.99, eps: float = 1e-3) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.parameters |= {"weight": np.ones(channels), "bias": np.zeros(channels)}
        self.buffers |= {"running_mean": np.zeros(channels), "running_var": np.ones(channels)}
        self.buffers["num_batches_tracked"] = np.array(0)

    def forward(self, x: Array, mode: Mode) -> Array:
        self.mode = mode
        self.axes = (0, *range(2, x.ndim))
        mean, var = self.buffers["running_mean"], self.buffers["running_var"]
        if mode == "training":
            if x.size == x.shape[1]:
                raise ShapeError("batch norm: one number a channel has no variance; train on two or more")
            mean, var = x.mean(self.axes), x.var(self.axes)
            self._remember(mean, var, x.size // x.shape[1])
        self.scale = 1 / np.sqrt(var + self.eps)
        self.z = (x - per_channel(mean, x)) * per_channel(self.scale, x)
        g, b = self.parameters["weight"], self.parameters["bias"]
        return np.asarray(per_channel(g, x) * self.z + per_channel(b, x))

    def _remember(self, mean: Array, var: Array, n: int) -> None:
        batch = {"running_mean": mean, "running_var": var * (n / (n - 1))}
        for name, value in batch.items():
            self.buffers[name] = self.momentum * self.buffers[name] + (1 - self.momentum) * value
        self.buffers["num_batches_tracked"] = self.buffers["num_batches_tracked"] + 1

    def backward(self, dy: Array) -> Array:
        """dg = sum of dy z, db = sum of dy. Inference: dx = dy g / sqrt(var + eps).

        Training, where mean and var depend on x too: dx = g / sqrt(var + eps) (dy - mean(dy) - z mean(dy z)).
        """
        self.gradients["weight"] = (dy * self.z).sum(self.axes)
        self.gradients["bias"] = dy.sum(self.axes)
        factor = per_channel(self.parameters["weight"] * self.scale, dy)
        if self.mode == "inference":
            return np.asarray(factor * dy)
        n = dy.size // dy.shape[1]
        mean_dy = per_channel(self.gradients["bias"] / n, dy)
        mean_dy_z = per_channel(self.gradients["weight"] / n, dy)
        return np.asarray(factor * (dy - mean_dy - self.z * mean_dy_z))


def per_channel(values: Array, like: Array) -> Array:
    """(C,) as (1, C, 1, ...), so that it meets the channels of `like`."""
    return values.reshape(1, -1, *(1,) * (like.ndim - 2))


class ReLU(Layer):
    """y = max(x, 0); dx = dy where x > 0, else 0."""

    def forward(self, x: Array, mode: Mode) -> Array:
        self.open = x > 0
        return np.asarray(np.maximum(x, 0))

    def backward(self, dy: Array) -> Array:
        return dy * self.open


class Sigmoid(Layer):
    """y = 1 / (1 + exp(-x)); dx = dy y (1 - y)."""

    def forward(self, x: Array, mode: Mode) -> Array:
        self.y: Array = (1 + np.tanh(x / 2)) / 2  # the same number, and exp cannot overflow
        return self.y

    def backward(self, dy: Array) -> Array:
        return np.asarray(dy * self.y * (1 - self.y))


class Tanh(Layer):
    """y = tanh(x); dx = dy (1 - y^2)."""

    def forward(self, x: Array, mode: Mode) -> Array:
        self.y = np.tanh(x)
        return self.y

    def backward(self, dy: Array) -> Array:
        return np.asarray(dy * (1 - self.y**2))


class Softmax(Layer):
    """y_i = exp(x_i) / sum_j exp(x_j) along axis 1; dx_i = y_i (dy_i - sum_j dy_j y_j)."""

    def forward(self, x: Array, mode: Mode) -> Array:
        e: Array = np.exp(x - x.max(axis=1, keepdims=True))  # the largest becomes 0: exp cannot overflow
        self.y = np.asarray(e / e.sum(axis=1, keepdims=True))
        return self.y

    def backward(self, dy: Array) -> Array:
        return np.asarray(self.y * (dy - (dy * self.y).sum(axis=1, keepdims=True)))


ACTIVATIONS: dict[str, type[Layer]] = {"relu": ReLU, "sigmoid": Sigmoid, "tanh": Tanh, "softmax": Softmax}
