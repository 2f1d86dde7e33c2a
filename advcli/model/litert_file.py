"""Read a TensorFlow Lite file with LiteRT: float or quantised to 8 bits."""

import importlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from advcli.backend import held_back
from advcli.errors import AdvcliError, first_line
from advcli.model.black_box import ScoreFunction
from advcli.model.black_box_file import BlackBoxFile
from advcli.records.base import Fields

log = logging.getLogger(__name__)

# A quantisation covers a usual range of pixel values only up to what the calibration saw.
_NEAR = 0.03
_OF_BYTES = 20.0


@dataclass(frozen=True)
class LiteRTFile(BlackBoxFile):
    """A .tflite file."""

    package: ClassVar[str] = "ai_edge_litert"
    product: ClassVar[str] = "LiteRT"
    extra: ClassVar[str] = "litert"

    def open(self) -> ScoreFunction:
        """Read the file.

        Raises:
            AdvcliError: it is no classifier of square images.
        """
        interpreter = _Interpreter(self.path)
        shape, channels = interpreter.given["shape"], int(interpreter.given["shape"][-1])
        if len(shape) != 4 or channels not in (1, 3) or shape[1] != shape[2]:
            message = f"model '{self.name}' does not take square images with 1 or 3 channels last: its input is"
            raise AdvcliError(f"{message} {tuple(map(int, shape[1:]))}")
        size = int(interpreter.given["shape_signature"][1])
        return ScoreFunction(
            interpreter.ask,
            self.path.read_bytes(),
            size if size > 0 else None,
            channels,
            _range(interpreter.given, self.name),
            max_batch=256,
            tolerance=max(1e-5, interpreter.returned["quantization"][0]),
        )


class _Interpreter:
    """A LiteRT interpreter that takes batches of any size, one image at a time if the model does not."""

    def __init__(self, path: Path) -> None:
        litert = importlib.import_module("ai_edge_litert.interpreter")
        try:
            with held_back():
                self._interpreter = litert.Interpreter(str(path), num_threads=os.cpu_count())
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError, OSError) as error:
            raise AdvcliError(f"cannot read model '{path}': {first_line(error)}") from error
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            message = f"model '{path}' has {len(inputs)} inputs and {len(outputs)} outputs"
            raise AdvcliError(message, "advcli needs a model with one image as its input and the scores as its output")
        self.given, self.returned = inputs[0], outputs[0]
        self._size = tuple(int(side) for side in self.given["shape"])
        self._in_batches: bool | None = None

    def ask(self, images: np.ndarray) -> np.ndarray:
        """Return the scores: (N, H, W, C) float32 -> (N, K) float32."""
        if self._in_batches is None and len(images) > 1:
            self._in_batches = self._takes_batches(images[:2])
        if self._in_batches:
            return self._run(images)
        return np.concatenate([self._run(image[None]) for image in images])

    def _takes_batches(self, two: np.ndarray) -> bool:
        """Return whether a batch of two has the outputs of its images; a constant shape inside a model forbids it."""
        singly = np.concatenate([self._run(image[None]) for image in two])
        try:
            together = self._run(two)
        except (ValueError, RuntimeError):
            return False
        step = max(1e-4 * np.abs(singly).max(initial=1.0), 1.5 * self.returned["quantization"][0])
        return together.shape == singly.shape and bool(np.abs(together - singly).max() <= step)

    def _run(self, images: np.ndarray) -> np.ndarray:
        if images.shape != self._size:
            self._interpreter.resize_tensor_input(self.given["index"], images.shape)
            self._interpreter.allocate_tensors()
            self._size = images.shape
        self._interpreter.set_tensor(self.given["index"], _quantized(self.given)(images))
        self._interpreter.invoke()
        outputs = self._interpreter.get_tensor(self.returned["index"])
        scale, zero = self.returned["quantization"]
        if scale:
            outputs = scale * (outputs.astype(np.float32) - zero)
        return outputs.reshape(len(outputs), -1) if outputs.ndim > 2 else outputs


def _quantized(tensor: Fields) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that converts numbers to the type of a tensor."""
    kind, (scale, zero) = np.dtype(tensor["dtype"]), tensor["quantization"]
    if kind.kind == "f":
        return lambda values: values.astype(kind)
    limits = np.iinfo(kind)
    return lambda values: np.rint(values / (scale or 1.0) + zero).clip(limits.min, limits.max).astype(kind)


def _range(tensor: Fields, name: str) -> tuple[float, float] | None:
    """Return the usual range of pixel values that a quantised input is of; None for floats."""
    kind, (scale, zero) = np.dtype(tensor["dtype"]), tensor["quantization"]
    if kind.kind == "f":
        return None
    limits = np.iinfo(kind)
    low, high = (float((scale or 1.0) * (end - zero)) for end in (limits.min, limits.max))
    largest = max(-low, high)
    if largest > _OF_BYTES:
        usual = (0.0, 255.0)
    elif largest > 1 + _NEAR:
        log.warning("the quantised input of '%s' goes from %.3g to %.3g: see --input-range", name, low, high)
        return low, high
    else:
        usual = (0.0, 1.0) if low > -_NEAR else (-1.0, 1.0)
    if low > usual[0] + _NEAR * usual[1] or high < (1 - _NEAR) * usual[1]:
        # The calibration has seen no brighter or darker pixels.
        log.warning("the quantised input of '%s' ends at %.3g and %.3g: values beyond are clipped", name, low, high)
    return usual
