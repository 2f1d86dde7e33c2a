"""Trains with the library's own Keras wrapper, in a process of its own: it needs Keras 2.

``TF_USE_LEGACY_KERAS=1 python tests/nsl_wrapper.py TASK.npz RESULT.npz``; the task holds batches, initial weights and
options, the result the losses and the weights.
"""

import json
import sys
from typing import Any

import numpy as np

from advcli.backend import neural_structured_learning, tf


def network(layers: Any, models: Any, batchnorm: bool) -> Any:
    """Build the network that both sides train, of the layers of either Keras: logits of 3 classes of 12 x 12 images."""
    inputs = x = layers.Input((12, 12, 3), name="image")
    # BatchNorm takes a bias before it away again, so that it would not be trained.
    x = layers.Conv2D(6, 3, use_bias=not batchnorm, name="first")(x)
    if batchnorm:
        x = layers.BatchNormalization(name="normalised")(x)
    x = layers.ReLU(name="rectified")(x)
    x = layers.Conv2D(8, 3, strides=2, name="second")(x)
    x = layers.ReLU(name="rectified_again")(x)
    x = layers.Flatten(name="flat")(x)
    return models.Model(inputs, layers.Dense(3, name="logits")(x))


def train(options: dict[str, Any], batchnorm: bool, weights: list[np.ndarray], task: Any) -> tuple[Any, Any]:
    nsl = neural_structured_learning()
    clip = options.pop("clip")
    # A number in place of the dictionary would be ignored.
    bounds = {"clip_value_min": {"image": 0.0}, "clip_value_max": {"image": 1.0}} if clip else {}
    model = network(tf.keras.layers, tf.keras.models, batchnorm)
    model.set_weights(weights)
    wrapper = nsl.keras.AdversarialRegularization(
        model, label_keys=["label"], adv_config=nsl.configs.make_adv_reg_config(**options, **bounds)
    )
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    wrapper.compile(optimizer=tf.keras.optimizers.SGD(0.05, momentum=0.9), loss=loss)
    losses = [
        wrapper.train_on_batch({"image": images, "label": labels}, return_dict=True)["loss"]
        for images, labels in zip(task["images"], task["labels"], strict=True)
    ]
    return losses, model.get_weights()


def main() -> None:
    task, results = np.load(sys.argv[1]), {}
    assert "tf_keras" in tf.keras.Model.__module__, "TF_USE_LEGACY_KERAS is not set"
    for name, case in json.loads(str(task["cases"])).items():
        start = [task[f"{name}/{i}"] for i in range(case["weights"])]
        losses, weights = train(case["options"], case["batchnorm"], start, task)
        results[f"{name}/losses"] = losses
        results |= {f"{name}/{i}": weight for i, weight in enumerate(weights)}
    np.savez(sys.argv[2], **results)


if __name__ == "__main__":
    main()
