"""The four commands as functions of Python."""

import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import advcli
from advcli import registry
from advcli.backend import KerasModel, Tensor, keras
from advcli.errors import AdvcliError, UsageError
from advcli.records import Attacked, Checked, Epoch, Score, Trained
from advcli.tasks.attack.request import Request as AttackRequest
from advcli.tasks.benchmark.request import Request
from advcli.tasks.explain.request import Request as ExplainRequest
from conftest import make_classifier


@pytest.fixture(scope="module")
def model() -> KerasModel:
    """An untrained network of the kind a tutorial makes: 0 to 255 in, softmax out."""
    keras.utils.set_random_seed(3)
    layers = [
        keras.layers.Input((32, 32, 3)),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(8, 3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(4, activation="softmax"),
    ]
    return keras.Sequential(layers, name="tutorial")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)


def test_importing_it_is_quick_and_imports_no_library() -> None:
    code = (
        "import sys, time; start = time.perf_counter(); import advcli; took = time.perf_counter() - start;"
        "assert took < 0.1, took; assert not {'numpy', 'tensorflow', 'typer'} & set(sys.modules); print(dir(advcli))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "benchmark" in done.stdout
    with pytest.raises(AttributeError, match="no attribute 'bencmark'"):
        advcli.bencmark  # noqa: B018  the attribute does not exist


def test_every_public_name_is_there() -> None:
    assert all(getattr(advcli, name) is not None for name in advcli.__all__)
    assert (Path(advcli.__file__).parent / "py.typed").is_file()


def test_a_keras_model_and_arrays_are_benchmarked(model: KerasModel, images: np.ndarray) -> None:
    predicted = model.predict(images.astype(np.float32), verbose=0).argmax(axis=1)
    labels = predicted.copy()
    labels[:3] = (labels[:3] + 1) % 4
    seen = []
    records = advcli.benchmark(
        model, data=(images, labels), input_range="0,255", attacks=["fgsm"], eps="4/255", checks=False,
        progress=seen.append,
    )  # fmt: skip
    scores = {score.perturbation: score for score in records.of(Score)}
    assert (scores["clean"].correct, scores["clean"].images) == (9, 12)
    assert scores["fgsm"].eps == pytest.approx(4 / 255)
    assert scores["fgsm"].correct < 9
    assert seen


def test_a_request_and_its_fields_are_the_same(model: KerasModel, tmp_path: Path) -> None:
    make_classifier("small:width=4", channels=1, classes=10).save(tmp_path / "model.keras")
    fields = {"data": "digits", "limit": 20, "attacks": ("fgsm",), "eps": ("0.1",), "checks": False}
    labels = tmp_path / "names.txt"
    labels.write_text("\n".join("0123456789"))
    path = str(tmp_path / "model.keras")
    by_fields = advcli.benchmark(path, **fields, labels=labels)
    by_request = advcli.benchmark(Request(models=(path,), **fields, labels=labels))
    assert [each.correct for each in by_fields.of(Score)] == [each.correct for each in by_request.of(Score)]


def test_arrays_are_attacked(model: KerasModel, images: np.ndarray) -> None:
    found = advcli.attack(images, model=model, attack="pgd:steps=10", eps="8/255", input_range="0,255")
    assert isinstance(found, advcli.Adversarial)
    change = np.abs(found.images - images / np.float32(255))
    assert change.max() <= 8 / 255 + 1e-6
    assert found.fooled.any()
    clean = model.predict(images.astype(np.float32), verbose=0).argmax(axis=1)
    after = model.predict(found.images * np.float32(255), verbose=0).argmax(axis=1)
    np.testing.assert_array_equal(after, found.predicted)
    np.testing.assert_array_equal(after != clean, found.fooled)
    # What is wrong without an attack is not fooled by one.
    labels = np.where(np.arange(len(clean)) % 2, clean, (clean + 1) % 3)
    of_labels = advcli.attack(images, labels, model=model, attack="pgd:steps=10", eps="8/255", input_range="0,255")
    assert isinstance(of_labels, advcli.Adversarial)
    np.testing.assert_array_equal((of_labels.predicted != labels) & (clean == labels), of_labels.fooled)
    assert (of_labels.predicted != labels)[::2].any() and not of_labels.fooled[::2].any()
    target = advcli.attack(
        images[:2], model=model, attack="pgd:steps=10", eps=1.0 - 1e-6, target="2", input_range="0,255"
    )
    assert isinstance(target, advcli.Adversarial)
    assert (target.predicted == 2).all()


def test_files_are_attacked_and_explained(model: KerasModel, images: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(images[0]).save(tmp_path / "x.png")
    records = advcli.attack(tmp_path / "x.png", model=model, out=tmp_path, eps="8/255", input_range="0,255")
    assert isinstance(records, advcli.Records)
    (record,) = records.of(Attacked)
    assert (tmp_path / "x.adv.png").is_file()
    assert Path(str(record.output)) == tmp_path / "x.adv.png"
    explained = advcli.explain(
        [tmp_path / "x.png"], model=model, out=tmp_path / "maps", methods="saliency", input_range="0,255"
    )
    assert len(explained) > 0
    assert list((tmp_path / "maps").glob("*.png"))


def test_arrays_are_explained(model: KerasModel, images: np.ndarray) -> None:
    maps = advcli.explain(images[:3], model=model, methods=["saliency", "gradcam"], input_range="0,255")
    assert isinstance(maps, dict)
    assert {name: each.shape for name, each in maps.items()} == dict.fromkeys(["saliency", "gradcam"], (3, 32, 32))
    assert maps["saliency"].std() > 0


def test_maps_of_an_array_are_of_the_predicted_classes(model: KerasModel, images: np.ndarray) -> None:
    maps = advcli.explain(images[:3], model=model, methods=["saliency"], input_range="0,255", seed=1)
    classifier = advcli.load(model, input_range="0,255")
    pixels = images[:3] / np.float32(255)
    saliency = registry.build("explainers", "saliency")
    expected, other = (
        saliency(classifier, pixels, (classifier.classes(pixels) + shift) % 4, 1, None) for shift in (0, 1)
    )
    assert isinstance(maps, dict)
    np.testing.assert_allclose(maps["saliency"], expected, rtol=1e-5)
    assert not np.allclose(other, expected, rtol=0.1)


def test_arrays_pass_the_checks_of_an_evaluation(model: KerasModel, images: np.ndarray) -> None:
    predicted = model.predict(images.astype(np.float32), verbose=0).argmax(axis=1)
    found = advcli.benchmark(model, data=(images, predicted), attacks=["fgsm"], eps="4/255", input_range="0,255")
    checks = found.of(Checked)
    assert checks and not [each for each in checks if "training" in each.check and each.verdict != "PASS"]


def test_training_returns_the_epochs_and_the_run(tmp_path: Path) -> None:
    records = advcli.train(
        data="digits", backbone="linear", objective="clean", epochs=2, limit=100, out=str(tmp_path / "run")
    )
    assert len(records.of(Epoch)) == 2
    (trained,) = records.of(Trained)
    classifier = advcli.load(tmp_path / "run")
    assert classifier.labels == tuple("0123456789")
    assert isinstance(trained.to_json(), str)


def test_records_become_a_table(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    records = advcli.Records([Score(
        model="m", data="d", seed=0, perturbation="clean", norm=None, eps=None, severity=None, images=2, correct=1,
        accuracy=0.5, low=0.1, high=0.9, protocol="", accuracy_of_clean_correct=None, seconds=0.0,
    )])  # fmt: skip
    table = records.to_pandas()
    assert isinstance(table, pandas.DataFrame)
    assert (table["type"][0], table["accuracy"][0]) == ("score", 0.5)


PAIR = np.full((2, 8, 8, 3), 0.5, np.float32)


def small() -> KerasModel:
    """Return a Keras model of four classes, in which advcli calls them 0 to 3."""
    return make_classifier("linear").model


def test_labels_are_indices_or_names() -> None:
    results = [
        advcli.attack(PAIR, labels, model=small(), attack="fgsm", eps=0.2, input_range="0,1")
        for labels in (
            [1, 2],
            [1.0, 2.0],
            np.array([1, 2], np.uint8),
            [np.int64(1), np.int64(2)],
            ["1", "2"],
            np.array([[1], [2]]),
        )
    ]
    for found in results[1:]:
        np.testing.assert_array_equal(found.images, results[0].images)
    assert repr(results[0]) == f"Adversarial({results[0].fooled.sum()} of 2 images fooled)"


def test_a_list_of_classes_is_benchmarked_like_an_array() -> None:
    classes = [int(small().predict(PAIR, verbose=0).argmax(axis=1)[0]), 0]
    scores = [
        advcli.benchmark(small(), data=data, input_range="0,1", attacks=["fgsm"], eps="0.1", checks=False)
        for data in (
            (PAIR, classes), (PAIR, np.array(classes)), (PAIR, [str(label) for label in classes]), [PAIR, classes],
            (PAIR, np.array(classes)[:, None]), (PAIR, np.eye(4)[classes]), (PAIR * 255, classes),
        )
    ]  # fmt: skip
    first, *others = ([score.correct for score in each.of(Score)] for each in scores)
    assert others == [first] * 6
    assert first[0] >= 1


@pytest.mark.parametrize("eps", [0.1, [0.1], (0.1,), "0.1"], ids=["number", "list", "tuple", "text"])
def test_a_radius_is_a_number_or_a_text(eps: object) -> None:
    found = advcli.benchmark(small(), data=(PAIR, [0, 1]), input_range="0,1", attacks="fgsm", eps=eps, checks=False)
    assert {each.eps for each in found.of(Score) if each.perturbation == "fgsm"} == {0.1}


def test_a_list_of_names_in_one_text_is_read_as_on_the_command_line(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\ndog\nfox\nowl\n")
    images = np.concatenate([PAIR, PAIR[:1]])
    usual: dict[str, Any] = {"input_range": "0,1", "labels": labels, "attacks": "none", "checks": False}
    for classes in ("cat,fox", ["cat", "fox"], ("cat", "fox")):
        found = advcli.benchmark(small(), data=(images, [0, 1, 2]), classes=classes, **usual)
        assert {score.images for score in found.of(Score)} == {2}


def test_the_hint_is_part_of_a_traceback() -> None:
    with pytest.raises(UsageError) as caught:
        advcli.attack(PAIR, [0], model=small(), input_range="0,1")
    assert "hint: give 2" in "".join(traceback.format_exception(caught.value))


ASKED = AttackRequest(files=(Path("x.png"),))
SHOWN = ExplainRequest(files=(Path("x.png"),))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: advcli.benchmark("none.keras", data="digits"), "no model"),
        (lambda: advcli.benchmark("linear", dta="digits"), "no option 'dta'"),
        (lambda: advcli.benchmark(3, data="digits"), "not int"),
        (lambda: advcli.attack(np.full((1, 8, 8, 3), 7.0), model="linear"), "outside of"),
        (lambda: advcli.attack(np.zeros((8, 8, 3)), model=small(), input_range="0,1"), "one image is image[None]"),
        (lambda: advcli.attack(np.zeros((0, 8, 8, 3)), model=small(), input_range="0,1"), "holds no images for"),
        (lambda: advcli.attack(np.zeros((2, 8, 8, 1)), model=small(), input_range="0,1"), "takes (N, H, W, 3)"),
        (lambda: advcli.attack(PAIR, [0, 1, 2], model=small(), input_range="0,1"), "labels of shape 3 for 2 images"),
        (lambda: advcli.attack(PAIR, 1, model=small(), input_range="0,1"), "one value"),  # pyright: ignore[reportCallIssue, reportArgumentType]  not even a sequence
        (lambda: advcli.attack(PAIR, [0, 9], model=small(), input_range="0,1"), "from 0 to 9"),
        (lambda: advcli.attack(PAIR, [-1, 0], model=small(), input_range="0,1"), "from -1 to 0"),
        (lambda: advcli.attack(PAIR, [0.5, 0], model=small(), input_range="0,1"), "from 0.0 to 0.5"),
        (lambda: advcli.attack(PAIR, [float("nan"), 0], model=small(), input_range="0,1"), "from nan to nan"),
        (lambda: advcli.attack(PAIR, ["1", "cat"], model=small(), input_range="0,1"), "no class 'cat'"),
        (lambda: advcli.attack(PAIR, model=small(), input_range="0,1", surrogate="linear"), "surrogate is no option"),
        (lambda: advcli.attack(PAIR, model=small(), input_range="0,1", minimal=True), "minimal is no option"),
        (lambda: advcli.attack(PAIR, model=small(), input_range="0,1", label="1"), "label is no option"),
        (lambda: advcli.attack(PAIR, model=small(), input_range="0,1", batch=4), "batch is no option"),
        (lambda: advcli.attack(PAIR, model=small(), input_range="0,1", attack="universal"), "for many images"),
        (
            lambda: advcli.attack(PAIR, model=small(), input_range="0,1", attack="sparse-rs", norm="l0", eps=99),
            "is more than any",
        ),
        (lambda: advcli.explain(PAIR, model=small(), input_range="0,1", classes=["1"]), "classes is no option"),
        (lambda: advcli.explain(PAIR, model=small(), input_range="0,1", attack="fgsm"), "attack is no option"),
        (lambda: advcli.benchmark(small(), data=(PAIR, [0, 9]), input_range="0,1"), "labels from 0 to 9"),
        (lambda: advcli.benchmark(small(), data=(PAIR, [0]), input_range="0,1"), "labels of shape 1 for 2 images"),
        (lambda: advcli.benchmark(small(), data=(PAIR + np.nan, [0, 1]), input_range="0,1"), "images holds NaN"),
        (lambda: advcli.benchmark(small(), data=(PAIR,), input_range="0,1"), "data of 1 parts"),  # pyright: ignore[reportArgumentType]  the mistake
        (lambda: advcli.load("linear", input_range="0"), "--input-range"),
        (lambda: advcli.train(data="digits", epocs=3), "did you mean 'epochs'"),
        (lambda: advcli.attack(ASKED, eps=0.1), "eps is an option"),  # pyright: ignore[reportCallIssue, reportArgumentType]  the mistake
        (lambda: advcli.explain(SHOWN, seed=1), "seed is an option"),  # pyright: ignore[reportCallIssue, reportArgumentType]  the mistake
    ],
)
def test_mistakes_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    assert message in f"{caught.value.message} {caught.value.hint}"


class Halved(keras.layers.Layer):
    def call(self, images: Tensor) -> Tensor:
        return images / 510


class Own(keras.Model):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.inner = keras.Sequential([Halved(), keras.layers.Flatten(), keras.layers.Dense(4, activation=doubled)])

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        return self.inner(images)


def doubled(values: Tensor) -> Tensor:
    return 2 * values


def test_a_model_with_classes_and_functions_of_the_callers_own(images: np.ndarray) -> None:
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Input((32, 32, 3)), keras.layers.Lambda(lambda x: x[..., ::-1]), Own()]
    for own in (Own(), keras.Sequential(layers)):
        scores = np.asarray(own(images.astype(np.float32)))
        classifier = advcli.load(own, input_range=(0, 255), labels=["a", "b", "c", "d"])
        assert classifier.labels == ("a", "b", "c", "d")
        assert classifier.predict(images / np.float32(255)).argmax(axis=1).tolist() == scores.argmax(axis=1).tolist()
        found = advcli.benchmark(own, data=(images, scores.argmax(axis=1)), attacks=["none"], input_range="0,255")
        assert [each.correct for each in found if isinstance(each, Score)] == [12]


