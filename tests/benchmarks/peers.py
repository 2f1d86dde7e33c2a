"""What other libraries need to attack the network that advcli attacks.

One function a library; each returns a search, (N, H, W, C) in [0, 1] and (N,) labels -> (N, H, W, C).
All are set to the same fixed budget: a random start in the ball, then every step, whether or not an
image is broken by then. Tried with Foolbox 3.3.4, the Adversarial Robustness Toolbox 1.20.1,
CleverHans 4.0.0 and torchattacks 3.5.1 on TensorFlow 2.21, Keras 3.15 and PyTorch 2.15.
"""

# The other libraries are installed for a comparison only.
# pyright: reportMissingImports=false, reportPrivateImportUsage=false

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from advcli.backend import tf
from advcli.threat.threat import Norm

Search = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Budget:
    """How far and how long a search goes.

    Args:
        eps: radius of the L-inf ball.
        step: length of a step, in the same unit.
        steps: number of steps.
    """

    eps: float
    step: float
    steps: int


def traced(model: Any) -> Callable[..., Any]:
    """Make a Keras model one graph, which a library that calls it eagerly then runs as a whole."""
    forward = tf.function(
        lambda images: model(images, training=False),
        input_signature=[tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)],
    )
    # ART gives `training` by keyword, Foolbox does not give it.
    return lambda images, training=False: forward(images)


def foolbox_pgd(model: Callable[..., Any], budget: Budget) -> Search:
    """PGD of Foolbox on a Keras model or a callable."""
    from foolbox import TensorFlowModel
    from foolbox.attacks import LinfPGD

    wrapped = TensorFlowModel(model, bounds=(0, 1))
    attack = LinfPGD(abs_stepsize=budget.step, steps=budget.steps, random_start=True)

    def search(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        # EagerPy 0.30 calls a function that NumPy 2 dropped, unless labels are of argmax's own type.
        _, clipped, _ = attack(wrapped, tf.constant(images), tf.constant(labels, tf.int64), epsilons=budget.eps)
        return clipped.numpy()

    return search


def art_pgd(model: Callable[..., Any], budget: Budget, shape: tuple[int, ...], classes: int) -> Search:
    """PGD of the Adversarial Robustness Toolbox, which takes its TensorFlow implementation for this classifier."""
    from art.attacks.evasion import ProjectedGradientDescent

    estimator = _art_classifier(model, shape, classes)

    def search(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        attack = ProjectedGradientDescent(
            estimator,
            eps=budget.eps,
            eps_step=budget.step,
            max_iter=budget.steps,
            num_random_init=1,
            batch_size=len(images),
            verbose=False,
        )
        return attack.generate(images, labels)

    return search


def foolbox_minimum_norm(model: Callable[..., Any], norm: Norm) -> Iterator[tuple[str, Search]]:
    """The minimum-norm attacks of Foolbox, with its defaults but for the number of steps, in an unbounded ball."""
    from foolbox import attacks

    if norm is Norm.L2:
        found = {
            "deepfool": attacks.L2DeepFoolAttack(),
            # The projection of its L2 FMN does nothing in 3.3.4.
            "fmn": attacks.L2FMNAttack(steps=1000),
            "ddn": attacks.DDNAttack(steps=1000),
            "cw": attacks.L2CarliniWagnerAttack(steps=1000),
            "brendel-bethge": attacks.L2BrendelBethgeAttack(init_attack=attacks.DDNAttack(steps=300)),
        }
    else:
        found = {
            "deepfool": attacks.LinfDeepFoolAttack(),
            "fmn": attacks.LInfFMNAttack(steps=1000),
            "brendel-bethge": attacks.LinfinityBrendelBethgeAttack(init_attack=attacks.LInfFMNAttack(steps=300)),
        }
    for name, attack in found.items():
        yield f"foolbox {name}", _in_foolbox(model, attack)


def _in_foolbox(model: Callable[..., Any], attack: Any) -> Search:
    from foolbox import TensorFlowModel

    wrapped = TensorFlowModel(model, bounds=(0, 1))

    def search(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        # EagerPy 0.30 calls a function that NumPy 2 dropped, unless labels are of argmax's own type.
        points, _, _ = attack(wrapped, tf.constant(images), tf.constant(labels, tf.int64), epsilons=None)
        return points.numpy()

    return search


def art_minimum_norm(
    model: Callable[..., Any], norm: Norm, shape: tuple[int, ...], classes: int
) -> Iterator[tuple[str, Search]]:
    """The minimum-norm attacks of the Adversarial Robustness Toolbox, which measure in l2 or in l-inf."""
    from art.attacks.evasion import CarliniL2Method, CarliniLInfMethod, DeepFool

    estimator = _art_classifier(model, shape, classes)
    many = {"classifier": estimator, "batch_size": 64, "verbose": False}
    if norm is Norm.L2:
        found = {
            "deepfool": DeepFool(epsilon=0.02, **many),
            "cw": CarliniL2Method(max_iter=1000, binary_search_steps=9, **many),
        }
    else:
        found = {"cw-linf": CarliniLInfMethod(**many)}
    for name, attack in found.items():
        yield f"art {name}", lambda images, labels, attack=attack: attack.generate(images, labels)


def _art_classifier(model: Callable[..., Any], shape: tuple[int, ...], classes: int) -> Any:
    from art.estimators.classification import TensorFlowV2Classifier

    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return TensorFlowV2Classifier(
        model=model, nb_classes=classes, input_shape=shape, loss_object=loss, clip_values=(0.0, 1.0)
    )


def cleverhans_pgd(model: Any, budget: Budget) -> Search:
    """PGD of CleverHans, which traces the gradient itself."""
    from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

    def logits(images: Any) -> Any:
        return model(images, training=False)

    def search(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        found = projected_gradient_descent(
            logits,
            tf.constant(images),
            budget.eps,
            budget.step,
            budget.steps,
            np.inf,
            clip_min=0.0,
            clip_max=1.0,
            y=tf.constant(labels, tf.int32),
            rand_init=True,
        )
        return found.numpy()

    return search


def torchattacks_parts(network: Any, eps: float, steps: int, queries: int, classes: int) -> Mapping[str, Search]:
    """AutoAttack's four parts in torchattacks; its AutoAttack would give them 10 steps, not the published 100."""
    import torchattacks

    many = {"norm": "Linf", "eps": eps, "seed": 0, "n_restarts": 1}
    attacks = {
        "apgd-ce": torchattacks.APGD(network, loss="ce", steps=steps, **many),
        "apgd-t": torchattacks.APGDT(network, steps=steps, n_classes=classes, **many),
        "fab-t": torchattacks.FAB(network, steps=steps, multi_targeted=True, n_classes=classes, **many),
        "square": torchattacks.Square(network, n_queries=queries, **many),
    }
    return {name: _in_torch(attack) for name, attack in attacks.items()}


def _in_torch(attack: Callable[..., Any]) -> Search:
    def search(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return images_of(attack(tensor_of(images), _torch().tensor(labels, dtype=_torch().int64)))

    return search


def tensor_of(images: np.ndarray) -> Any:
    """Channels first, as PyTorch has them: (N, H, W, C) -> (N, C, H, W)."""
    return _torch().from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32))


def images_of(tensor: Any) -> np.ndarray:
    """Channels last, as TensorFlow has them: (N, C, H, W) -> (N, H, W, C)."""
    return np.ascontiguousarray(tensor.detach().numpy().transpose(0, 2, 3, 1))


def torch_logits(network: Any, images: np.ndarray) -> np.ndarray:
    """Classify images with a PyTorch network: (N, H, W, C) -> (N, K)."""
    with _torch().no_grad():
        return network(tensor_of(images)).numpy()


def torch_twin(model: Any) -> Any:
    """Make the PyTorch network that computes what a small Keras Sequential does.

    Raises:
        ValueError: it has a layer that is not known here.
    """
    modules = [module for layer in model.layers for module in _converted(layer)]
    # No gradients for the weights: `backward` would compute them for nothing.
    return _torch().nn.Sequential(*modules).eval().requires_grad_(False)


def _converted(layer: Any) -> list[Any]:
    kind = type(layer).__name__
    nn = _torch().nn
    if kind in ("InputLayer", "Dropout"):
        return []
    if kind == "Flatten":
        return [nn.Flatten()]
    if kind == "ReLU":
        return [nn.ReLU()]
    if kind == "MaxPooling2D" and layer.padding == "valid":
        return [nn.MaxPool2d(layer.pool_size, layer.strides)]
    if kind == "Conv2D":
        return [*_convolution(layer), *_activation(layer)]
    if kind == "Dense":
        return [_dense(layer), *_activation(layer)]
    raise ValueError(f"no PyTorch twin for the layer {layer.name} ({kind})")


def _convolution(layer: Any) -> list[Any]:
    torch = _torch()
    kernel, bias = layer.get_weights()
    top, bottom, left, right = _paddings(layer)
    symmetric = (top, left) == (bottom, right)
    convolution = torch.nn.Conv2d(
        kernel.shape[2], kernel.shape[3], layer.kernel_size, layer.strides, padding=(top, left) if symmetric else 0
    )
    convolution.weight.data = torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)))
    convolution.bias.data = torch.from_numpy(bias)
    return [convolution] if symmetric else [torch.nn.ZeroPad2d((left, right, top, bottom)), convolution]


