"""Attacks inside a mask: no other pixel changes, and the ball is used as it is without one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcli import registry
from advcli.attacks import Attack
from advcli.backend import tf
from advcli.data import images
from advcli.errors import UsageError
from advcli.files import png
from advcli.model.classifier import Classifier
from advcli.records import Attacked, Failed
from advcli.search.compiled_attack import CompiledAttack
from advcli.search.image_batches import groups
from advcli.tasks.attack.request import Request, Resolved
from advcli.tasks.attack.run import attack_files, find_masks
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Norm, Threat
from test_attacks import ATTACKS, EPS, build, losses

MASKED = [(name, Norm(norm)) for name in ATTACKS if build(name).masked for norm in build(name).searchable_norms]
# One of each way in which a step stays inside the mask.
QUICK = {("fgsm", "l2"), ("pgd", "l2"), ("noise", "l2"), ("tifgsm", "linf"), ("noise", "l0")}
# Those that end at the surface of the ball whatever the model is.
TO_THE_SURFACE = {"gradient", "transfer", "random"}


@pytest.fixture
def masks() -> np.ndarray:
    """A mask for each of the five pictures, of a fifth of its pixels up to a half."""
    shares = np.array([0.2, 0.3, 0.4, 0.45, 0.5])[:, None, None, None]
    return np.random.default_rng(0).uniform(size=(5, 8, 8, 1)) < shares


@pytest.mark.parametrize(
    ("name", "norm"),
    [pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow) for case in MASKED],
)
def test_no_pixel_outside_changes_and_the_ball_is_used(
    name: str, norm: Norm, small: Classifier, pictures: np.ndarray, masks: np.ndarray
) -> None:
    attack, threat = build(name), Threat(norm, EPS[norm])
    labels = small.predict(pictures).argmax(axis=1)
    found, queries = CompiledAttack(small, attack, threat)(pictures, labels, masks)
    outside = np.broadcast_to(~masks, found.shape)
    np.testing.assert_array_equal(found[outside], pictures[outside])
    used = threat.size(tf.constant(found - pictures)).numpy() / threat.eps
    assert used.max() <= 1 + 1e-5
    gained = losses(small, threat, found, labels) - losses(small, threat, pictures, labels)
    assert (gained > 1e-4).all()
    assert queries.min() >= 1
    if (attack.kind in TO_THE_SURFACE and name != "rfgsm") or name in ("square", "simba"):
        # Half of the pixels of a point that fills the ball without a mask would use 0.7 of it in l2.
        assert used.min() > 0.94


@pytest.mark.parametrize(
    ("spec", "norm"), [("pgd:stop=true", Norm.L2), pytest.param("square:queries=100", Norm.L2, marks=pytest.mark.slow)]
)
def test_an_image_keeps_its_own_mask_when_others_leave_the_batch(
    spec: str, norm: Norm, linear: Classifier, pictures: np.ndarray, masks: np.ndarray
) -> None:
    labels = linear.predict(pictures).argmax(axis=1)
    # Those that are adversarial from the start leave at once.
    labels[[0, 2]] = (labels[[0, 2]] + 1) % 4
    attack = CompiledAttack(linear, registry.build("attacks", spec), Threat(norm, 0.05))
    together, _ = attack(pictures, labels, masks)
    for row in (1, 3, 4):
        alone, _ = attack(pictures[row : row + 1], labels[row : row + 1], masks[row : row + 1])
        np.testing.assert_allclose(together[row], alone[0], atol=1e-6)
    assert attack.traces == 1


def test_a_step_in_l2_goes_along_the_gradient_of_the_pixels_that_may_change(
    linear: Classifier, pictures: np.ndarray, masks: np.ndarray
) -> None:
    labels = linear.predict(pictures).argmax(axis=1)
    kernel = linear.model.weights[0].numpy()
    gradient = ((linear.predict(pictures) - np.eye(4)[labels]) @ kernel.T).reshape(pictures.shape) * masks
    unit = gradient / np.sqrt(np.square(gradient).sum(axis=(1, 2, 3), keepdims=True))
    found, _ = CompiledAttack(linear, registry.build("attacks", "fgsm"), Threat(Norm.L2, 0.1))(pictures, labels, masks)
    np.testing.assert_allclose(found, pictures + 0.1 * unit, atol=1e-5)


@pytest.mark.parametrize("norm", [Norm.L2, Norm.L1])
def test_samples_fill_the_ball_of_the_pixels_that_may_change(norm: Norm) -> None:
    shape = (200, 4, 4, 1)
    mask = tf.reshape(tf.range(16) % 4 == 0, (1, 4, 4, 1)) & tf.fill(shape, True)
    threat = replace(Threat(norm, 0.1), mask=mask)
    rng = ImageRng(tf.stack([tf.range(200), tf.zeros(200, tf.int32)], axis=1))
    sizes = threat.size(threat.sample(tf.fill(shape, 0.5), rng) - 0.5).numpy() / 0.1
    # In d dimensions the median of a uniform point's size is 2 ** (-1 / d) of the radius: here d is 4, not 16.
    assert np.median(sizes) == pytest.approx(2 ** (-1 / 4), abs=0.06)


def test_what_does_not_move_pixels_for_themselves_is_refused() -> None:
    for spec in ("spatial", "universal", "patch"):
        with pytest.raises(UsageError, match=f"'{spec}' .* no mask"):
            Request(files=(Path("a.png"),), attack=spec, mask=Path("mask.png"))
    assert registry.build("attacks", "autoattack").masked


def write_mask(path: Path, share: float, shape: tuple[int, int]) -> np.ndarray:
    white = np.random.default_rng(1).uniform(size=shape) < share
    Image.fromarray(white.astype(np.uint8) * 255).save(path)
    return white


def write_picture(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    pixels = np.random.default_rng(2).integers(60, 200, shape, dtype=np.uint8)
    png.write(path, pixels)
    return pixels


def attacked(
    classifier: Classifier, files: list[Path], threat: Threat, mask: Path, spec: str = "pgd:steps=3", **options: bool
) -> list[Attacked | Failed]:
    request = Resolved(spec=spec, threat=threat, mask=mask, **options)  # pyright: ignore[reportArgumentType]  options of several types
    search = registry.build("attacks", spec)
    assert isinstance(search, Attack)
    outputs = {file: file.with_name(f"{file.stem}-out") for file in files}
    events = attack_files(classifier, outputs, search, request)
    return [event for event in events if isinstance(event, (Attacked, Failed))]


@pytest.mark.parametrize(
    ("threat", "minimal"),
    [
        (Threat(eps=0.1), False),
        (Threat(Norm.L2, 1.0), False),
        pytest.param(Threat(Norm.L1, 9.0), False, marks=pytest.mark.slow),
        pytest.param(Threat(eps=0.5), True, marks=pytest.mark.slow),
    ],
)
def test_the_file_that_is_written_differs_inside_the_mask_only(
    threat: Threat, minimal: bool, linear: Classifier, tmp_path: Path
) -> None:
    before = write_picture(tmp_path / "a.png", (12, 9, 3))
    # Twice the height and three times the width: each of its pixels covers six of the mask, the nearest is the middle.
    large = write_mask(tmp_path / "mask.png", 0.4, (36, 27))
    mask = large[1::3, 1::3]
    (record,) = attacked(linear, [tmp_path / "a.png"], threat, tmp_path / "mask.png", minimal=minimal)
    assert isinstance(record, Attacked)
    assert record.output is not None
    after = images.read(Path(record.output))
    changed = (before != after).any(axis=-1)
    assert changed.any()
    assert not changed[~mask].any()
    assert record.mask == str(tmp_path / "mask.png")
    assert record.mask_share == mask.mean()
    assert png.record_in(Path(record.output))["mask"] == "mask.png"


def test_a_folder_has_a_mask_for_each_image(linear: Classifier, tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    pictures = [write_picture(file, (8, 8, 3)) for file in files]
    halves = np.zeros((2, 8, 8), np.uint8)
    halves[0, :4], halves[1, 4:] = 255, 255
    for name, half in zip(("a.bmp", "b.png"), halves, strict=True):
        Image.fromarray(half).save(tmp_path / "masks" / name)
    records = attacked(linear, files, Threat(eps=0.1), tmp_path / "masks")
    for record, before, half in zip(records, pictures, halves, strict=True):
        assert isinstance(record, Attacked)
        assert record.output is not None
        changed = (images.read(Path(record.output)) != before).any(axis=-1)
        assert changed.any()
        assert not changed[half == 0].any()
    (tmp_path / "masks" / "b.png").unlink()
    with pytest.raises(UsageError, match="no image called 'b'"):
        find_masks(files, tmp_path / "masks")
    for name in ("b.png", "b.gif"):
        Image.fromarray(halves[1]).save(tmp_path / "masks" / name)
    with pytest.raises(UsageError, match="are both for"):
        find_masks(files, tmp_path / "masks")


@pytest.mark.parametrize("fit", ["squash", "crop"])
def test_a_mask_is_brought_to_the_models_size_with_its_image(fit: str, linear: Classifier, tmp_path: Path) -> None:
    """An image that shows the mask itself: after resizing it must be bright where its mask is white."""
    shown = np.zeros((40, 80), np.uint8)
    shown[10:30, 30:70] = 255
    Image.fromarray(shown).save(tmp_path / "a.png")
    fitted = replace(linear, fitting=fit)
    (group,) = groups([tmp_path / "a.png"], fitted, True, 1, {tmp_path / "a.png": tmp_path / "a.png"})
    assert isinstance(group, list)
    (picture,) = group
    assert picture.mask is not None
    assert picture.pixels.shape == (8, 8, 3)
    grey = picture.pixels.mean(axis=-1)
    assert picture.mask[grey > 200].all()
    assert not picture.mask[grey < 50].any()
    assert 0 < picture.mask.mean() < 1


def test_a_mask_that_leaves_nothing_or_is_damaged_fails_its_image(linear: Classifier, tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", (8, 8, 3))
    Image.new("L", (8, 8)).save(tmp_path / "black.png")
    (tmp_path / "damaged.png").write_bytes((tmp_path / "black.png").read_bytes()[:40])
    for name, said in (("black.png", "no pixel to change"), ("damaged.png", "the mask")):
        (failed,) = attacked(linear, [tmp_path / "a.png"], Threat(eps=0.1), tmp_path / name)
        assert isinstance(failed, Failed)
        assert said in failed.error
        assert name in failed.error
