"""Models that only answer: files of other formats, endpoints and Python functions, through the command line."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from advcli import registry
from advcli.backend import keras, tf
from advcli.errors import UsageError
from advcli.model.answer_cache import AnswerCache
from advcli.model.answer_format import Scores
from advcli.model.black_box import BlackBox, ScoreFunction
from advcli.model.classifier import Classifier
from advcli.model.http_endpoint import HttpEndpoint
from advcli.model.model_choice import ModelChoice
from advcli.model.output_head import LOGARITHM, LOGITS
from advcli.search.compiled_attack import CompiledAttack
from advcli.threat.threat import Norm, Threat
from conftest import Command, make_classifier
from serving import Serving, served

SIZE = ("--image-size", 8)
BALL = ("--eps", "0.05")


@pytest.fixture(scope="module")
def folder(evaluated: Path) -> Path:
    """The models of an evaluation, the weights of the first one for a server, and five of its images."""
    model = keras.models.load_model(evaluated / "first.keras", compile=False)
    kernel, bias = (weight.numpy() for weight in model.weights)
    np.savez(evaluated / "weights.npz", kernel=kernel, bias=bias)
    pictures = evaluated / "pictures"
    pictures.mkdir(exist_ok=True)
    for number, pixels in enumerate(np.load(evaluated / "data.npz")["x_test"][:5]):
        Image.fromarray(pixels).save(pictures / f"{number}.png")
    return evaluated


@pytest.fixture
def server(folder: Path, tmp_path: Path) -> Iterator[Serving]:
    with served(folder / "weights.npz", tmp_path / "server") as running:
        yield running


def records(result: "subprocess.CompletedProcess[str]", kind: str) -> list[dict[str, Any]]:
    assert result.returncode == 0, result.stderr
    return [record for line in result.stdout.splitlines() if (record := json.loads(line))["type"] == kind]


def outcomes(result: "subprocess.CompletedProcess[str]") -> list[tuple[int, bool, str]]:
    attacked = records(result, "attacked")
    return [(each["queries"], each["fooled"], each["after"]["label"]) for each in attacked]


def endpoint(path: Path, server: Serving, **more: Any) -> Path:
    """Write a TOML file that describes a server."""
    values = {"url": server.address, "image_size": 8, "input_range": [0, 1], **more}
    path.write_text("".join(f"{key} = {_toml(value)}\n" for key, value in values.items()))
    return path


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


def test_an_endpoint_is_attacked_as_the_model_itself_and_every_query_is_counted(
    advcli: Command, folder: Path, server: Serving
) -> None:
    square = ("attack", folder / "pictures", "--attack", "square:queries=200", *BALL, "--json", "--overwrite")
    white = advcli(*square, "--model", folder / "first.keras")
    black = advcli(*square, "--model", server.address, *SIZE)
    labels = {name: f"class {index}" for index, name in enumerate(("cat", "dog", "owl", "fox"))}
    assert outcomes(black) == [(queries, fooled, labels[after]) for queries, fooled, after in outcomes(white)]
    (counted,) = records(black, "queried")
    assert counted["images"] == server.counts["images"]
    assert counted["requests"] == server.counts["requests"]
    assert "has no gradients" not in black.stderr
    bound = black.stderr.partition("at most ")[2].split()[0].replace(",", "")
    assert counted["images"] - 4 <= int(bound), black.stderr


def test_the_default_attack_needs_no_gradients(advcli: Command, folder: Path, server: Serving) -> None:
    result = advcli("attack", folder / "pictures/0.png", "--model", server.address, *SIZE, "--queries", 20, "--json")
    assert [record["attack"] for record in records(result, "attacked")] == ["square:queries=20"]
    assert "has no gradients" in result.stderr


def test_gradients_are_refused_before_the_endpoint_is_asked(advcli: Command, folder: Path, server: Serving) -> None:
    for command in (
        ("attack", folder / "pictures/0.png", "--model", server.address, "--attack", "pgd"),
        ("benchmark", server.address, "--data", folder / "data.npz", "--attack", "fgsm", "--attack", "square"),
        ("explain", folder / "pictures/0.png", "--model", server.address, "--method", "saliency"),
        ("explain", folder / "pictures/0.png", "--model", server.address, "--attack", "autoattack"),
    ):
        result = advcli(*command, *SIZE)
        assert result.returncode == 2, result.stderr
        named = ("occlusion", "rise") if "saliency" in command else ("square", "hopskipjump", "--surrogate")
        assert all(name in result.stderr for name in named), result.stderr
        assert "pgd," not in result.stderr.partition("hint")[2]
    assert server.counts["requests"] == 0


def test_an_image_size_is_needed(advcli: Command, folder: Path, server: Serving) -> None:
    result = advcli("attack", folder / "pictures/0.png", "--model", server.address)
    assert result.returncode == 1
    assert "--image-size" in result.stderr
    assert server.counts["requests"] == 0


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("nan", "returns NaN"),
        ("short", "4 answers for 5 images"),
        ("slow", "does not answer within 1 s"),
        (500, "answers 500 Internal Server Error"),
        ("die", "cannot be reached"),
        ("moved", "moved to 'http://127.0.0.1:1/elsewhere'"),
    ],
)
def test_a_fault_is_one_line(
    advcli: Command, folder: Path, server: Serving, tmp_path: Path, fault: Any, told: str
) -> None:
    file = endpoint(tmp_path / "mine.toml", server, retries=1, timeout=1)
    server.fail(None, None, repeat=fault)  # the first images are asked about when it is opened
    result = advcli("attack", folder / "pictures", "--model", file, "--attack", "square:queries=50", *BALL, "-q")
    assert result.returncode == 1
    assert f"advcli: error: 'mine' {told}" in result.stderr or told in result.stderr
    assert len(result.stderr.splitlines()) <= 2, result.stderr


def test_a_server_that_is_busy_is_asked_again(advcli: Command, folder: Path, server: Serving) -> None:
    server.fail(None, 429, 503, None, 429, "cut")
    command = ("attack", folder / "pictures/0.png", "--attack", "square:queries=20", *BALL, *SIZE, "--json")
    began = time.monotonic()
    result = advcli(*command, "--model", server.address)
    (counted,) = records(result, "queried")
    assert counted["images"] == server.counts["images"]
    assert server.counts["requests"] == counted["requests"] + 4
    assert time.monotonic() - began > 3 * 0.2
    assert "answers 429 Too Many Requests" in result.stderr
    assert "cannot be reached: IncompleteRead" in result.stderr


def test_an_evaluation_whose_server_died_is_resumed_without_asking_twice(
    advcli: Command, folder: Path, tmp_path: Path
) -> None:
    def evaluate(*more: Any) -> "subprocess.CompletedProcess[str]":
        return advcli("benchmark", *more, "--json")

    def lines(file: Path) -> list[dict[str, Any]]:
        content = [json.loads(line) for line in file.read_text().splitlines()]
        kept = [line for line in content if line["type"] not in ("queried", "protocol")]
        return [{key: value for key, value in line.items() if key not in ("seconds", "checksum")} for line in kept]

    with served(folder / "weights.npz", tmp_path / "server") as whole:
        port = whole.port
        options = ("--data", folder / "data.npz", "--attack", "square:queries=60", *BALL, *SIZE, "--batch", 8)
        evaluation = (whole.address, *options, "--noise", "gaussian")
        (counted,) = records(evaluate(*evaluation, "--out", "whole.jsonl"), "queried")
        images = whole.counts["images"]
        assert counted["images"] == images
        scores = [line for line in lines(tmp_path / "whole.jsonl") if line["type"] == "score"]
        # Four were sent to find out what it answers; the worst case is that of the only attack.
        assert sum(score["queries"] for score in scores if score["perturbation"] != "worst") == images - 4
    assert not list(tmp_path.glob("*.answers"))
    with served(folder / "weights.npz", tmp_path / "server", port=port) as first:
        (tmp_path / "server/counts.json").unlink()
        first.fail(*[None] * 90, "die")
        died = evaluate(*evaluation, "--out", "died.jsonl")
        assert died.returncode == 1
        before = first.counts["images"]
    assert len(list(tmp_path.glob("died.jsonl.*.answers"))) == 1
    with served(folder / "weights.npz", tmp_path / "server", port=port) as second:
        (tmp_path / "server/counts.json").unlink()
        second.fail()
        resumed = evaluate("--resume", "died.jsonl")
        assert resumed.returncode == 0, resumed.stderr
        # Only the four images of each start are asked about again.
        assert before + second.counts["images"] == images + 4
    assert lines(tmp_path / "died.jsonl") == lines(tmp_path / "whole.jsonl")
    assert not list(tmp_path.glob("*.answers"))


def test_ctrl_c_ends_a_search_of_a_slow_endpoint(folder: Path, server: Serving, tmp_path: Path) -> None:
    server.fail(None, None, None, repeat="slow")
    command = [sys.executable, "-m", "advcli", "attack", str(folder / "pictures"), "--model", server.address]
    process = subprocess.Popen(
        [*command, *map(str, SIZE), "--attack", "square"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    while server.counts["requests"] < 3:
        time.sleep(0.05)
        assert process.poll() is None
    time.sleep(1.0)  # the search waits for an answer
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert time.monotonic() - began < 15
    assert "Traceback" not in stderr


def test_headers_come_from_the_environment_and_go_to_no_other_server(
    advcli: Command, folder: Path, server: Serving, tmp_path: Path
) -> None:
    file = endpoint(tmp_path / "mine.toml", server, headers={"Authorization": "Bearer ${MY_TOKEN}"})
    command = ("attack", folder / "pictures/0.png", "--model", file, "--attack", "noise:queries=2", *BALL)
    missing = advcli(*command)
    assert missing.returncode == 2
    assert "'MY_TOKEN' is not set" in missing.stderr
    assert server.counts["requests"] == 0
    found = advcli(*command, "--json", env={"MY_TOKEN": "secret"})
    assert [each["model"] for each in records(found, "attacked")] == ["mine"]
    assert server.headers["Authorization"] == "Bearer secret"
    assert "secret" not in found.stdout + found.stderr


def test_an_endpoint_that_returns_classes_alone(advcli: Command, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\ndog\nowl\nfox\n")
    with served(folder / "weights.npz", tmp_path / "server", "classes") as server:
        known = ("--model", server.address, *SIZE, *BALL, "--overwrite", "--json", "--labels", "labels.txt")
        attack = ("attack", folder / "pictures", "--attack", "hopskipjump:queries=400", *BALL, "--json", "--overwrite")
        black = advcli(*attack, *known)
        white = advcli(*attack, "--model", folder / "first.keras")
        # Only the classes are looked at, so there is no difference.
        assert outcomes(black) == outcomes(white)
        refused = advcli("attack", folder / "pictures/0.png", "--attack", "square", *known)
        assert refused.returncode == 2
        assert "hopskipjump" in refused.stderr
        default = advcli("attack", folder / "pictures/0.png", "--queries", 300, *known)
        assert [each["attack"] for each in records(default, "attacked")] == ["hopskipjump:queries=300"]
        unnamed = advcli("attack", folder / "pictures/1.png", "--model", server.address, *SIZE, "--overwrite")
        assert unnamed.returncode == 1
        assert "--labels" in unnamed.stderr


def test_an_endpoint_is_explained_by_its_scores(advcli: Command, folder: Path, server: Serving) -> None:
    picture, known = folder / "pictures/0.png", ("--json", "--raw", "--overwrite")
    methods = ("--method", "occlusion", "--method", "rise:masks=50")
    white = advcli("explain", picture, "--model", folder / "first.keras", *methods, *known, "--out", "white")
    black = advcli("explain", picture, "--model", server.address, *SIZE, *methods, *known, "--out", "black")
    assert {each["method"] for each in records(black, "explained")} == {"occlusion", "rise"}
    assert white.returncode == 0, white.stderr
    (counted,) = records(black, "queried")
    assert counted["images"] == server.counts["images"]
    default = advcli("explain", picture, "--model", server.address, *SIZE, "--json", "--out", "default")
    assert {each["method"] for each in records(default, "explained")} == {"occlusion", "rise"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('url = "ftp://host/x"', "not the address"),
        ('url = "https://me:secret@host/x"', "holds credentials"),
        ('url = "http://host:99999999/x"', "is not a valid web address"),
        ('url = "http://host:port/x"', "is not a valid web address"),
        ('url = "http://[::1/x"', "is not a valid web address"),
        ('url = "http://host/a b"', "a space is %20"),
        ('url = "http://host/x"\nheaders = { "X Y" = "1" }', "the header 'X Y'"),
        ('url = "http://host/x"\nheaders = { Token = "secret\\n" }', "the header 'Token'"),
        ('url = "https://host/x"\nbach = 3', "did you mean 'batch'"),
        ('url = "https://host/x"\nbatch = "3"', "batch has the wrong type"),
        ('url = "https://host/x"\nrequest = "{}"', "no place for images"),
        ('url = "https://host/x"\nscores = "score"', "logits, probabilities, classes"),
        ("batch = 3", "has no url"),
        ("url = ", "cannot be read"),
    ],
)
def test_a_wrong_description_is_refused(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "mine.toml").write_text(content)
    with pytest.raises(UsageError) as error:
        HttpEndpoint.read(tmp_path / "mine.toml")
    assert told in f"{error.value.message} {error.value.hint}"
    assert "secret" not in error.value.message


def test_any_request_and_any_response() -> None:
    one = HttpEndpoint(url="https://host/x", request='{"x": ${image}}', response="out.0.p", name="m")
    image = np.array([[[[0.25]]]], np.float32)
    assert json.loads(one._body(image)) == {"x": [[[0.25]]]}
    assert one._scores(b'{"out": [{"p": [1, 2]}]}').tolist() == [[1, 2]]
    several = HttpEndpoint(url="https://host/x", response="out.*.p", name="m")
    assert several._scores(b'{"out": [{"p": [1, 2]}, {"p": [3, 4]}]}').tolist() == [[1, 2], [3, 4]]
    as_file = HttpEndpoint(url="https://host/x", image="png", channels=1, input_range=(-1.0, 1.0), name="m")
    import base64
    import io

    (text,) = json.loads(as_file._body(np.array([[[[-1.0], [1.0]]]], np.float32)))["instances"]
    assert np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))).tolist() == [[0, 255]]


def test_the_name_of_an_endpoint() -> None:
    assert HttpEndpoint.of_address("https://host:8501/v1/models/m:predict").name == "host:8501/m"
    assert HttpEndpoint.of_address("https://host/v1/models/m/versions/3:predict").name == "host/m/versions/3"


def test_no_network_is_used_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVCLI_OFFLINE", "1")
    with pytest.raises(UsageError, match="--offline"):
        ModelChoice("https://host/v1/models/m:predict")
    ModelChoice("http://localhost:8501/v1/models/m:predict")


# Files.


@pytest.fixture(scope="module")
def lite(folder: Path) -> Path:
    """The first model with a softmax as float and int8 TensorFlow Lite files, and as a Keras file."""
    pytest.importorskip("ai_edge_litert")
    model = keras.models.load_model(folder / "first.keras", compile=False)
    inputs = keras.Input((8, 8, 3))
    soft = keras.Model(inputs, keras.layers.Softmax()(model(inputs)))
    soft.save(folder / "soft.keras")
    (folder / "soft-float.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(soft).convert())
    for kind in (tf.int8, tf.uint8):
        converter = tf.lite.TFLiteConverter.from_keras_model(soft)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([np.full((1, 8, 8, 3), i / 10, np.float32)] for i in range(11))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = kind
        with pytest.warns(UserWarning, match="Statistics"):
            (folder / f"soft-{kind.name}.tflite").write_bytes(converter.convert())
    return folder


def test_a_float_file_gives_what_the_model_gives(lite: Path) -> None:
    pixels = np.load(lite / "data.npz")["x_test"] / np.float32(255)
    expected = ModelChoice(str(lite / "soft.keras")).load().predict(pixels)
    found = ModelChoice(str(lite / "soft-float.tflite")).load()
    assert found.head == LOGARITHM
    np.testing.assert_allclose(found.predict(pixels), expected, atol=1e-5)
    np.testing.assert_allclose(found.predict(pixels[:1]), expected[:1], atol=1e-5)
    assert not found.has_gradient


@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_a_quantised_file_is_near_the_model(lite: Path, kind: str) -> None:
    pixels = np.load(lite / "data.npz")["x_test"] / np.float32(255)
    expected = ModelChoice(str(lite / "soft.keras")).load().predict(pixels)
    found = ModelChoice(str(lite / f"soft-{kind}.tflite")).load()
    assert found.input_range == (0.0, 1.0)
    assert found.head == LOGARITHM
    scores = found.predict(pixels)
    assert np.abs(scores - expected).mean() < 0.02
    assert (scores.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.9


def test_what_quantisation_costs_in_one_table(advcli: Command, lite: Path) -> None:
    models = (lite / "soft.keras", lite / "soft-float.tflite", lite / "soft-int8.tflite")
    options = ("--data", lite / "data.npz", "--corruptions", "brightness", "--severity", 3, *BALL, "--json")
    result = advcli("benchmark", *models, *options)
    scores = records(result, "score")
    assert {score["perturbation"] for score in scores} == {"clean", "brightness", "square", "worst"}
    by_model = {model: [s["correct"] for s in scores if s["model"] == model] for model in ("soft", "soft-float")}
    assert by_model["soft"] == by_model["soft-float"]
    compared = records(result, "compared")
    assert {(each["model"], each["perturbation"]) for each in compared} >= {
        ("soft-int8", "clean"),
        ("soft-int8", "brightness"),
        ("soft-int8", "square"),
    }
    checks = {(each["model"], each["check"]) for each in records(result, "check")}
    assert ("soft", "zero-gradients") in checks
    assert ("soft-int8", "randomised") in checks
    assert ("soft-int8", "zero-gradients") not in checks
    assert "not all models have gradients" in result.stderr


def test_a_surrogate_of_the_same_function_gives_the_white_box_result(advcli: Command, lite: Path) -> None:
    options = ("--data", lite / "data.npz", "--attack", "pgd:steps=5", "--attack", "universal:steps=5", *BALL)
    white = records(advcli("benchmark", lite / "first.keras", *options, "--json", "--no-checks"), "score")
    run = advcli(
        *("benchmark", lite / "soft-float.tflite", *options, "--json", "--out", "r.jsonl"),
        *("--surrogate", lite / "first.keras"),
    )
    black = records(run, "score")
    assert [score["correct"] for score in black] == [score["correct"] for score in white]
    assert white[1]["correct"] < white[0]["correct"]
    assert {score["surrogate"] for score in black if score["perturbation"] == "pgd:steps=5"} == {
        str(lite / "first.keras")
    }
    assert not [each for each in records(run, "check") if each["check"] in ("zero-gradients", "unbounded")]
    other = advcli("benchmark", lite / "soft-float.tflite", *options, "--resume", "r.jsonl", "--json")
    assert other.returncode == 2


def test_images_are_crafted_on_a_surrogate(advcli: Command, lite: Path) -> None:
    command = ("attack", lite / "pictures", "--attack", "pgd", *BALL, "--json", "--overwrite")
    white = outcomes(advcli(*command, "--model", lite / "first.keras", "--out", "white"))
    black = advcli(*command, "--model", lite / "soft-int8.tflite", "--surrogate", lite / "first.keras", "--out", "o")
    assert [queries for queries, _, _ in outcomes(black)] == [0] * 5
    assert sum(fooled for _, fooled, _ in outcomes(black)) >= sum(fooled for _, fooled, _ in white) - 1 > 0
    for more, told in ((("--minimal",), "--minimal"), (("--surrogate", lite / "soft-int8.tflite"), "no gradients")):
        refused = advcli(*command, "--model", lite / "soft-int8.tflite", "--surrogate", lite / "first.keras", *more)
        assert refused.returncode == 2
        assert told in refused.stderr


@pytest.mark.parametrize("batch", [None, 1, 3])
@pytest.mark.parametrize("first", [True, False])
def test_an_onnx_file_with_channels_first_or_last(tmp_path: Path, batch: int | None, first: bool) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    kernel = np.random.default_rng(0).normal(size=(192, 4)).astype(np.float32)
    size = [3, 8, 8] if first else [8, 8, 3]
    one = onnx.helper
    graph = one.make_graph(
        [one.make_node("Flatten", ["x"], ["flat"]), one.make_node("MatMul", ["flat", "kernel"], ["y"])],
        "linear",
        [one.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [batch or "N", *size])],
        [one.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [batch or "N", 4])],
        [one.make_tensor("kernel", onnx.TensorProto.FLOAT, kernel.shape, kernel.ravel())],
    )
    model = one.make_model(graph, opset_imports=[one.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, tmp_path / "linear.onnx")
    classifier = ModelChoice(str(tmp_path / "linear.onnx"), input_range=(-1.0, 1.0)).load()
    pixels = np.random.default_rng(1).random((7, 8, 8, 3), dtype=np.float32)
    values = 2 * pixels - 1
    expected = (values.transpose(0, 3, 1, 2) if first else values).reshape(7, -1) @ kernel
    assert classifier.head == LOGITS
    np.testing.assert_allclose(classifier.logits_of(pixels), expected, rtol=1e-4, atol=1e-4)


def test_a_file_that_is_none_is_refused(advcli: Command, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.tflite").write_bytes(b"nothing")
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    for name in ("broken.tflite", "broken.onnx"):
        result = advcli("attack", folder / "pictures/0.png", "--model", name)
        assert result.returncode == 1
        assert f"cannot read model '{name}'" in result.stderr
        assert "Traceback" not in result.stderr
    missing = advcli("attack", folder / "pictures/0.png", "--model", "none.onnx")
    assert missing.returncode == 2
    assert "no such file" in missing.stderr


# Python functions.


def test_a_python_function_runs_only_if_that_is_allowed(advcli: Command, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import pathlib, numpy as np\n"
        "pathlib.Path('imported').touch()\n"
        f"w = np.load({str(folder / 'weights.npz')!r})\n"
        "def scores(x):\n    return x.reshape(len(x), -1) @ w['kernel'] + w['bias']\n"
        "def broken(x):\n    raise RuntimeError('the service is gone')\n"
    )
    attack = ("attack", folder / "pictures", "--attack", "square:queries=200", *BALL, "--json", "--overwrite")
    refused = advcli(*attack, "--model", "python:mine:scores", *SIZE, env={"PYTHONPATH": str(tmp_path)})
    assert refused.returncode == 2
    assert "--unsafe-load" in refused.stderr
    assert not (tmp_path / "imported").exists()
    path = {"env": {"PYTHONPATH": str(tmp_path)}}
    black = advcli(*attack, "--model", "python:mine:scores", *SIZE, "--unsafe-load", **path)
    white = advcli(*attack, "--model", folder / "first.keras")
    assert [each[:2] for each in outcomes(black)] == [each[:2] for each in outcomes(white)]
    failed = advcli(*attack, "--model", "python:mine:broken", *SIZE, "--unsafe-load", **path)
    assert failed.returncode == 1
    assert "'mine:broken' fails: RuntimeError: the service is gone" in failed.stderr
    absent = advcli(*attack, "--model", "python:mine:none", *SIZE, "--unsafe-load", **path)
    assert absent.returncode == 1
    assert "cannot import 'mine:none'" in absent.stderr


# What they are made of.


def answers(values: Any) -> Callable[[np.ndarray], np.ndarray]:
    return lambda images: np.resize(np.asarray(values), (len(images), *np.asarray(values).shape[1:]))


PROBE = np.zeros((2, 8, 8, 3), np.float32)


@pytest.mark.parametrize(
    ("values", "head", "classes"),
    [
        ([[0.2, 0.8], [0.5, 0.5]], "logarithm of its probabilities", 2),
        ([[0.2, 3.0], [-1.0, 0.5]], "logits", 2),
        ([[0.2, 0.7], [0.9, 0.6]], "inverse of its sigmoid", 2),
        ([[0.2], [0.9]], "inverse of its sigmoid", 2),
        ([[-2.0], [3.0]], "one logit", 2),
        ([3, 0], "classes without scores", 4),
        ([[3], [0]], "classes without scores", 4),
        (["fox", "cat"], "classes without scores", 4),
    ],
)
def test_what_an_answer_is(values: Any, head: str, classes: int) -> None:
    labels = ("cat", "dog", "owl", "fox") if classes == 4 else ()
    box = BlackBox(ScoreFunction(answers(values), b"", 8), "mine", labels)
    found, count = box.open(PROBE)
    assert (found.name, count) == (head, classes)
    if classes == 4:
        np.testing.assert_array_equal(box.ask(PROBE), [[0, 0, 0, 1], [1, 0, 0, 0]])


def test_one_output_is_what_it_is_declared_to_be() -> None:
    named: dict[Scores, str] = {"logits": "one logit", "probabilities": "inverse of its sigmoid"}
    for scores, head in named.items():
        box = BlackBox(ScoreFunction(answers([[0.2], [0.9]]), b"", 8, scores=scores), "mine", ())
        assert box.open(PROBE)[0].name == head


def test_what_changes_no_answer_is_not_part_of_an_endpoint_s_identity() -> None:
    known = HttpEndpoint(url="https://host/x", image_size=8, scores="logits")
    asked = {"batch": 4, "rate": 2.0, "retries": 1, "timeout": 3.0, "name": "m", "headers": {"Token": "1"}}
    for option, value in asked.items():
        assert replace(known, **{option: value}).open().identity == known.open().identity, option
    for option, value in {
        "url": "https://host/y",
        "input_range": (0.0, 1.0),
        "image": "png",
        "labels": ("a", "b"),
    }.items():
        assert replace(known, **{option: value}).open().identity != known.open().identity, option


def test_an_image_is_asked_about_once_a_batch() -> None:
    asked: list[int] = []

    def ask(images: np.ndarray) -> np.ndarray:
        asked.append(len(images))
        return images.reshape(len(images), -1)[:, :2]

    box = BlackBox(ScoreFunction(ask, b"", 8, max_batch=2, remote=True), "mine", ())
    images = np.arange(5, dtype=np.float32)[:, None, None, None] * np.ones((1, 8, 8, 3), np.float32)
    box.open(images)
    asked.clear()
    order = [0, 1, 0, 2, 1, 4]
    np.testing.assert_array_equal(box.ask(images[order])[:, 0], order)
    assert asked == [2, 2]
    np.testing.assert_array_equal(box.ask(images)[:, 0], np.arange(5))
    assert asked == [2, 2, 1]
    assert box.queries == 5
    box.end_batch()
    assert box.queries == 0
    box.ask(images[:1])
    assert asked == [2, 2, 1, 1]


def test_answers_outlast_a_killed_process(tmp_path: Path) -> None:
    file = tmp_path / "answers"
    cache = AnswerCache(file)
    keys = [bytes([i]) * 16 for i in range(3)]
    for i, key in enumerate(keys):
        cache.put(key, np.full(i + 1, i, np.float32))
    cache.flush()
    content = file.read_bytes()
    for cut in range(len(content) - 1, len(content) - 32, -1):
        file.write_bytes(content[:cut])
        again = AnswerCache(file)
        np.testing.assert_array_equal(again.get(keys[1]), [1, 1])
        assert again.get(keys[2]) is None
        again.put(keys[2], np.full(3, 2, np.float32))
        again.flush()
        assert file.read_bytes() == content
        assert again.queries == 2


NEVER = [
    ("square:queries=30,restarts=2", Norm.LINF),
    ("square:queries=30", Norm.L2),
    ("nes:queries=120", Norm.LINF),
    ("simba:queries=30", Norm.LINF),
    ("square:queries=30,restarts=2,eot=4", Norm.LINF),
    ("hopskipjump:queries=300", Norm.L2),
    ("hopskipjump:queries=700,eot=3", Norm.L2),
    ("geoda:queries=300", Norm.LINF),
    ("geoda:queries=700,eot=3", Norm.L2),
    ("noise:queries=7", Norm.LINF),
    ("spatial:angles=3,places=3", Norm.LINF),
]


@pytest.mark.parametrize(("spec", "norm"), NEVER)
def test_no_attack_asks_more_often_than_it_says(spec: str, norm: Norm) -> None:
    # The ball is so small that nothing fools the model.
    attack = registry.build("attacks", spec)
    pixels = np.full((2, 8, 8, 3), 0.5, np.float32)

    def ask(images: np.ndarray) -> np.ndarray:
        mean = images.mean(axis=(1, 2, 3))
        return np.stack([np.ones_like(mean), 0.1 * mean, 0 * mean], axis=1) * 100

    box = BlackBox(ScoreFunction(ask, b"", 8), "mine", ())
    head, _ = box.open(pixels)
    classifier = Classifier("mine", box, ("a", "b", "c"), (8, 8), head=head)
    _, queries = CompiledAttack(classifier, attack, Threat(norm, 0.001))(pixels, np.zeros(2, int))
    assert attack.most_queries is not None
    assert 0.5 * attack.most_queries <= queries.max() <= attack.most_queries


def test_what_needs_gradients_says_so() -> None:
    needs = {name: registry.build("attacks", name).needs for name in registry.names("attacks")}
    scored = {"square", "nes", "simba", "sparse-rs", "one-pixel"}
    assert {name for name, need in needs.items() if need == "scores"} == scored
    assert {name for name, need in needs.items() if need == "class"} == {"geoda", "hopskipjump", "noise", "spatial"}
    box = BlackBox(ScoreFunction(lambda x: x.mean(axis=(1, 2))[:, :2], b"", 8), "mine", ())
    head, _ = box.open(PROBE)
    classifier = Classifier("mine", box, ("a", "b"), (8, 8), head=head)
    assert classifier.access == "scores"
    assert make_classifier().access == "gradient"
    # Who claims to need only scores must run without gradients.
    for name, need in needs.items():
        if need != "gradient":
            spec = f"{name}:queries=250" if name in ("geoda", "hopskipjump") else name
            spec = f"{spec}:queries={900 if name == 'one-pixel' else 60}" if name in scored else spec
            attack = registry.build("attacks", spec)
            ball = Threat(Norm.LINF, 0.05) if Norm.LINF in attack.norms else Threat(Norm.L0, 2.0)
            CompiledAttack(classifier, attack, ball)(np.full((1, 8, 8, 3), 0.5, np.float32), np.zeros(1, int))
