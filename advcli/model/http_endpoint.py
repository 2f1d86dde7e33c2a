"""A model behind an address: TensorFlow Serving's REST interface, or any other that a TOML file describes."""

import base64
import io
import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import get_type_hints

import numpy as np

from advcli.errors import AdvcliError, UsageError, nearest
from advcli.files.address import split_address
from advcli.files.bounded import parse_json, read_text
from advcli.files.download import offline
from advcli.model.black_box import Access, ScoreFunction
from advcli.model.http_session import HttpSession
from advcli.parsing import read_index
from advcli.records.base import Json

_HEADER, _HEADER_VALUE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"), re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
_HERE = ("localhost", "127.0.0.1", "::1")
_ONE, _SEVERAL = "${image}", "${images}"
# How it is asked; the scores depend on the other options. These may change while an evaluation is resumed.
_HOW_ASKED = ("headers", "batch", "rate", "retries", "timeout", "name")
_WHAT = "an endpoint is https://HOST/v1/models/MODEL:predict, or a .toml file with its url"


@dataclass(frozen=True, kw_only=True)
class HttpEndpoint:
    """An address that classifies images.

    Args:
        url: the address.
        method: of a request.
        headers: of a request; ``${NAME}`` is the value of an environment variable.
        request: the body; ``${images}`` is the list of images, or ``${image}`` the only one.
        response: where the scores are: keys and places with dots between them, * for each item of a list.
        image: how an image is written: array, of numbers, or png, its file in base64.
        batch: the most images in a request.
        rate: the most requests a second; 0 means no limit.
        retries: how often a request is sent again that fails.
        timeout: seconds to wait for an answer.
        image_size: the side of an image in pixels; 0 means unknown.
        channels: 3, or 1 for grey images.
        input_range: the values for black and white.
        scores: logits, probabilities, or classes where it returns nothing else; empty means it is found out.
        labels: the class names.
        name: the name in records.
    """

    url: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    request: str = f'{{"instances": {_SEVERAL}}}'
    response: str = "predictions"
    image: str = "array"
    batch: int = 32
    rate: float = 0.0
    retries: int = 5
    timeout: float = 60.0
    image_size: int = 0
    channels: int = 3
    input_range: tuple[float, float] | None = None
    scores: str = ""
    labels: tuple[str, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        parts = split_address(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"'{self.url}' is not the address of an endpoint", _WHAT)
        if parts.username or parts.password:
            hint = 'in a .toml file: headers = { Authorization = "Bearer ${TOKEN}" }'
            raise UsageError(f"the address of '{parts.hostname}' holds credentials", hint)
        if offline() and parts.hostname not in _HERE:
            raise UsageError(f"'{self.url}' needs the network, which --offline forbids", "leave --offline out")
        if (_ONE in self.request) == (_SEVERAL in self.request):
            raise UsageError(f"the request of '{self.name}' has no place for images", f"write {_SEVERAL} or {_ONE}")
        _check_choice("image", self.image, ("array", "png"))
        _check_choice("scores", self.scores, ("", "logits", "probabilities", "classes"))
        _check_choice("channels", self.channels, (1, 3))
        for option in ("batch", "timeout"):
            if getattr(self, option) <= 0:
                raise UsageError(f"{option} is not positive: {getattr(self, option):g}")
        for option in ("rate", "retries", "image_size"):
            if getattr(self, option) < 0:
                raise UsageError(f"{option} is negative: {getattr(self, option):g}")
        _ = self._filled_headers

    @classmethod
    def of_address(cls, url: str) -> "HttpEndpoint":
        """Make the endpoint of TensorFlow Serving's REST interface at an address.

        Raises:
            UsageError: it is no address of one.
        """
        parts = split_address(url)
        path = parts.path.removeprefix("/v1/models/").removesuffix(":predict").strip("/")
        host = parts.netloc.rpartition("@")[2]
        return cls(url=url, name=f"{host}/{path}" if path else host)

    @classmethod
    def read(cls, path: Path) -> "HttpEndpoint":
        """Read a TOML file.

        Raises:
            UsageError: it describes no endpoint.
        """
        try:
            content = tomllib.loads(read_text(path))
        except (AdvcliError, ValueError, RecursionError) as error:
            raise UsageError(f"'{path}' cannot be read: {error}", _WHAT) from error
        known = get_type_hints(cls)
        for key, value in content.items():
            if key not in known:
                raise UsageError(f"'{path}' has an unknown key '{key}'", nearest(key, known))
            content[key] = _converted(value, key, known[key], path)
        if "url" not in content:
            raise UsageError(f"'{path}' has no url", _WHAT)
        return replace(cls(url=content["url"], name=path.stem), **content)

    @property
    def access(self) -> Access:
        """What an attack may see of it."""
        return "class" if self.scores == "classes" else "scores"

    def open(self) -> ScoreFunction:
        """Make the function that asks it."""
        session = HttpSession(
            self.url, self.method, self._filled_headers, self.name, self.timeout, self.retries, self.rate
        )

        def ask(images: np.ndarray) -> np.ndarray:
            return self._scores(session.send(self._body(images)))

        max_batch = 1 if _ONE in self.request else self.batch
        identity = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in _HOW_ASKED}
        return ScoreFunction(
            ask,
            json.dumps(identity, sort_keys=True).encode(),
            self.image_size or None,
            self.channels,
            self.input_range or ((0.0, 255.0) if self.image == "png" else None),
            max_batch,
            self.scores,  # pyright: ignore[reportArgumentType]  checked when the endpoint was made
            self.labels,
            remote=True,
            seconds_per_image=1 / (self.rate * max_batch) if self.rate else 0.0,
        )

    @property
    def _filled_headers(self) -> dict[str, str]:
        def value(match: "re.Match[str]") -> str:
            if match[1] not in os.environ:
                message = f"the environment variable '{match[1]}' is not set, which a header of '{self.name}' names"
                raise UsageError(message, f"export {match[1]}=...")
            return os.environ[match[1]]

        filled = {key: re.sub(r"\$\{(\w+)\}", value, text) for key, text in self.headers.items()}
        for key, text in self.headers.items():
            if not _HEADER.fullmatch(key) or not _HEADER_VALUE.fullmatch(filled[key]):
                # Its value may be a password.
                message = f"the header '{key}' of '{self.name}' holds a line break, or a character that no header has"
                variables = re.findall(r"\$\{(\w+)\}", text)
                raise UsageError(message, f"look at {', '.join(variables)}" if variables else "write it in one line")
        return {"Content-Type": "application/json", **filled}

    def _body(self, images: np.ndarray) -> bytes:
        written = images.tolist() if self.image == "array" else [self._as_png(image) for image in images]
        if _ONE in self.request:
            return self.request.replace(_ONE, json.dumps(written[0])).encode()
        return self.request.replace(_SEVERAL, json.dumps(written)).encode()

    def _as_png(self, image: np.ndarray) -> str:
        from PIL import Image

        low, high = self.input_range or (0.0, 255.0)
        pixels = np.rint(255 * (image - low) / (high - low)).clip(0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels[..., 0] if self.channels == 1 else pixels).save(file, "PNG")
        return base64.b64encode(file.getvalue()).decode()

    def _scores(self, answer: bytes) -> np.ndarray:
        try:
            content = parse_json(answer)
        except ValueError as error:
            raise AdvcliError(f"'{self.name}' answers with something that is not JSON: {error}") from error
        found = self._found(content, self.response.split(".") if self.response else [])
        values = [found] if _ONE in self.request else found
        try:
            scores = np.array(values)
        except ValueError as error:
            raise AdvcliError(f"'{self.name}' answers with scores of different lengths") from error
        if scores.dtype.kind not in "iufbUS":
            raise AdvcliError(f"'{self.name}' returns scores that are not numbers")
        if scores.dtype.kind == "f" and not np.isfinite(scores).all():
            raise AdvcliError(f"'{self.name}' returns NaN or infinity")
        return scores

    def _found(self, content: Json, path: list[str]) -> Json:
        if not path:
            return content
        step, rest = path[0], path[1:]
        if step == "*" and isinstance(content, list):
            return [self._found(item, rest) for item in content]
        if isinstance(content, list) and (place := read_index(step)) is not None and place < len(content):
            return self._found(content[place], rest)
        if isinstance(content, dict) and step in content:
            return self._found(content[step], rest)
        held = f"holds {', '.join(map(str, content))}" if isinstance(content, dict) else "is not a table"
        raise AdvcliError(
            f"'{self.name}' answers without '{step}' of '{self.response}': it {held[:200]}",
            "set the place of the scores: response in a .toml file",
        )


def _check_choice(key: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{key} has no '{value}'", f"choose from: {', '.join(str(each) for each in choices if each)}")


def _converted(value: Json, key: str, kind: type, path: Path) -> Json:
    """Check the type of a value in a TOML file, and make a tuple of a list."""
    wrong = UsageError(f"'{path}': {key} has the wrong type: {value!r}", "see docs/models.md, endpoint files")
    if key in ("input_range", "labels"):
        expected = int | float if key == "input_range" else str
        if not isinstance(value, list) or not all(isinstance(each, expected) for each in value):
            raise wrong
        if key == "input_range" and (len(value) != 2 or value[0] >= value[1]):
            raise wrong
        return tuple(value)
    if key == "headers":
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
            raise wrong
        return value
    if isinstance(value, bool) or not isinstance(value, int | float if kind is float else kind):
        raise wrong
    return value
