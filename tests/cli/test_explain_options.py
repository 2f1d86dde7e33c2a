"""The options of explain, each as a user gives it. Every test runs the real process."""

import json
import resource
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcli.backend import keras
from advcli.tasks.explain.check_cache import CHECK_FILE
from conftest import Command, make_classifier


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a model that is easy to fool."""
    folder = tmp_path_factory.mktemp("runs") / "loud"
    classifier = make_classifier("small:width=4", edge=16)
    kernel = classifier.model.get_layer("logits").kernel
    kernel.assign(np.random.default_rng(5).normal(size=kernel.shape))
    folder.mkdir()
    classifier.save(folder / "model.keras")
    (folder / "run.json").write_text("{}")
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    files = []
    for number in range(3):
        file = tmp_path / "photos" / f"kind {number}" / f"{number}.png"
        file.parent.mkdir(parents=True)
        pixels = np.random.default_rng(number).integers(60, 200, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file)
        files.append(file)
    return files


def records(text: str, kind: str) -> list[dict[str, object]]:
    return [record for record in map(json.loads, text.splitlines()) if record["type"] == kind]


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ("", "missing argument 'IMAGE...'", "explain --help"),
        ("x.png --contrast 3", "--contrast is not two classes: '3'", "write two names"),
        ("x.png --contrast 3,3", "--contrast is not two classes: '3,3'", "write two names"),
        ("x.png --scale log", "--scale has no 'log'", "own, shared"),
        ("x.png --eps 0.1", "--norm and --eps have no effect without --attack", "--attack"),
        ("x.png --adversarial x.png --eps 0.1", "no effect without --attack", "read from the file"),
        ("x.png --attack pgd --adversarial x.png", "reads them", "leave one of them out"),
        ("x.png --adversarial y.png", "no such file: 'y.png'", "what advcli attack wrote"),
        ("x.png --layer relu0 --method saliency", "saliency shows no layer", "gradcam"),
        ("x.png --method gradcam:layer=a --layer b", "option 'layer' is given twice", ""),
        ("x.png --report page.txt", "'page.txt' is not a file name for a page", "index.html"),
        ("x.png --overwrite --skip-existing", "contradict each other", "leave one"),
        ("x.png --class cat", "no class 'cat' among the 4 classes", "choose from: kind 0"),
        ("x.png --contrast 1,cat", "no class 'cat'", ""),
        ("x.png --label cat", "no class 'cat'", ""),
        ("x.png --class true", "the true class of no image is known", "--label"),
        ("x.png --layer relu9", "has no layer 'relu9'", "did you mean 'relu"),
        ("x.png --layer logits", "has no layer 'logits'|is not a feature map", ""),
        ("x.png --compare nowhere", "no model 'nowhere'", ""),
    ],
)
def test_what_was_called_wrongly_is_told_before_any_work(
    advcli: Command, tmp_path: Path, run: Path, options: str, message: str, hint: str
) -> None:
    Image.new("RGB", (20, 20), "red").save(tmp_path / "x.png")
    result = advcli("explain", *options.split(), "--model", run)
    assert result.returncode == 2, result.stderr
    assert any(part in result.stderr for part in message.split("|")), result.stderr
    assert hint in result.stderr
    assert not (tmp_path / "maps").exists()


def test_a_folder_is_explained_resumed_and_summed_up(advcli: Command, run: Path, pictures: list[Path]) -> None:
    folder = pictures[0].parent.parent
    common = ("explain", "photos", "--model", run, "--attack", "pgd:steps=3", "--eps", "16/255", "--json")
    first = advcli(*common, cwd=folder.parent)
    assert first.returncode == 0, first.stderr
    assert "for 3 of 3 images" in first.stderr
    assert {record["true"] for record in records(first.stdout, "explained")} == {"kind 0", "kind 1", "kind 2"}
    assert records(first.stdout, "shifted")
    sheets = sorted((folder.parent / "maps").iterdir())
    assert [path.name for path in sheets] == [f"{number}.explain.png" for number in range(3)]
    refused = advcli(*common, cwd=folder.parent)
    assert refused.returncode == 2
    assert "output exists" in refused.stderr
    kept = sheets[0].read_bytes()
    sheets[1].unlink()
    rest = advcli(*common, "--skip-existing", cwd=folder.parent)
    assert rest.returncode == 0, rest.stderr
    assert "2 of 3 images are explained already" in rest.stderr
    assert {record["image"] for record in records(rest.stdout, "explained")} == {"photos/kind 1/1.png"}
    assert sheets[0].read_bytes() == kept
    assert "the page" not in rest.stderr
    sheets[1].unlink()
    paged = advcli(*common, "--skip-existing", "--report", "page.html", cwd=folder.parent)
    assert "the page shows only the image explained now" in paged.stderr
    nothing = advcli(*common, "--skip-existing", cwd=folder.parent)
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "nothing is left" in nothing.stderr
    # The sheets are there, the values are not.
    raw = advcli(*common, "--skip-existing", "--raw", cwd=folder.parent)
    assert raw.returncode == 0, raw.stderr
    assert len({record["image"] for record in records(raw.stdout, "explained")}) == 3
    assert all(record["raw"] for record in records(raw.stdout, "explained"))


def test_everything_at_once_in_a_table_and_files(advcli: Command, run: Path, pictures: list[Path]) -> None:
    folder = pictures[0].parent
    made = advcli("attack", "0.png", "--model", run, "--attack", "pgd:steps=5", "--eps", "16/255", cwd=folder)
    assert made.returncode == 0, made.stderr
    result = advcli(
        *("explain", "0.png", "--model", run, "--compare", run / "model.keras", "--adversarial", "0.adv.png"),
        *("--method", "saliency", "--method", "gradcam++", "--layer", "relu1", "--separate", "--raw", "--check"),
        *("--report", "page/index.html"),
        cwd=folder,
    )
    assert result.returncode == 0, result.stderr
    for words in (
        "restored pixels",
        "Maps",
        "rank correlation (noise)",
        "Sanity checks of the maps",
        "relu1",
        "as above",
    ):
        assert words in result.stdout
    written = {path.name for path in (folder / "maps").iterdir()}
    assert {"0.explain.png", "0.explain.npz", "0.gradcam-plus-plus.png", "0.adv.saliency-positive.png"} <= written
    assert "<article" in (folder / "page" / "index.html").read_text(encoding="utf-8")
    known = json.loads((run / CHECK_FILE).read_text())
    assert sorted({entry["method"] for entry in known.values()}) == ["gradcam-plus-plus", "saliency"]
    wrong = advcli("explain", "0.png", "--model", run, "--adversarial", "../kind 1/1.png", "--out", "x", cwd=folder)
    assert wrong.returncode == 0
    assert "contains no record of its attack" in wrong.stderr


def test_layers_are_listed_without_an_image(advcli: Command, run: Path) -> None:
    result = advcli("explain", "--list-layers", "--model", run, "--json")
    assert result.returncode == 0, result.stderr
    found = records(result.stdout, "layer")
    assert [record["layer"] for record in found if record["chosen"]]
    assert {"layer", "rows", "columns", "channels", "reason"} <= found[0].keys()
    shown = advcli("explain", "--list-layers", "--model", run)
    assert "shown by default" in " ".join(shown.stdout.split())


def test_a_file_that_is_something_else_is_no_adversarial_image(
    advcli: Command, run: Path, pictures: list[Path]
) -> None:
    folder = pictures[0].parent
    made = advcli("attack", "0.png", "--model", run, "--attack", "fgsm", "--save", "difference", cwd=folder)
    assert made.returncode == 0, made.stderr
    (difference,) = folder.glob("0.*.png")
    result = advcli("explain", "0.png", "--model", run, "--adversarial", difference, cwd=folder)
    assert result.returncode == 2
    assert "is a difference, not an adversarial image" in result.stderr


def test_a_full_disk_is_told_in_one_line(advcli: Command, run: Path, pictures: list[Path]) -> None:
    # Of files that are just large enough for the model to be read, with a font list that is there already.
    most = (run / "model.keras").stat().st_size + 2048

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    result = advcli("explain", pictures[0], "--model", run, "--top", 4, preexec_fn=small, env={})
    assert result.returncode == 1
    assert "cannot write 'maps/0.explain.png'" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_model_of_two_outputs_is_refused(advcli: Command, pictures: list[Path]) -> None:
    image = keras.Input((16, 16, 3))
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    heads = [keras.layers.Dense(3)(features) for _ in range(2)]
    model = pictures[0].parent / "model.keras"
    keras.Model(image, heads).save(model)
    result = advcli("explain", pictures[0], "--model", model, "--input-range", "0,1")
    assert result.returncode == 2
    assert "has 2 outputs: dense" in result.stderr
    assert "hint: choose one: --output dense" in result.stderr
    assert "Traceback" not in result.stderr
