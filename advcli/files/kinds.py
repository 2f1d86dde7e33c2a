"""What a file, a folder or an address is: named in errors where another kind is wanted."""

import contextlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import Literal

from advcli.errors import AdvcliError
from advcli.files.address import address_in
from advcli.files.archives import Archive
from advcli.files.bounded import open_file
from advcli.files.formats import format_of

Use = Literal["model", "image", "weights", "data", "text", "none"]


@dataclass(frozen=True)
class FileKind:
    """A kind of file, folder or address.

    Args:
        text: what it is, with its article.
        use: what advcli reads it as.
        advice: what makes it usable.
        after: what it is usable as once the advice is followed; "none" means as whatever was wanted.
        suffixes: what the names of such files end in; empty where this does not matter.
    """

    text: str
    use: Use = "none"
    advice: str = ""
    after: Use = "none"
    suffixes: tuple[str, ...] = ()


# Of a file whose kind is to be found.
HEAD = 1024
_TO_ONNX = "convert it to ONNX and give the .onnx file, which attacks without gradients query"
_FROM_TORCH = (
    "export it with torch.onnx.export and give the .onnx file, which attacks without gradients query; "
    "or build the network in Keras and copy its weights"
)
_WEIGHTS = "give a backbone with it, --model BACKBONE --weights FILE, or save the whole model"
_CHECKPOINT = "load it into the network in TensorFlow, and save that: model.save('model.keras')"
_PNG = "convert it to PNG first"
_UNPACK = "unpack it, and give the files or the folder"
_FRAMES = "save its frames as images first: ffmpeg -i FILE frame-%04d.png"
READER = 'its reader is not installed: pip install "advcli[heif]"'
_AGAIN = "it is not what was to be downloaded: download the file again"

_TORCH = FileKind("a PyTorch file", advice=_FROM_TORCH, after="model")
_KERAS_WEIGHTS = FileKind("a file of Keras weights", "weights", _WEIGHTS, "model")
_CHECKPOINT_PART = FileKind("a part of a TensorFlow checkpoint, weights only", advice=_CHECKPOINT, after="model")
_PREFIX = FileKind("the prefix of a TensorFlow checkpoint, weights only", advice=_CHECKPOINT, after="model")
_ADDRESS = FileKind("a web address", advice="download the file, and give its path")

