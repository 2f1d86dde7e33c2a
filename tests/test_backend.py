"""Which kernels TensorFlow uses, asked of TensorFlow in a process of its own."""

import os
import platform
import subprocess
import sys

import pytest

ASKED = """
from advcli.backend import tf
tf.constant(0.0)
from tensorflow.python.util import _pywrap_util_port
print(_pywrap_util_port.IsMklEnabled())
"""


def uses_onednn(**setting: str) -> bool:
    variables = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    process = subprocess.run(
        [sys.executable, "-c", ASKED], env={**variables, **setting}, capture_output=True, text=True, check=True
    )
    assert process.stderr == ""
    return process.stdout.strip() == "True"


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="oneDNN is for x86-64")
def test_tensorflow_uses_onednn_on_every_x86_processor() -> None:
    assert uses_onednn()


def test_a_setting_of_the_user_is_kept() -> None:
    assert not uses_onednn(TF_ENABLE_ONEDNN_OPTS="0")