def _paddings(layer: Any) -> tuple[int, int, int, int]:
    """TensorFlow's `same` depends on the size and puts the odd pixel after: -> top, bottom, left, right."""
    if layer.padding == "valid":
        return 0, 0, 0, 0
    sizes = zip(layer.input.shape[1:3], layer.kernel_size, layer.strides, strict=True)
    totals = [max((math.ceil(size / stride) - 1) * stride + kernel - size, 0) for size, kernel, stride in sizes]
    (top, bottom), (left, right) = ((total // 2, total - total // 2) for total in totals)
    return top, bottom, left, right


def _dense(layer: Any) -> Any:
    torch = _torch()
    kernel, bias = layer.get_weights()
    shape = _flattened_shape(layer)
    if shape is not None:
        # Keras flattens channels last, PyTorch channels first: the rows of the kernel change places instead.
        kernel = kernel.reshape(*shape, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
    dense = torch.nn.Linear(*kernel.shape)
    dense.weight.data = torch.from_numpy(np.ascontiguousarray(kernel.T))
    dense.bias.data = torch.from_numpy(bias)
    return dense


def _flattened_shape(layer: Any) -> tuple[int, ...] | None:
    """Return (H, W, C) of what a Flatten before this layer flattened, looking through Dropout."""
    before = layer.input._keras_history.operation
    while type(before).__name__ == "Dropout":
        before = before.input._keras_history.operation
    return tuple(before.input.shape[1:]) if type(before).__name__ == "Flatten" else None


def _activation(layer: Any) -> list[Any]:
    name = layer.activation.__name__
    if name not in ("relu", "linear"):
        raise ValueError(f"no PyTorch twin for the activation {name} of {layer.name}")
    return [_torch().nn.ReLU()] if name == "relu" else []


def _torch() -> Any:
    warnings.filterwarnings("ignore", message="CUDA initialization")
    import torch

    return torch
