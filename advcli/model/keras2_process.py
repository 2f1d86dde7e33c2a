"""Read an .h5 file with tf-keras, which is Keras 2, in a process of its own, and export it as a SavedModel.

``python -m advcli.model.keras2_process FILE FOLDER``: Keras 2 and Keras 3 do not share a process.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from advcli.backend import tf
from advcli.files.hdf5 import check_hdf5
from advcli.model.variable_limit import limited_variables

INSTALL = "pip install tf-keras"


class Keras2Error(Exception):
    """The second process could not read the file."""


def is_available() -> bool:
    """Return whether tf-keras is installed."""
    return importlib.util.find_spec("tf_keras") is not None


@contextmanager
def exported(path: Path) -> Iterator[Path]:
    """Export a file as a SavedModel that lasts as long as the block.

    Raises:
        Keras2Error: tf-keras cannot read the file.
    """
    with tempfile.TemporaryDirectory(prefix="advcli-") as folder:
        command = [sys.executable, "-m", __spec__.name, str(path.resolve()), folder]
        # The second process must find this package, from wherever it was imported.
        places = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = os.environ | {"TF_USE_LEGACY_KERAS": "1", "PYTHONPATH": places}
        done = subprocess.run(  # noqa: S603  this interpreter and a module of advcli; the file's name is one argument
            command, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            raise Keras2Error(lines[-1][:300] if lines else f"exit code {done.returncode}")
        yield Path(folder)


def read_and_export(path: str, folder: str) -> None:
    """Read a file with Keras 2 and write its function in inference mode."""
    with limited_variables(Path(path), check_hdf5(Path(path), path)):
        model = tf.keras.models.load_model(path, compile=False)

    def infer(image: object) -> object:
        return model(image, training=False)

    shape = tf.TensorSpec([None, *model.inputs[0].shape[1:]], model.inputs[0].dtype, name="image")
    module = tf.Module()
    module.model = model
    module.serve = tf.function(infer, input_signature=[shape])
    tf.saved_model.save(module, folder)


if __name__ == "__main__":
    read_and_export(*sys.argv[1:])