# First bytes of a file -> what it is.
_BEGINNINGS: Mapping[bytes, FileKind] = {
    b"%PDF": FileKind(
        "a PDF document", advice="save its pages as images first: pdftoppm -png FILE page", after="image"
    ),
    b"8BPS": FileKind("a Photoshop file", advice=_PNG, after="image"),
    b"%!PS": FileKind("a PostScript file", advice=_PNG, after="image"),
    b"\x1aE\xdf\xa3": FileKind("a video", advice=_FRAMES, after="image"),
    b"\x93NUMPY": FileKind(
        "a NumPy array", "data", "save it as PNG, or with its labels as an .npz file for --data", "image"
    ),
    b"\x80\x02": _TORCH,
    b"\x80\x03": FileKind("a Python pickle", advice="it would run code: save the content in another format"),
    b"\x80\x04": FileKind("a Python pickle", advice="it would run code: save the content in another format"),
    b"\x80\x05": FileKind("a Python pickle", advice="it would run code: save the content in another format"),
    b"GGUF": FileKind("a GGUF file", advice="it holds a language model"),
    b"ftrt": FileKind("a TensorRT engine", advice="give the model that it was made of", after="model"),
    b"PAR1": FileKind("a Parquet file", "data"),
    b"SQLite format 3": FileKind("an SQLite database", advice="export it as CSV", after="data"),
    b"MATLAB 5.0": FileKind(
        "a MATLAB file", advice="save its arrays as an .npz file: scipy.io.loadmat, numpy.savez", after="data"
    ),
    b"\x1f\x8b": FileKind("a gzip archive", advice=_UNPACK),
    b"BZh": FileKind("a bzip2 archive", advice=_UNPACK),
    b"\xfd7zXZ": FileKind("an xz archive", advice=_UNPACK),
    b"7z\xbc\xaf": FileKind("a 7z archive", advice=_UNPACK),
    b"Rar!": FileKind("a RAR archive", advice=_UNPACK),
    b"version https://git-lfs": FileKind(
        "a pointer of Git LFS in place of the file", advice="fetch the file itself: git lfs pull"
    ),
}
# Suffix -> what a file is whose content does not show it.
_BY_SUFFIX: Mapping[str, FileKind] = {
    ".safetensors": FileKind("a safetensors file", advice=_FROM_TORCH, after="model"),
    ".onnx": FileKind("an ONNX model", "model"),
    ".pb": FileKind(
        "a frozen TensorFlow graph",
        advice="import it with tf.compat.v1.wrap_function and save that with tf.saved_model.save(module, folder)",
        after="model",
    ),
    ".index": _CHECKPOINT_PART,
    ".ckpt": _CHECKPOINT_PART,
    ".mlmodel": FileKind("a Core ML model", advice=_TO_ONNX, after="model"),
    ".msgpack": FileKind("a file of Flax weights", advice=_TO_ONNX, after="model"),
    ".pdparams": FileKind("a file of PaddlePaddle weights", advice=_TO_ONNX, after="model"),
    ".caffemodel": FileKind("a Caffe model", advice=_TO_ONNX, after="model"),
    ".engine": FileKind("a TensorRT engine", advice="give the model that it was made of", after="model"),
    ".tfrecord": FileKind("a TFRecord file", "data"),
    **dict.fromkeys(
        (".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2"),
        FileKind("a camera's raw file", advice=_PNG, after="image"),
    ),
}
_OF_TEXT: Mapping[str, str] = {
    ".csv": "a CSV file",
    ".tsv": "a TSV file",
    ".json": "a JSON file",
    ".jsonl": "a JSON Lines file",
    ".toml": "a TOML file",
    ".yaml": "a YAML file",
    ".yml": "a YAML file",
    ".py": "a Python file",
    ".md": "a Markdown file",
    ".xml": "an XML file",
}
# What the beginning of a text shows -> what it is.
_TEXTS: tuple[tuple[str, FileKind], ...] = (
    (r"(<!--.*?-->\s*)?<(!doctype )?html\b", FileKind("a web page", advice=_AGAIN)),
    (
        r"(<\?xml.*?\?>\s*)?(<!--.*?-->\s*)?(<!doctype svg.*?>\s*)?<svg\b",
        FileKind("an SVG drawing", advice=_PNG, after="image"),
    ),
    (
        r'\s*\{.*"modelTopology"',
        FileKind(
            "a TensorFlow.js model",
            advice="convert it with tensorflowjs_converter --output_format=keras",
            after="model",
        ),
    ),
    (r'\s*\{.*"cells"', FileKind("a notebook")),
    (
        r'\s*\{.*"class_name": ?"(Sequential|Functional|Model)"',
        FileKind(
            "the configuration of a Keras model without its weights", advice="save the whole model", after="model"
        ),
    ),
    (r"(<\?xml.*?\?>\s*)?<net\b", FileKind("an OpenVINO model", advice=_TO_ONNX, after="model")),
    (r"model_checkpoint_path:", _CHECKPOINT_PART),
)


def kind_of(path: Path) -> FileKind | None:
    """Return what is at a path, or what the path itself is; None if that is not known."""
    if address_in(path):
        return _ADDRESS
    if os.path.isdir(path):  # noqa: PTH112  a Path's method fails where a name is too long
        return _folder_kind(path)
    if not os.path.exists(path):  # noqa: PTH110  as above
        beside = path.name and os.path.isfile(f"{path}.index")  # noqa: PTH113  as above
        return _PREFIX if beside else None
    try:
        with open_file(path, 1 << 62) as file:
            head = file.read(HEAD)
    except (AdvcliError, OSError):
        return None
    special = _inside(path, head)
    return special or kind_of_content(head, path)