def test_code_in_memory_gives_no_permission_to_other_code(
    model: KerasModel, images: np.ndarray, tmp_path: Path
) -> None:
    layers = [keras.layers.Input((32, 32, 3)), keras.layers.Lambda(lambda x: x / 255), keras.layers.Flatten()]
    own = keras.Sequential([*layers, keras.layers.Dense(4)])
    own.save(tmp_path / "surrogate.keras")
    labels = np.arange(12) % 4
    how = {"data": (images, labels), "input_range": "0,255", "attacks": ["fgsm"], "checks": False}
    with pytest.raises(AdvcliError, match="Python code"):
        advcli.benchmark(own, surrogate=str(tmp_path / "surrogate.keras"), **how)
    (tmp_path / "mine.py").write_text("raise RuntimeError('run')")
    with pytest.raises(UsageError, match="is code that would run"):
        advcli.attack(images, model=own, input_range="0,255", attack=f"{tmp_path}/mine.py")
    # What holds no code is recorded as it was measured: its results need no permission later.
    advcli.benchmark(model, out=tmp_path / "results.jsonl", **how)
    assert '"unsafe_load": true' not in (tmp_path / "results.jsonl").read_text()


def test_options_are_read_whatever_their_type(model: KerasModel, images: np.ndarray) -> None:
    named, numbered = (advcli.attack(images, model=model, target=target, eps=0.1) for target in ("2", np.int64(2)))
    np.testing.assert_array_equal(named.images, numbered.images)
    predicted = model.predict(images.astype(np.float32), verbose=0).argmax(axis=1)
    found = advcli.benchmark(model, data=(images, predicted), attacks=None, checks=False)
    assert {each.perturbation for each in found if isinstance(each, Score)} > {"clean"}
    with pytest.raises(UsageError, match="'sorted' is none of alphabetical, natural"):
        advcli.benchmark(model, data="digits", class_order="sorted")
