"""Attacks that compute one perturbation for many images: a battery for all of them, and closed forms."""

from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from advcli import registry
from advcli.attacks import Universal
from advcli.attacks.patch import Patch
from advcli.attacks.universal import UniversalPerturbation
from advcli.backend import Tensor, keras, tf
from advcli.errors import UsageError
from advcli.files import png
from advcli.model.classifier import Classifier
from advcli.search.refusals import refuse_unsupported
from advcli.threat.rng import ImageRng, image_seeds
from advcli.threat.threat import Norm, Threat
from conftest import make_classifier

PATTERNS = [name for name in registry.names("attacks") if isinstance(registry.build("attacks", name), Universal)]
EPS = {Norm.LINF: 12 / 255, Norm.L2: 1.0}


class Bench:
    """A pattern's way from crafting through a file to images, as a task goes it."""

    def __init__(self, attack: Universal, classifier: Classifier, threat: Threat, seed: int = 0) -> None:
        self.attack, self.classifier, self.threat, self.seed = attack, classifier, threat, seed
        edge, channels = classifier.image_size[0], classifier.channels
        self.state = attack.start((edge, edge), channels)
        rows = [tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None, 2), tf.int32)]
        states = tf.nest.map_structure(lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype), self.state)
        pattern = attack.pattern(self.state)
        self.ascend: Any = tf.function(
            lambda state, images, labels, seeds: attack.ascend(
                classifier.logits, state, images, labels, threat, ImageRng(seeds)
            ),
            input_signature=[states, tf.TensorSpec((None, edge, edge, channels), tf.float32), *rows],
        )
        self.traced_apply: Any = tf.function(
            lambda pattern, images, seeds: attack.apply(pattern, images, threat, ImageRng(seeds)),
            input_signature=[
                tf.TensorSpec((None, None, pattern.shape[2]), tf.float32),
                tf.TensorSpec((None, None, None, channels), tf.float32),
                rows[1],
            ],
        )

    def craft(self, pictures: np.ndarray, labels: np.ndarray, batch: int = 4) -> np.ndarray:
        """Craft, and return the file's pixels."""
        seeds = image_seeds(pictures, self.seed)
        starts = range(0, len(pictures), batch)
        for i in islice(cycle(starts), self.attack.steps):
            part = slice(i, i + batch)
            self.state = self.ascend(
                self.state,
                tf.constant(pictures[part]),
                tf.constant(labels[part], tf.int32),
                tf.constant(seeds[part]),
            )
        return self.attack.to_png(self.attack.pattern(self.state).numpy(), self.threat)

    def apply(self, pixels: np.ndarray, pictures: np.ndarray) -> np.ndarray:
        """Apply a file's pixels."""
        pattern = tf.constant(self.attack.from_png(pixels, self.threat))
        seeds = tf.constant(image_seeds(pictures, self.seed))
        return self.traced_apply(pattern, tf.constant(pictures), seeds).numpy()


