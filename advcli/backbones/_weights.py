"""Pretrained weights: download, and loading into a network.

Keras has two weights formats with the same suffix ``.h5``: the older one lists its layers in order,
the one named ``.weights.h5`` counts them by class. Neither looks at layer names here, so a file made
from ``keras.applications`` fits the network that advcli builds around the same layers.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advcli.backend import KerasModel, keras
from advcli.errors import AdvcliError, UsageError
from advcli.files.download import fetch, keras_folder
from advcli.files.hdf5 import check_hdf5
from advcli.files.wrong_kind import refuse_no_weights

IMAGENET_CLASSES = 1000
# Models that a hint names.
_SHOWN = 3


@dataclass(frozen=True)
class Published:
    """ImageNet weights that Keras publishes, with their head, which serves for a new head as well.

    Args:
        url: where they are.
        sha256: their hash; where none is known they are not downloaded.
        size: how many bytes they have.
    """

    url: str
    sha256: str = ""
    size: int = 0

    @property
    def file(self) -> str:
        """Their name in Keras' cache."""
        return self.url.rpartition("/")[2]


def find_weights(
    name: str, weights: str | Path | None, channels: int = 3, published: Published | None = None
) -> Path | None:
    """Return the weights file, after downloading it for ``imagenet``.

    Raises:
        UsageError: there is no such file, or the network has no ImageNet weights of this kind.
        AdvcliError: the download failed, or is needed but forbidden.
    """
    if weights is None:
        return None
    if weights == "imagenet":
        instead = f"a model that you have, --model {_models_here()}"
        if published is None:
            hint = f"train without them (--weights none), or give a weights file, --weights FILE, or {instead}"
            raise UsageError(f"there are no ImageNet weights for '{name}'", hint)
        if channels != 3:
            raise UsageError(f"ImageNet weights take RGB images, not {channels} channel(s)", "use --weights none")
        if not published.sha256:
            message = f"the ImageNet weights of {name} cannot be checked: no SHA-256 of them is known"
            kept = keras_folder() / published.file
            if kept.is_file():
                raise UsageError(message, f"if you trust the file that Keras has downloaded, give --weights '{kept}'")
            hint = f"download {published.url} yourself and give the file with --weights FILE, or give {instead}"
            raise UsageError(message, hint)
        instead = f"give a weights file, --weights FILE, or {instead}"
        return fetch(published.url, published.file, published.sha256, published.size, instead, keras_folder())
    file = Path(weights).expanduser()
    refuse_no_weights(file)
    if file.suffix not in (".h5", ".hdf5"):
        raise UsageError(f"not a weights file: '{file}'", "weights files end in .weights.h5 or .h5")
    return file


def _models_here() -> str:
    """Return the models in the current folder and its runs; FILE where there are none."""
    runs = [path.parent for path in Path("runs").glob("*/model.keras")]
    found = [*sorted(runs), *sorted(path for path in Path().glob("*.keras") if path.is_file())][:_SHOWN]
    return " or ".join(f"'{path}'" for path in found) or "FILE"


def head_size(file: Path | None) -> int | None:
    """Return how many classes the head in a weights file has; None if it has no head.

    Without a file it is what ImageNet has.

    Raises:
        AdvcliError: it is no weights file.
    """
    if file is None:
        return IMAGENET_CLASSES
    # In a convolutional network the head's kernel is the only matrix.
    matrices = [shape for shape in _shapes(file) if len(shape) == 2]
    return matrices[-1][1] if matrices else None


def _shapes(file: Path) -> list[tuple[int, ...]]:
    """List the shapes of the weights in a file, without those of an optimizer or of metrics."""
    import h5py

    found: list[tuple[int, ...]] = []

    def note(path: str, item: object) -> None:
        # Integers are counters and random states, which a network may do without.
        if isinstance(item, h5py.Dataset) and item.dtype.kind == "f" and not path.startswith("optimizer"):
            found.append(item.shape)

    check_hdf5(file, str(file))
    try:
        with h5py.File(file) as opened:
            layers: Any = opened.get("layers", opened)
            layers.visititems(note)
    except OSError as error:
        raise AdvcliError(f"not a weights file: '{file}'", "weights files are HDF5, as Keras writes them") from error
    return found


def own_head(name: str, classes: int | None, file: Path | None) -> int:
    """Return how many classes to build: those asked for, or those of the weights.

    Raises:
        AdvcliError: the weights are to keep their head and have none.
    """
    size = classes or head_size(file)
    if size is None:
        raise AdvcliError(f"the weights of {name} in '{file}' come without a head", "give a file with the top layer")
    return size


def load_weights(model: KerasModel, file: Path | None, new_head: bool) -> KerasModel:
    """Load a weights file into a model, all of it or all but its head.

    Raises:
        AdvcliError: the file is not for this network.
    """
    if file is None:
        return model
    target = model
    if new_head:
        # Keras loads whole files only, so the file's head goes into a layer that is thrown away.
        size = head_size(file)
        features = model.get_layer("logits").input
        target = keras.Model(model.inputs, keras.layers.Dense(size)(features) if size else features)
    hint = f"its architecture (options, channels) must be that of this {model.name}"
    if file.name.endswith(".weights.h5"):
        # Keras takes what it finds in this format and does not mind what it leaves there.
        expected = Counter(tuple(weight.shape) for weight in target.weights if "float" in weight.dtype)
        if expected != Counter(_shapes(file)):
            raise AdvcliError(f"'{file}' does not hold the weights of {model.name}", hint)
    try:
        target.load_weights(file)
    except (ValueError, KeyError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise AdvcliError(f"'{file}' does not hold the weights of {model.name} ({reason})", hint) from error
    return model
