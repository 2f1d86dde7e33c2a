"""A plain convolutional network of about 0.2 million weights, for small images and quick trials.

It has no BatchNorm: adversarial regularization shows a network clean and perturbed batches in turn,
and moving statistics that mix the two fit neither.
"""

from dataclasses import dataclass
from pathlib import Path

from advcli.backbones import _options, _weights
from advcli.backend import KerasModel, keras
from advcli.errors import UsageError


@dataclass(frozen=True)
class Small:
    """Three convolutions, the first two of stride 2, and a linear layer on the whole last map.

    Args:
        width: channels of the first convolution; the later ones have two and four times as many.
    """

    width: int = 32

    def __post_init__(self) -> None:
        _options.check(self)
        if self.width < 1:
            raise UsageError(f"width is at least 1, not {self.width}")

    def resolved(self, edge: int) -> dict[str, object]:
        """Return the options: none depends on the input size."""
        return _options.resolved(self, edge)

    def __call__(self, classes: int | None, edge: int, channels: int, weights: str | Path | None) -> KerasModel:
        """Build the network: (N, edge, edge, channels) in [0, 1] -> (N, classes) logits."""
        file = _weights.find_weights("small", weights)
        size = _weights.own_head("small", classes, file)
        inputs = x = keras.Input((edge, edge, channels), name="image")
        for i, (kernel, stride) in enumerate(((5, 2), (3, 2), (3, 1))):
            layer = keras.layers.Conv2D(
                self.width * 2**i, kernel, stride, padding="same", kernel_initializer="he_normal", name=f"conv{i}"
            )
            x = keras.layers.ReLU(name=f"relu{i}")(layer(x))
        x = keras.layers.Flatten(name="flatten")(x)
        logits = keras.layers.Dense(size, dtype="float32", name="logits")(x)
        model = keras.Model(inputs, logits, name="small")
        return _weights.load_weights(model, file, new_head=classes is not None)


COMPONENT = Small
