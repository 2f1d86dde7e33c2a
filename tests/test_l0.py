"""Balls of a few pixels: their projection, their files, and the attacks against closed forms on linear models."""

from pathlib import Path

import numpy as np
import pytest

from advcli import registry
from advcli.attacks.sparse_rs import SparseRS
from advcli.backend import tf
from advcli.data import images
from advcli.errors import UsageError
from advcli.files import png
from advcli.model.classifier import Classifier
from advcli.records import Attacked
from advcli.search.compiled_attack import CompiledAttack
from advcli.search.minimum_norm import MinimumRadius
from advcli.search.quantize import quantized
from advcli.search.threat_defaults import widest
from advcli.tasks.attack.request import Resolved
from advcli.tasks.attack.run import attack_files
from advcli.threat.rng import ImageRng
from advcli.threat.spelling import spell_threat
from advcli.threat.threat import Norm, Threat
from conftest import make_classifier


def changed(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first != second).any(axis=-1).sum(axis=(1, 2))


@pytest.fixture(scope="module")
def two() -> Classifier:
    """Logistic regression of two classes, so that the gradient has one direction."""
    classifier = make_classifier("linear", classes=2)
    kernel, bias = classifier.model.weights
    kernel.assign(np.random.default_rng(4).normal(size=kernel.shape))
    # Class 0 is ahead by some pixels' worth, by how many depends on the image.
    bias.assign([9.0, -9.0])
    return classifier


