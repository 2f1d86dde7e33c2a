"""Adam whose steps are relative to the size of each filter.

Kingma and Ba 2015, https://arxiv.org/abs/1412.6980; the scale of a step by the root mean square of what it moves:
Shazeer and Stern 2018, https://arxiv.org/abs/1804.04235, section 8, and Yao et al. 2024,
https://arxiv.org/abs/2310.11230
"""

from collections.abc import Mapping, Sequence

from advcli.backend import KerasModel, Optimizer, Tensor, Variable, keras, tf

# A filter of zeros moves, too.
_LEAST_FILTER = 1e-5
_LEAST_VECTOR = 1e-3

_DEPTHWISE = (0, 1)


def filter_axes(model: KerasModel) -> dict[str, tuple[int, ...]]:
    """Return the axes that one filter of each depthwise kernel covers, by the path of the kernel.

    The filters of all other kernels cover all axes but the last.
    """
    found = {}
    for layer in model._flatten_layers(include_self=False, recursive=True):
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            found[layer.kernel.path] = _DEPTHWISE
        elif isinstance(layer, keras.layers.SeparableConv2D):
            found[layer.depthwise_kernel.path] = _DEPTHWISE
    return found


def make_scaled_adam(learning_rate: float, weight_decay: float, axes: Mapping[str, Sequence[int]]) -> Optimizer:
    """Return an optimizer that takes ``w <- w - rate * rms(w) * m / (sqrt(v) + epsilon)``.

    m and v are Adam's corrected moments; rms is the root mean square of one filter of a kernel, and of a whole bias,
    scale or shift. A rate of 0.001 thus moves each filter by about a thousandth of itself, however the weights are
    scaled, where Adam moves every weight by the same length.

    Args:
        learning_rate: the relative step.
        weight_decay: decoupled, as in AdamW.
        axes: of depthwise kernels, by ``filter_axes``.
    """

    class ScaledAdam(keras.optimizers.Adam):
        """The optimizer; its state is Adam's."""

        def build(self, variables: Sequence[Variable]) -> None:
            """Make the state of all variables."""
            super().build(variables)
            self._axes = [axes.get(variable.path) for variable in variables]

        def update_step(self, gradient: Tensor, variable: Variable, learning_rate: Tensor) -> None:
            """Take one step of one variable."""
            rate = tf.cast(learning_rate, variable.dtype)
            value = tf.convert_to_tensor(variable)
            before = tf.identity(value)
            # Adam's own step of length one, to be scaled.
            super().update_step(gradient, variable, tf.ones_like(rate))
            step = before - tf.convert_to_tensor(variable)
            variable.assign(before - rate * _scale(before, self._axes[self._get_variable_index(variable)]) * step)

    return ScaledAdam(learning_rate, weight_decay=weight_decay)


def _scale(weight: Tensor, axes: Sequence[int] | None) -> Tensor:
    """Return the root mean square of each filter: (..., F) -> (1, ..., F), or a scalar for a vector."""
    vector = weight.shape.rank < 2
    if axes is None:
        axes = tuple(range(1 if vector else weight.shape.rank - 1))
    size = tf.sqrt(tf.reduce_mean(tf.square(weight), axis=axes, keepdims=not vector))
    return tf.maximum(size, _LEAST_VECTOR if vector else _LEAST_FILTER)
