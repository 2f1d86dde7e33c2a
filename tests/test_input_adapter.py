"""Models of other inputs and outputs give the same scores through advcli as in plain Keras."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import foreign
from advcli import registry
from advcli.backend import keras
from advcli.errors import UsageError
from advcli.model.classifier import wrap
from advcli.search.compiled_attack import CompiledAttack
from advcli.threat.threat import Norm, Threat

SIDE = 8


def _classifier(shape: tuple[int, ...], dtype: str = "float32", first: Any = None) -> Any:
    keras.utils.set_random_seed(3)
    image = keras.Input(shape, dtype=dtype)
    start = [first] if first is not None else []
    scores = keras.layers.Dense(4, activation="softmax", kernel_initializer=keras.initializers.RandomNormal(stddev=0.5))
    return keras.Model(image, foreign.chain(image, [*start, keras.layers.Flatten(), scores]))


def _with_opacity(images: np.ndarray, white: float = 1.0) -> np.ndarray:
    return np.concatenate([images, np.full_like(images[..., :1], white)], axis=-1)


ADAPTED: dict[str, tuple[Callable[[], Any], tuple[float, float], int, Callable[[np.ndarray], np.ndarray], str]] = {
    "channels first": (
        lambda: _classifier((3, SIDE, SIDE)),
        (0.0, 1.0),
        3,
        lambda images: images.transpose(0, 3, 1, 2),
        "takes channels first",
    ),
    "opacity": (lambda: _classifier((SIDE, SIDE, 4)), (0.0, 1.0), 3, _with_opacity, "takes four channels"),
    "opacity of bytes": (
        lambda: _classifier((SIDE, SIDE, 4), first=keras.layers.Rescaling(1 / 255)),
        (0.0, 255.0),
        3,
        lambda images: _with_opacity(images * 255, 255.0),
        "takes four channels",
    ),
    "grey without a channel": (
        lambda: _classifier((SIDE, SIDE)),
        (0.0, 1.0),
        1,
        lambda images: images[..., 0],
        "takes 8 x 8 numbers",
    ),
    "grey vector": (
        lambda: _classifier((SIDE * SIDE,)),
        (0.0, 1.0),
        1,
        lambda images: images.reshape(-1, SIDE * SIDE),
        "takes 64 numbers: images of 8 x 8",
    ),
    "vector": (
        lambda: _classifier((3 * SIDE * SIDE,)),
        (0.0, 1.0),
        3,
        lambda images: images.reshape(-1, 3 * SIDE * SIDE),
        "takes 192 numbers: images of 8 x 8",
    ),
    "bytes": (
        lambda: _classifier((SIDE, SIDE, 3), "uint8", keras.layers.Rescaling(1 / 255)),
        (0.0, 255.0),
        3,
        lambda images: (images * 255).round().astype(np.uint8),
        "takes integers (uint8): pixels are rounded for it, and gradients pass",
    ),
    "integers": (
        lambda: _classifier((SIDE, SIDE, 1), "int32", keras.layers.Rescaling(1 / 127.5, -1)),
        (0.0, 255.0),
        1,
        lambda images: (images * 255).round().astype(np.int32),
        "takes integers (int32)",
    ),
    "half precision": (
        lambda: _classifier((SIDE, SIDE, 3), "float16"),
        (0.0, 1.0),
        3,
        lambda images: images.astype(np.float16),
        "",
    ),
}


@pytest.mark.parametrize("kind", ADAPTED)
def test_the_scores_are_those_of_plain_keras(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    build, values, channels, prepared, note = ADAPTED[kind]
    own, images = build(), foreign.images(6, channels, SIDE)
    expected = np.asarray(own(prepared(images), training=False))
    assert expected.max(axis=1).mean() < 0.95, "a test with saturated probabilities proves nothing"
    with caplog.at_level(logging.WARNING, "advcli"):
        classifier = wrap(build(), "m", input_range=values)
    assert (classifier.edge, classifier.channels, classifier.input_range) == (SIDE, channels, values)
    assert note in caplog.text
    tolerance = 2e-3 if kind == "half precision" else 1e-5
    np.testing.assert_allclose(classifier.predict(images), expected, atol=tolerance)
    labels = classifier.predicted(images).astype(np.int32)
    threat = Threat(Norm.LINF, 0.3)
    found = CompiledAttack(classifier.inference_copy, registry.build("attacks", "pgd:steps=5"), threat).search(
        images, labels
    )
    after = np.asarray(own(prepared(found.points), training=False)).argmax(axis=1)
    np.testing.assert_array_equal(after, found.predicted)
    assert (after != labels).mean() > 0.5, "the gradient reaches the pixels"


def test_an_integer_model_whose_layers_need_integers_has_no_gradient(caplog: pytest.LogCaptureFixture) -> None:
    image = keras.Input((SIDE, SIDE, 1), dtype="uint8")
    embedded = keras.layers.Embedding(256, 3)(keras.layers.Flatten()(image))
    own = keras.Model(image, keras.layers.Dense(4)(keras.layers.Flatten()(embedded)))
    images = foreign.images(3, 1, SIDE)
    with caplog.at_level(logging.WARNING, "advcli"):
        classifier = wrap(own, "m")
    assert "it has no gradient" in caplog.text
    expected = keras.ops.softmax(own((images * 255).round().astype(np.uint8)))
    np.testing.assert_allclose(classifier.predict(images), expected, atol=1e-5)


def _two_outputs(kind: type) -> Any:
    image = keras.Input((SIDE, SIDE, 3))
    flat = keras.layers.Flatten()(image)
    scores, more = keras.layers.Dense(4, name="scores")(flat), keras.layers.Dense(2, name="more")(flat)
    return keras.Model(image, [scores, more] if kind is list else {"scores": scores, "more": more})


@pytest.mark.parametrize("kind", [list, dict])
@pytest.mark.parametrize(("output", "classes"), [("scores", 4), ("more", 2)])
def test_one_of_several_outputs_is_chosen(kind: type, output: str, classes: int) -> None:
    own, images = _two_outputs(kind), foreign.images(3, 3, SIDE)
    outputs = own(images, training=False)
    expected = outputs[output] if kind is dict else outputs[["scores", "more"].index(output)]
    classifier = wrap(own, "m", input_range=(0, 1), output=output)
    np.testing.assert_allclose(classifier.logits_of(images), expected, atol=1e-5)
    assert len(classifier.labels) == classes


def test_the_only_output_in_a_container_is_taken() -> None:
    image = keras.Input((SIDE, SIDE, 3))
    own = keras.Model(image, {"scores": keras.layers.Dense(4)(keras.layers.Flatten()(image))})
    images = foreign.images(3, 3, SIDE)
    expected = own(images, training=False)["scores"]
    np.testing.assert_allclose(wrap(own, "m", input_range=(0, 1)).logits_of(images), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("output", "hint"), [("score", "did you mean 'scores'?"), ("nothing", "choose from: scores, more")]
)
def test_an_output_that_is_none_is_refused(output: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"no output '{output}'") as caught:
        wrap(_two_outputs(dict), "m", input_range=(0, 1), output=output)
    assert caught.value.hint == hint
    with pytest.raises(UsageError, match="has one output"):
        wrap(foreign.build(), "m", input_range=(0, 1), output="scores")