def losses(classifier: Classifier, threat: Threat, pictures: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return threat.loss(classifier.logits(tf.constant(pictures)), tf.constant(labels, tf.int32)).numpy()


def check(attack: Universal, classifier: Classifier, pictures: np.ndarray, threat: Threat) -> None:
    """What must hold for every attack, model and threat."""
    labels = classifier.predict(pictures).argmax(axis=1)
    bench = Bench(attack, classifier, threat)
    pixels = bench.craft(pictures, labels)
    assert pixels.dtype == np.uint8
    adversarial = bench.apply(pixels, pictures)
    assert adversarial.shape == pictures.shape
    assert adversarial.dtype == np.float32
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    if attack.bounded:
        assert threat.size(tf.constant(adversarial - pictures)).numpy().max() <= threat.eps + 1e-6
    # Where a patch comes to lie depends on an image's pixels, so other pixels are other places.
    shifts = np.linspace(-1e-3, 1e-3, 40, dtype=np.float32)[:, None, None, None, None]
    many, of = np.concatenate(list(pictures + shifts)), np.tile(labels, 40)
    gained = losses(classifier, threat, bench.apply(pixels, many), of) - losses(classifier, threat, many, of)
    assert gained.mean() > 1e-3, f"the loss did not rise: {gained}"
    assert bench.ascend.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("norm", list(EPS))
@pytest.mark.parametrize(("target", "model"), [(None, "small"), (2, "small"), (None, "linear"), (2, "linear")])
@pytest.mark.parametrize("name", PATTERNS)
def test_battery(
    name: str, target: int | None, model: str, norm: Norm, pictures: np.ndarray, request: pytest.FixtureRequest
) -> None:
    attack = registry.build("attacks", name)
    threat = Threat(norm, EPS[norm], target)
    if norm is Norm.L2 and not attack.bounded:
        return
    refuse_unsupported(attack, threat)
    check(attack, request.getfixturevalue(model), pictures, threat)


class NoPerturbation(UniversalPerturbation):
    def pattern(self, state: Any) -> Tensor:
        return tf.zeros_like(state.delta)


class NoPatch(Patch):
    def apply(self, pattern: Tensor, images: Tensor, threat: Threat, rng: ImageRng) -> Tensor:
        return images


@pytest.mark.parametrize("attack", [NoPerturbation(), NoPatch()])
def test_an_attack_that_does_nothing_fails_the_battery(
    attack: Universal, small: Classifier, pictures: np.ndarray
) -> None:
    with pytest.raises(AssertionError, match="did not rise"):
        check(attack, small, pictures, Threat(eps=0.05))


@pytest.mark.parametrize("name", PATTERNS)
def test_grey_images(name: str) -> None:
    pictures = np.random.default_rng(3).uniform(0.3, 0.7, (5, 8, 8, 1)).astype(np.float32)
    check(registry.build("attacks", name), make_classifier(channels=1), pictures, Threat(eps=0.05))


@pytest.mark.parametrize("name", PATTERNS)
def test_the_same_seed_gives_the_same_bytes(name: str, small: Classifier, pictures: np.ndarray) -> None:
    attack, labels = registry.build("attacks", f"{name}:steps=6"), np.zeros(5)
    files = [Bench(attack, small, Threat(), seed).craft(pictures, labels) for seed in (0, 0, 1)]
    assert files[0].tobytes() == files[1].tobytes()
    if attack == Patch(steps=6):
        assert files[0].tobytes() != files[2].tobytes()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("norm", list(EPS))
@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_survives_its_file(name: str, norm: Norm, channels: int, tmp_path: Path) -> None:
    attack, threat = registry.build("attacks", name), Threat(norm, EPS[norm])
    start = attack.pattern(attack.start((16, 16), channels)).numpy()
    pattern = np.random.default_rng(0).normal(0.02, 0.03, start.shape).astype(np.float32)
    pixels = attack.to_png(pattern, threat)
    png.write(tmp_path / "pattern.png", pixels)
    with Image.open(tmp_path / "pattern.png") as file:
        read = np.asarray(file).reshape(pixels.shape)
    assert len(np.unique(read)) > 5
    kept = attack.from_png(read, threat)
    assert kept.dtype == np.float32
    np.testing.assert_array_equal(attack.to_png(kept, threat), pixels)
    np.testing.assert_array_equal(attack.from_png(attack.to_png(kept, threat), threat), kept)


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_is_applied_to_each_image_for_itself(name: str, small: Classifier) -> None:
    bench = Bench(registry.build("attacks", name), small, Threat(eps=0.1))
    pattern = np.random.default_rng(1).uniform(0, 1, bench.attack.pattern(bench.state).shape)
    pixels = bench.attack.to_png((0.2 * pattern if name == "universal" else pattern).astype(np.float32), bench.threat)
    for height, width in ((20, 13), (8, 8), (5, 31)):
        pictures = np.random.default_rng(0).uniform(0, 1, (4, height, width, 3)).astype(np.float32)
        together = bench.apply(pixels, pictures)
        assert (together != pictures).any(axis=(1, 2, 3)).all()
        np.testing.assert_allclose(bench.apply(pixels, pictures[2:3])[0], together[2], atol=1e-6)
    assert bench.traced_apply.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("name", PATTERNS)
def test_a_model_without_gradient_is_survived(name: str, pictures: np.ndarray) -> None:
    constant = make_classifier("linear")
    for variable in constant.model.weights:
        variable.assign(tf.zeros_like(variable))
    bench = Bench(registry.build("attacks", name), constant, Threat())
    assert np.isfinite(bench.apply(bench.craft(pictures, np.zeros(5)), pictures)).all()


@pytest.mark.parametrize(
    "spec",
    ["steps=0", "step=-1", "decay=1", "clip=0"],
)
def test_options_of_the_perturbation_are_checked(spec: str) -> None:
    with pytest.raises(UsageError):
        registry.build("attacks", f"universal:{spec}")


@pytest.mark.parametrize(
    "spec", ["size=0", "size=1.1", "scale=1", "degrees=200", "shape=star", "steps=0", "learning_rate=0"]
)
def test_options_of_the_patch_are_checked(spec: str) -> None:
    with pytest.raises(UsageError):
        registry.build("attacks", f"patch:{spec}")


# Two classes of a linear model: the best perturbation is the same for all images.


@pytest.fixture
def two_classes() -> Classifier:
    classifier = make_classifier("linear", classes=2)
    kernel, _ = classifier.model.weights
    kernel.assign(0.2 * np.random.default_rng(0).normal(size=kernel.shape))
    return classifier


def way_up(two_classes: Classifier) -> np.ndarray:
    kernel = two_classes.model.weights[0].numpy()
    return (kernel[:, 1] - kernel[:, 0]).reshape(8, 8, 3)


def test_the_perturbation_is_the_best_corner_of_the_ball(two_classes: Classifier, pictures: np.ndarray) -> None:
    bench = Bench(UniversalPerturbation(), two_classes, Threat(eps=8 / 255))
    adversarial = bench.apply(bench.craft(pictures, np.zeros(5)), pictures)
    np.testing.assert_allclose(adversarial, pictures + 8 / 255 * np.sign(way_up(two_classes)), atol=1e-6)
    aimed = Bench(UniversalPerturbation(), two_classes, Threat(eps=8 / 255, target=0))
    adversarial = aimed.apply(aimed.craft(pictures, np.ones(5)), pictures)
    np.testing.assert_allclose(adversarial, pictures - 8 / 255 * np.sign(way_up(two_classes)), atol=1e-6)


def test_the_perturbation_is_the_best_point_of_the_l2_ball(two_classes: Classifier, pictures: np.ndarray) -> None:
    bench = Bench(UniversalPerturbation(), two_classes, Threat(Norm.L2, 1.0))
    pixels = bench.craft(pictures, np.zeros(5))
    direction = way_up(two_classes) / np.linalg.norm(way_up(two_classes))
    np.testing.assert_allclose(bench.attack.pattern(bench.state), direction, atol=1e-5)
    saved = bench.attack.from_png(pixels, bench.threat)
    assert 0.98 < np.linalg.norm(saved) <= 1 + 1e-6
    np.testing.assert_allclose(saved, direction, atol=1 / 255)


def test_images_fooled_enough_no_longer_count(two_classes: Classifier, pictures: np.ndarray) -> None:
    up = way_up(two_classes)
    both = np.stack([pictures[0], pictures[0] - 0.3 * np.sign(up)]).astype(np.float32)
    labels, threat = np.array([0, 1]), Threat(Norm.L2, 1.0)
    assert (losses(two_classes, threat, both, labels) > 9).tolist() == [False, True]
    # The second is called 0 already, and to make that surer pulls against the first.
    for clip, expected in ((9.0, 0.1), (99.0, -0.1)):
        bench = Bench(UniversalPerturbation(steps=1, clip=clip), two_classes, threat)
        bench.craft(both, labels)
        np.testing.assert_allclose(bench.state.delta, expected * up / np.linalg.norm(up), atol=1e-5)


def test_every_step_of_the_lattice_survives_the_file_and_is_added_exactly() -> None:
    attack, threat = UniversalPerturbation(), Threat(eps=20 / 255)
    generator = np.random.default_rng(0)
    steps = generator.integers(-20, 21, (8, 8, 3))
    steps[0, :2, 0] = -20, 20
    pixels = attack.to_png((steps / 255).astype(np.float32), threat)
    np.testing.assert_array_equal(pixels, 128 + steps)
    picture = generator.integers(20, 236, (1, 8, 8, 3))
    bench = Bench(attack, make_classifier(), threat)
    adversarial = bench.apply(pixels, (picture / 255).astype(np.float32))
    np.testing.assert_allclose(adversarial * 255, picture + steps, atol=1e-4)


def test_a_file_holds_no_more_than_the_ball() -> None:
    attack, far = UniversalPerturbation(), np.array([[[-1.0, 1.0, 0.02]]])
    assert attack.to_png(far, Threat(eps=0.03)).tolist() == [[[121, 135, 133]]]
    assert attack.to_png(far, Threat(eps=0.9)).tolist() == [[[1, 255, 133]]]
    noise = np.random.default_rng(0).normal(size=(32, 32, 3))
    for eps in (0.1, 1.0, 3.0):
        saved = attack.from_png(attack.to_png(eps * noise / np.linalg.norm(noise), Threat(Norm.L2, eps)), Threat())
        assert 0.9 * eps < np.linalg.norm(saved) <= eps + 1e-6


# The patch.


def laid(attack: Patch, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lay a white patch and a black one at the same places: -> what each makes of the pictures."""
    bench = Bench(attack, make_classifier(), Threat())
    opacity = attack.to_png(attack.pattern(attack.start((100, 100), 3)).numpy(), Threat())[..., 3:]
    both = [
        np.concatenate([np.broadcast_to(np.uint8(value), (*opacity.shape[:2], 3)), opacity], -1) for value in (255, 0)
    ]
    white, black = (bench.apply(pixels, pictures) for pixels in both)
    return white, black


def widths(white: np.ndarray, black: np.ndarray) -> np.ndarray:
    return np.array([np.ptp(np.flatnonzero(columns)) + 1 for columns in (white != black).any(axis=(1, 3))])


@pytest.mark.parametrize("shape", ["circle", "square"])
def test_only_pixels_under_the_patch_change_and_all_of_them_do(shape: str) -> None:
    pictures = np.random.default_rng(0).uniform(0.3, 0.7, (12, 60, 80, 3)).astype(np.float32)
    white, black = laid(Patch(size=0.4, scale=0, shape=shape), pictures)
    under = (white != black).any(-1)
    np.testing.assert_array_equal(white[~under], pictures[~under])
    np.testing.assert_array_equal(black[~under], pictures[~under])
    assert (white[under] > pictures[under]).all()
    assert (black[under] < pictures[under]).all()
    # Inside the image wherever it lies: its whole area is seen, of 40% of the shorter side.
    area = 24**2 * (np.pi / 4 if shape == "circle" else 1)
    covered = (white - black).mean(axis=3).sum(axis=(1, 2))
    np.testing.assert_allclose(covered, area, rtol=0.03)
    centres = np.array([np.argwhere(mask).mean(axis=0) for mask in under])
    assert (np.ptp(centres, axis=0) > (10, 20)).all()


def test_sizes_and_angles_vary_as_much_as_they_may() -> None:
    pictures = np.random.default_rng(0).uniform(0.3, 0.7, (40, 60, 80, 3)).astype(np.float32)
    white, black = laid(Patch(size=0.4, scale=0.2, shape="square"), pictures)
    sides = np.sqrt((white - black).mean(axis=3).sum(axis=(1, 2)))
    assert 0.8 * 24 - 0.5 < sides.min() < 0.87 * 24
    assert 1.13 * 24 < sides.max() < 1.2 * 24 + 0.5
    # A square is as wide as it is turned: side (sin + cos), so up to 1.31 at 22.5 degrees.
    assert 1.2 < (widths(white, black) / sides).max() < 1.42
    straight = laid(Patch(size=0.4, scale=0, degrees=0, shape="square"), pictures)
    assert set(widths(*straight)) <= {24, 25}


def test_a_patch_too_large_to_fit_lies_in_the_middle() -> None:
    pictures = np.zeros((6, 20, 40, 3), np.float32)
    white, _ = laid(Patch(size=1, scale=0, degrees=0), pictures)
    rows = [np.flatnonzero((image > 0.5).any(axis=(1, 2))) for image in white]
    assert all(found[0] <= 1 and found[-1] >= 18 for found in rows)


def test_gradient_by_the_patch() -> None:
    attack = Patch(size=0.5)
    generator = np.random.default_rng(0)
    pictures = generator.uniform(0, 1, (3, 18, 13, 3)).astype(np.float32)
    weights = generator.normal(size=pictures.shape).astype(np.float32)
    rng = ImageRng(tf.constant(image_seeds(pictures, 0)))
    start = attack.pattern(attack.start((10, 10), 3))
    direction = tf.constant(generator.uniform(-0.2, 0.2, start.shape) * [1, 1, 1, 0], tf.float32)

    def score(pattern: Tensor) -> Tensor:
        return tf.reduce_sum(attack.apply(pattern, tf.constant(pictures), Threat(), rng) * weights)

    with tf.GradientTape() as tape:
        tape.watch(start)
        total = score(start)
    slope = tf.reduce_sum(tape.gradient(total, start) * direction)
    # The pixels are linear in the colours, so the difference is no approximation.
    difference = (score(start + direction) - score(start - direction)) / 2
    assert abs(difference) > 0.1
    assert float(slope) == pytest.approx(float(difference), rel=1e-3)


@pytest.fixture(scope="module")
def colours() -> Classifier:
    """Tells which colour there is most of, wherever it is: classes red, green and blue."""
    inputs = keras.Input((16, 16, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    layer = keras.layers.Dense(3, kernel_initializer=keras.initializers.Constant(15 * np.eye(3) - 5))
    return Classifier("colours", keras.Model(inputs, layer(pooled)), ("red", "green", "blue"), (16, 16), 3)


@pytest.mark.parametrize("target", [None, 1])
def test_the_patch_takes_the_colour_that_decides(target: int | None, colours: Classifier) -> None:
    generator = np.random.default_rng(0)
    pictures = (generator.uniform(0.2, 0.6, (9, 16, 16, 3)) + np.array([0.2, 0, 0])).astype(np.float32)
    labels, threat = np.zeros(9), Threat(target=target)
    bench = Bench(Patch(size=0.5), colours, threat)
    pixels = bench.craft(pictures, labels)
    opaque = pixels[pixels[..., 3] == 255]
    assert (opaque[:, 0] == 0).all()
    if target is not None:
        assert (opaque == (0, 255, 0, 255)).all()
    # On images of another size, and against a patch of the same shape that was not trained.
    others = (generator.uniform(0.2, 0.6, (9, 33, 21, 3)) + np.array([0.2, 0, 0])).astype(np.float32)
    random = np.concatenate([generator.integers(0, 256, pixels[..., :3].shape, np.uint8), pixels[..., 3:]], axis=-1)
    trained = losses(colours, threat, bench.apply(pixels, others), labels)
    assert (trained > losses(colours, threat, bench.apply(random, others), labels) + 0.2).all()
    assert (trained > losses(colours, threat, others, labels) + 0.2).all()
