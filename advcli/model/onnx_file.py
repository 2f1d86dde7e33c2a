"""Read an ONNX file with ONNX Runtime; channels first or last."""

import importlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.backend import Graph
from advcli.errors import AdvcliError, first_line
from advcli.model.black_box import ScoreFunction
from advcli.model.black_box_file import BlackBoxFile

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}


@dataclass(frozen=True)
class OnnxFile(BlackBoxFile):
    """An .onnx file."""

    package: ClassVar[str] = "onnxruntime"
    product: ClassVar[str] = "ONNX Runtime"
    extra: ClassVar[str] = "onnx"

    def open(self) -> ScoreFunction:
        """Read the file.

        Raises:
            AdvcliError: it is no classifier of square images.
        """
        session = self._session()
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            message = f"model '{self.name}' has {len(inputs)} inputs and {len(outputs)} outputs"
            raise AdvcliError(message, "advcli needs a model with one image as its input and the scores as its output")
        given, kind = inputs[0], _TYPES.get(inputs[0].type)
        if kind is None:
            raise AdvcliError(f"model '{self.name}' takes {given.type}, not numbers of a known type")
        batch, first = _layout(given.shape, self.name)
        sides = [side for side in (given.shape[2:] if first else given.shape[1:3]) if isinstance(side, int)]

        def ask(images: np.ndarray) -> np.ndarray:
            values = np.ascontiguousarray(images.transpose(0, 3, 1, 2) if first else images)
            if kind is np.uint8:
                values = np.rint(values).clip(0, 255)
            parts = [values] if batch is None else [values[i : i + batch] for i in range(0, len(values), batch)]
            return np.concatenate([_run(session, given.name, part.astype(kind), batch) for part in parts])

        return ScoreFunction(
            ask,
            self.path.read_bytes(),
            sides[0] if sides else None,
            given.shape[1] if first else given.shape[3],
            (0.0, 255.0) if kind is np.uint8 else None,
            max_batch=256,
            tolerance=1e-3 if kind is np.float16 else 1e-5,
        )

    def _session(self) -> Graph:
        onnxruntime = importlib.import_module("onnxruntime")
        try:
            options = onnxruntime.SessionOptions()
            # Errors are raised; anything else would be written to standard error.
            options.log_severity_level = 4
            return onnxruntime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise AdvcliError(f"cannot read model '{self.path}': {first_line(error)}") from error


def _layout(shape: list[int | str], name: str) -> tuple[int | None, bool]:
    """Return the size of a batch, None for any, and whether channels come before rows and columns.

    Raises:
        AdvcliError: the input is no square image.
    """
    if len(shape) == 4:
        batch = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else None
        for first, channels, sides in ((True, shape[1], shape[2:]), (False, shape[3], shape[1:3])):
            known = {side for side in sides if isinstance(side, int)}
            if channels in (1, 3) and len(known) <= 1:
                return batch, first
    message = f"model '{name}' does not take square images with 1 or 3 channels: its input is {shape[1:]}"
    raise AdvcliError(message, "export it with an image as its input")


def _run(session: Graph, name: str, values: np.ndarray, batch: int | None) -> np.ndarray:
    """Run one batch, filled up with zeros if its size is fixed."""
    missing = 0 if batch is None else batch - len(values)
    filled = np.concatenate([values, np.zeros((missing, *values.shape[1:]), values.dtype)]) if missing else values
    try:
        (outputs,) = session.run(None, {name: filled})
    except Exception as error:
        raise AdvcliError(f"the model cannot classify images of {values.shape[1:]}: {first_line(error)}") from error
    outputs = np.asarray(outputs)[: len(values)]
    return outputs.reshape(len(outputs), -1) if outputs.ndim > 2 else outputs
