"""Memory that is exhausted for a batch costs time and a note, and changes no verdict."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcli import registry
from advcli.backend import Tensor, keras, tf
from advcli.errors import AdvcliError
from advcli.model.classifier import Classifier
from advcli.model.failures import failure_of_image
from advcli.model.smaller_batches import SmallerBatches
from advcli.records import Record
from advcli.search.compiled_attack import CompiledAttack
from advcli.tasks.attack.request import Request
from advcli.tasks.attack.run import attack_files, find_classes
from advcli.tasks.attack.validate import choose
from advcli.threat.threat import Norm, Threat
from evaluations import close, untimed

LABELS = ("cat", "dog", "owl", "fox")


@keras.saving.register_keras_serializable("smaller_batches")
class Narrow(keras.layers.Layer):
    """Passes its input on, and runs out of memory for more than so many images."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def call(self, inputs: Tensor) -> Tensor:
        def allocate(count: np.ndarray) -> np.ndarray:
            if count > self.most:
                raise MemoryError
            return np.zeros((count, 1, 1, 1), np.float32)

        taken = tf.numpy_function(allocate, [tf.shape(inputs)[0]], tf.float32)
        return inputs + tf.ensure_shape(taken, (None, 1, 1, 1))


def narrow(most: int) -> Classifier:
    """Return logistic regression that takes so many images at once."""
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Dense(4)(keras.layers.Flatten()(Narrow(most)(image))))
    generator = np.random.default_rng(2)
    for weight in model.weights:
        weight.assign(generator.normal(size=weight.shape))
    return Classifier("heavy", model, LABELS, (8, 8))


def test_a_batch_is_halved_until_it_fits(caplog: pytest.LogCaptureFixture) -> None:
    sizes = []

    def compute(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sizes.append(len(rows))
        if len(rows) > 5:
            raise MemoryError
        return rows * 2, rows + 1

    batches = SmallerBatches()
    for count in (20, 7, 0):
        doubled, next_ = batches(compute, np.arange(count))
        assert doubled.tolist() == [2 * i for i in range(count)]
        assert next_.tolist() == [i + 1 for i in range(count)]
    # A size that was too large is not tried again.
    assert sizes == [20, 10, 5, 5, 5, 5, 5, 2, 0]
    assert [record.getMessage() for record in caplog.records] == [
        "out of memory for 20 images at once: smaller batches are used (see --batch)"
    ]


def test_other_errors_and_black_boxes_are_left_alone() -> None:
    def fail(_: np.ndarray) -> tuple[np.ndarray]:
        raise MemoryError("own")

    with pytest.raises(MemoryError, match="own"):
        SmallerBatches(can_halve=False)(fail, np.zeros(4))
    with pytest.raises(AdvcliError, match="out of memory for a single image"):
        SmallerBatches()(fail, np.zeros(4))
    with pytest.raises(ZeroDivisionError):
        SmallerBatches()(lambda rows: (rows * (1 // 0),), np.zeros(4))


def test_predictions_and_attacks_are_the_same(caplog: pytest.LogCaptureFixture) -> None:
    pixels = np.random.default_rng(3).uniform(0.2, 0.8, (12, 8, 8, 3)).astype(np.float32)
    found = []
    for most in (5, 12):
        caplog.clear()
        classifier = narrow(most)
        labels = classifier.predicted(pixels)
        attack = registry.build("attacks", "pgd:steps=3")
        search = CompiledAttack(classifier.inference_copy, attack, Threat(Norm.LINF, 0.02)).search
        found.append((labels, search(pixels, labels)))
        assert len(caplog.records) == (most < 12), caplog.text
    (other, few), (labels, all_) = found
    np.testing.assert_array_equal(other, labels)
    np.testing.assert_array_equal(few.predicted, all_.predicted)
    np.testing.assert_array_equal(few.queries, all_.queries)
    np.testing.assert_allclose(few.points, all_.points, atol=1e-6)
    assert 0 < (all_.predicted != labels).sum() < 12


def test_attacked_files_are_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    generator = np.random.default_rng(0)
    files = [tmp_path / f"{number}.png" for number in range(8)]
    for file in files:
        Image.fromarray(generator.integers(60, 200, (8, 8, 3), dtype=np.uint8)).save(file)
    found = {}
    for most, name in ((8, "free"), (3, "narrow"), (0, "none")):
        caplog.clear()
        classifier = narrow(8)
        assert classifier.inference_copy.source is not None
        classifier.model.layers[1].most = most
        request = Request(files=tuple(files), attack="pgd:steps=3", eps=0.02)
        chosen = choose(request)
        outputs = {file: tmp_path / name / file.stem for file in files}
        events = attack_files(classifier, outputs, chosen.search, find_classes(request, chosen, classifier))
        found[name] = [event for event in events if isinstance(event, Record)]
        assert len(caplog.records) == (most < 8), caplog.text
    assert {(record.type, getattr(record, "error", "")[:33]) for record in found["none"]} == {
        ("failed", "out of memory for a single image ")
    }
    for file in (tmp_path / "free").iterdir():
        other = tmp_path / "narrow" / file.name
        np.testing.assert_array_equal(np.asarray(Image.open(other)), np.asarray(Image.open(file)))
    free, few = (
        [{**said, "output": Path(said["output"]).name} for said in untimed(found[name])] for name in ("free", "narrow")
    )
    assert few == close(free)
    assert len(found["free"]) == len(found["narrow"]) == len(list((tmp_path / "free").iterdir())) == 8


def test_memory_that_is_exhausted_while_a_function_is_traced_halves_the_batch() -> None:
    traced = []

    @tf.function(autograph=True)
    def compute(rows: Tensor) -> Tensor:
        traced.append(rows.shape[0])
        if traced[-1] > 2:
            raise MemoryError("no page is left")
        for _ in tf.range(2):
            rows = rows + 1
        return rows

    batches = SmallerBatches()
    with pytest.raises(Exception, match="no page is left") as refused:
        compute(tf.zeros(3))
    assert failure_of_image(refused.value, []) == "out of memory"
    traced.clear()
    (found,) = batches(lambda rows: (compute(tf.constant(rows)).numpy(),), np.arange(4, dtype=np.float32))
    assert traced == [4, 2]
    np.testing.assert_array_equal(found, np.arange(4) + 2)
    with pytest.raises(ValueError, match="shape"):
        batches(lambda rows: (rows.reshape(7),), np.zeros(2))