def gains(classifier: Classifier, pictures: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How much the other class's lead grows by each pixel alone, each channel going to 0 or 1: (N, H, W)."""
    kernel = classifier.model.weights[0].numpy()
    way = np.where(labels[:, None] == 0, kernel[:, 1] - kernel[:, 0], kernel[:, 0] - kernel[:, 1])
    way = way.reshape(pictures.shape)
    return np.where(way > 0, way * (1 - pictures), -way * pictures).sum(axis=-1)


def behind(classifier: Classifier, pictures: np.ndarray, labels: np.ndarray) -> np.ndarray:
    logits = classifier.logits_of(pictures)
    rows = np.arange(len(labels))
    return logits[rows, labels] - logits[rows, 1 - labels]


def fewest(classifier: Classifier, pictures: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The least number of pixels that fools, exactly: those of the greatest gain."""
    order = -np.sort(-gains(classifier, pictures, labels).reshape(len(pictures), -1), axis=1)
    return (order.cumsum(axis=1) <= behind(classifier, pictures, labels)[:, None]).sum(axis=1) + 1


def test_the_projection_keeps_the_pixels_that_differ_most() -> None:
    original = np.full((1, 2, 2, 3), 0.5, np.float32)
    far = original.copy()
    far[0, 0, 0] += [0.3, 0.3, 0.3]
    far[0, 0, 1, 1] += 0.4
    # Clipped to 0.5, this is 0.5 nearer than the original, not 5.
    far[0, 1, 0, 2] += 5.0
    far[0, 1, 1, 0] += 0.1
    for eps, kept in ((0, []), (1, [(1, 0)]), (2, [(1, 0), (0, 0)]), (3, [(1, 0), (0, 0), (0, 1)]), (9, None)):
        projected = Threat(Norm.L0, eps).project(tf.constant(far), tf.constant(original)).numpy()
        expected = original.copy() if kept is not None else np.clip(far, 0, 1)
        for place in kept or ():
            expected[0][place] = np.clip(far[0][place], 0, 1)
        np.testing.assert_array_equal(projected, expected)


def test_of_equal_pixels_no_more_are_kept_than_may_change() -> None:
    original = tf.fill((3, 4, 5, 3), 0.5)
    threat = Threat(Norm.L0, 7.0)
    np.testing.assert_array_equal(threat.size(threat.project(original + 0.25, original) - original), 7)
    grown = Threat(Norm.L0, tf.constant(7.0))  # training makes it a tensor
    np.testing.assert_array_equal(threat.size(grown.project(original + 0.25, original) - original), 7)


def test_samples_change_random_pixels_to_random_colours() -> None:
    rng = ImageRng(tf.stack([tf.range(400), tf.zeros(400, tf.int32)], axis=1))
    original = tf.fill((400, 3, 4, 3), 0.5)
    points = Threat(Norm.L0, 3.0).sample(original, rng).numpy()
    moved = (points != 0.5).any(axis=-1)
    assert (moved.sum(axis=(1, 2)) == 3).all()
    assert moved.mean(axis=0) == pytest.approx(0.25, abs=0.08)
    assert points[moved].mean() == pytest.approx(0.5, abs=0.02)
    assert points[moved].std() == pytest.approx(12**-0.5, abs=0.02)


def test_eps_counts_pixels() -> None:
    assert spell_threat("l0", 5.0) == "L0 5 pixels"
    assert spell_threat("l0", 1.0) == "L0 1 pixel"
    with pytest.raises(UsageError, match="no whole number of pixels"):
        Threat(Norm.L0, 8 / 255)
    Threat(Norm.L0, 64).refuse_impossible((8, 8, 3))
    with pytest.raises(UsageError, match="64 at the most") as refused:
        Threat(Norm.L0, 65).refuse_impossible((8, 8, 3))
    assert "pixels" in (refused.value.hint or "")
    assert widest({}, Norm.L0, None) == Threat(Norm.L0, 1024.0)
    with pytest.raises(UsageError, match="smaller than 1 pixel"):
        widest({}, Norm.L0, 0.0)


def test_rounding_changes_no_more_pixels() -> None:
    original = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    adversarial = original / np.float32(255)
    adversarial[0, 0], adversarial[3, 2, 1], adversarial[5, 5] = 0.299, 0.501, 1.0
    pixels = quantized(adversarial, original, "l0", 3)
    expected = original.copy()
    expected[0, 0], expected[3, 2, 1], expected[5, 5] = 76, 128, 255
    np.testing.assert_array_equal(pixels, expected)
    assert (quantized(adversarial, original, "l0", 2) != original).any(axis=-1).sum() == 2


def test_the_file_and_its_record_count_pixels(linear: Classifier, tmp_path: Path) -> None:
    before = np.random.default_rng(2).integers(60, 200, (12, 9, 3), dtype=np.uint8)
    png.write(tmp_path / "a.png", before)
    threat, spec = Threat(Norm.L0, 4.0), "sigma-zero:steps=10"
    request = Resolved(spec=spec, threat=threat)
    search = registry.build("attacks", spec)
    events = attack_files(linear, {tmp_path / "a.png": tmp_path / "b"}, search, request)
    (record,) = (event for event in events if isinstance(event, Attacked))
    assert record.output is not None
    assert record.l0 is not None
    count = int((images.read(Path(record.output)) != before).any(axis=-1).sum())
    assert 1 <= count == record.l0 <= 4
    assert (record.norm, record.eps) == ("l0", 4.0)
    assert "pixels" in record.lengths


def test_sigma_zero_needs_as_few_pixels_as_any(two: Classifier) -> None:
    pictures = np.random.default_rng(6).uniform(0.1, 0.9, (8, 8, 8, 3)).astype(np.float32)
    labels = two.predict(pictures).argmax(axis=1)
    least = fewest(two, pictures, labels)
    assert least.max() > least.min()
    assert least.max() > 2
    attack = registry.build("attacks", "sigma-zero:steps=60,refine=1")
    found, _ = CompiledAttack(two, attack, Threat(Norm.L0, 64.0))(pictures, labels)
    assert (two.predict(found).argmax(axis=1) != labels).all()
    np.testing.assert_array_equal(changed(found, pictures), least)
    # In a ball that holds no adversarial image the loss is the greatest there is.
    few = int(least.min()) - 1
    assert few
    found, _ = CompiledAttack(two, attack, Threat(Norm.L0, few))(pictures, labels)
    best = -np.sort(-gains(two, pictures, labels).reshape(8, -1), axis=1)[:, :few].sum(axis=1)
    reached = behind(two, pictures, labels) - behind(two, found, labels)
    np.testing.assert_allclose(reached, best, rtol=1e-4)


@pytest.mark.slow
def test_the_papers_search_alone_needs_few_pixels_more(two: Classifier) -> None:
    pictures = np.random.default_rng(6).uniform(0.1, 0.9, (8, 8, 8, 3)).astype(np.float32)
    labels = two.predict(pictures).argmax(axis=1)
    attack = registry.build("attacks", "sigma-zero:refine=0")
    found, _ = CompiledAttack(two, attack, Threat(Norm.L0, 64.0))(pictures, labels)
    assert (changed(found, pictures) <= 1.3 * fewest(two, pictures, labels) + 1).all()


@pytest.mark.slow
def test_sparse_rs_finds_the_pixels_that_gain_most(two: Classifier) -> None:
    pictures = np.random.default_rng(6).uniform(0.1, 0.9, (4, 8, 8, 3)).astype(np.float32)
    labels = two.predict(pictures).argmax(axis=1)
    attack = registry.build("attacks", "sparse-rs:stop=false,queries=5000")
    shifted = make_classifier("linear", classes=2)
    shifted.model.set_weights(two.model.get_weights())
    # So far ahead that nothing fools, and the search goes on to the end.
    shifted.model.weights[1].assign([200.0, 0.0])
    labels[:] = 0
    found, _ = CompiledAttack(shifted, attack, Threat(Norm.L0, 2))(pictures, labels)
    best = -np.sort(-gains(shifted, pictures, labels).reshape(4, -1), axis=1)[:, :2].sum(axis=1)
    reached = behind(shifted, pictures, labels) - behind(shifted, found, labels)
    # The colour of a pixel cannot change while it is in the set, so that a run may end in a local maximum.
    assert (reached > 0.98 * best).sum() >= 3
    assert (reached > 0.75 * best).all()
    assert (reached <= 1.001 * best).all()


def test_sparse_rs_exchanges_as_many_pixels_as_the_published_schedule() -> None:
    """Its code with 10,000 queries and 150 pixels: 0.8 / 2 up to the 50th, then a quarter, ... a twentieth."""
    counts = SparseRS(queries=10_000).exchanged(150)
    assert [counts[query - 1] for query in (1, 50, 51, 200, 201, 501, 1001, 2001, 4001, 6001, 8001, 10_000)] == (
        [60, 60, 30, 30, 24, 20, 15, 12, 10, 8, 6, 6]
    )
    assert SparseRS(queries=5000).exchanged(150)[24:26] == [60, 30]
    assert set(SparseRS(queries=100).exchanged(2)) == {1}


@pytest.mark.slow
def test_one_pixel_finds_the_pixel_that_gains_most(two: Classifier) -> None:
    pictures = np.random.default_rng(6).uniform(0.3, 0.7, (3, 8, 8, 3)).astype(np.float32)
    shifted = make_classifier("linear", classes=2)
    shifted.model.set_weights(two.model.get_weights())
    shifted.model.weights[1].assign([200.0, 0.0])
    labels = np.zeros(3, int)
    attack = registry.build("attacks", "one-pixel:queries=12000")
    found, queries = CompiledAttack(shifted, attack, Threat(Norm.L0, 1))(pictures, labels)
    assert (queries == 12_000).all()
    best = gains(shifted, pictures, labels).reshape(3, -1).max(axis=1)
    reached = behind(shifted, pictures, labels) - behind(shifted, found, labels)
    assert (reached <= best * 1.001).all()
    assert (reached >= 0.85 * best).all()


@pytest.mark.slow
def test_the_smallest_number_of_pixels_is_found(two: Classifier) -> None:
    originals = np.random.default_rng(6).integers(30, 220, (4, 8, 8, 3), dtype=np.uint8)
    pictures = (originals / 255).astype(np.float32)
    labels = two.predict(pictures).argmax(axis=1)
    attack = registry.build("attacks", "sigma-zero:steps=20,refine=1")
    pixels, _, radii = MinimumRadius(CompiledAttack(two, attack, Threat(Norm.L0, 64)))(originals, labels)
    np.testing.assert_array_equal(radii, fewest(two, pictures, labels))
    np.testing.assert_array_equal(changed(pixels, originals), radii)