def kind_of_content(head: bytes, name: PurePath | None = None) -> FileKind | None:
    """Return what a file is by its first bytes and its name; None if neither shows it."""
    name = name or PurePath()
    suffix = name.suffix.lower()
    if not head:
        return FileKind("an empty file", advice="copy or download it again")
    if suffix in _BY_SUFFIX and _BY_SUFFIX[suffix].text == "a camera's raw file":
        return _BY_SUFFIX[suffix]
    image = format_of(head)
    # "BM" and "P1" also begin words.
    is_word = (image == "BMP" and _is_text(head)) or (image == "PNM" and not head[2:3].isspace())
    if image is not None and not is_word:
        return _image_kind(image)
    for beginning, kind in _BEGINNINGS.items():
        if head.startswith(beginning):
            return kind
    if head[4:8] == b"TFL3":
        return FileKind("a TensorFlow Lite model", "model", suffixes=(".tflite",))
    if head[4:8] == b"ftyp" or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return FileKind("a video", advice=_FRAMES, after="image")
    if head[257:262] == b"ustar":
        return FileKind("a tar archive", advice=_UNPACK)
    if head.startswith(b"PK\3\4"):
        return FileKind("a .zip archive", "data")
    if name.name == "saved_model.pb":
        return FileKind("the graph of a SavedModel", advice="give its folder", after="model")
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    if re.search(r"\.data-\d{5}-of-\d{5}$", name.name):
        return _CHECKPOINT_PART
    return _text_kind(head, suffix) if _is_text(head) else None


def _image_kind(image: str) -> FileKind:
    article = "an" if image[0] in "AI" else "a"
    package = {"HEIF": "pillow_heif", "JPEG XL": "pillow_jxl"}.get(image)
    if package and find_spec(package) is None:
        return FileKind(f"{article} {image} image", advice=READER, after="image")
    return FileKind(f"{article} {image} image", "image")


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        # The last character may be cut.
        return error.start > len(head) - 4 and len(head) == HEAD
    return True


def _text_kind(head: bytes, suffix: str) -> FileKind:
    text = head.decode(errors="replace")
    for pattern, kind in _TEXTS:
        if re.match(pattern, text, re.IGNORECASE | re.DOTALL):
            return kind
    return FileKind(_OF_TEXT.get(suffix, "a text file"), "text")


def _inside(path: Path, head: bytes) -> FileKind | None:
    """Return what an archive or an HDF5 file holds; None if it is another file."""
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return _hdf5_kind(path)
    if not head.startswith(b"PK\3\4"):
        return None
    try:
        with Archive(path) as archive:
            names = archive.names
    except AdvcliError:
        return FileKind("a damaged .zip archive, or a part of one", advice="copy or download it again")
    for is_kind, kind in _ARCHIVES:
        if is_kind(names):
            return kind
    return None


_ARCHIVES: tuple[tuple[Callable[[list[str]], bool], FileKind], ...] = (
    (lambda names: any(name.endswith("/data.pkl") for name in names), _TORCH),
    (
        lambda names: "config.json" in names and any(name.endswith((".h5", ".npz", ".hdf5")) for name in names),
        FileKind("a Keras model", "model", suffixes=(".keras",)),
    ),
    (lambda names: {name[-4:] for name in names} == {".npy"}, FileKind("an .npz file of arrays", "data")),
    (lambda names: "[Content_Types].xml" in names, FileKind("an Office document")),
)


def _hdf5_kind(path: Path) -> FileKind | None:
    import h5py

    with contextlib.suppress(OSError, RuntimeError, ValueError), h5py.File(path) as file:
        if "model_config" in file.attrs:
            return FileKind("a Keras model", "model", suffixes=(".h5", ".hdf5"))
        if path.name.endswith(".weights.h5") or "layer_names" in file.attrs or {"layers", "vars"} & set(file):
            return _KERAS_WEIGHTS
        return FileKind("an HDF5 file without a Keras model")
    return None


def _folder_kind(folder: Path) -> FileKind:
    names = {path.name for path in folder.iterdir()}
    if "model.keras" in names:
        return FileKind("a run folder", "model")
    if names & {"saved_model.pb", "saved_model.pbtxt"}:
        return FileKind("a SavedModel", "model")
    if not names:
        return FileKind("an empty folder")
    if folder.suffix == ".mlpackage":
        return FileKind("a Core ML model", advice=_TO_ONNX, after="model")
    if "config.json" in names and names & {"pytorch_model.bin", "model.safetensors"}:
        return FileKind("a folder with a PyTorch model", advice=_FROM_TORCH, after="model")
    if "checkpoint" in names and any(name.endswith(".index") for name in names):
        return FileKind("a folder with a TensorFlow checkpoint, weights only", advice=_CHECKPOINT, after="model")
    return FileKind("a folder")
