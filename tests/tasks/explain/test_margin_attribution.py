from dataclasses import replace

import numpy as np
import pytest

from advcli.backend import keras
from advcli.model.classifier import Classifier
from advcli.tasks.explain.margin_attribution import MarginAttribution, attribute_margin


def points(classifier: Classifier, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray, int, int]:
    """An image, another one that is taken for something else, and the two classes."""
    labels = classifier.predict(pictures).argmax(axis=1)
    other = next(i for i in range(1, len(pictures)) if labels[i] != labels[0])
    return pictures[0], pictures[other], int(labels[0]), int(labels[other])


def test_of_a_linear_model_the_map_is_known(linear: Classifier, pictures: np.ndarray) -> None:
    clean, adversarial, origin, wrong = points(linear, pictures)
    found = attribute_margin(linear, clean, adversarial, origin, wrong)
    kernel = linear.model.weights[0].numpy().reshape(8, 8, 3, 4)
    scale = 1.0
    expected = ((adversarial - clean) * (kernel[..., wrong] - kernel[..., origin])).sum(axis=-1) * scale
    np.testing.assert_allclose(found.relevance / expected.sum(), expected / expected.sum(), atol=1e-4)
    assert found.completeness < 1e-4
    assert found.relevance.sum() == pytest.approx(found.after - found.before, rel=1e-4)
    assert found.before < 0 < found.after


def test_the_share_is_the_least_that_restores(linear: Classifier, pictures: np.ndarray) -> None:
    clean, adversarial, origin, wrong = points(linear, pictures)
    found = attribute_margin(linear, clean, adversarial, origin, wrong)
    assert found.share is not None
    assert found.restored is not None
    count = round(found.share * 64)
    back = (found.restored == clean).all(axis=-1)
    assert back.sum() == count
    assert found.relevance[back].min() >= found.relevance[~back].max() - 1e-6, "those that moved the margin most"
    order = np.argsort(-found.relevance, axis=None, kind="stable")

    def predicted(counted: int) -> int:
        mixed = adversarial.reshape(64, 3).copy()
        mixed[order[:counted]] = clean.reshape(64, 3)[order[:counted]]
        return int(linear.predict(mixed.reshape(1, 8, 8, 3)).argmax())

    assert predicted(count) == origin
    assert predicted(count - 1) != origin
    assert found.confidence == pytest.approx(linear.predict(found.restored[None])[0, origin])


def test_what_no_share_restores_is_said(linear: Classifier, pictures: np.ndarray) -> None:
    clean, adversarial, origin, wrong = points(linear, pictures)
    never = int(linear.predict(pictures[[0]])[0].argmin())
    assert never not in (origin, wrong)
    found = attribute_margin(linear, clean, adversarial, never, wrong)
    assert found.share is found.restored is found.confidence is None


def test_the_model_itself_confirms_what_its_copy_finds(linear: Classifier, pictures: np.ndarray) -> None:
    clean, adversarial, origin, wrong = points(linear, pictures)
    model = keras.models.clone_model(linear.model)
    kernel, bias = linear.model.get_weights()
    # Just short of its prediction of the origin, whatever the pixels.
    margin = linear.logits_of(adversarial[None])[0]
    bias = bias.copy()
    bias[origin] += margin[wrong] - margin[origin] - 1e-4
    model.set_weights([kernel, bias])
    copy = replace(linear, model=model, source=linear)
    found, alone = (attribute_margin(each, clean, adversarial, origin, wrong) for each in (copy, linear))
    assert copy.logits_of(alone.restored[None] if alone.restored is not None else clean[None]).argmax() == origin
    assert found.restored is not None
    assert linear.predict(found.restored[None]).argmax() == origin
    assert found.confidence == pytest.approx(linear.predict(found.restored[None])[0, origin])
    assert found.share == alone.share


def test_completeness_is_relative() -> None:
    found = MarginAttribution(np.full((2, 2), 1.0), before=-3.0, after=2.0)
    assert found.completeness == pytest.approx(0.2)
    assert replace(found, after=1.0).completeness == 0
