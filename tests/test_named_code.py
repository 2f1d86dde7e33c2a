import base64
import marshal
from typing import Any

import pytest

from advcli.model.named_code import is_reaching, reaching_name


def lambda_layer(source: str) -> dict[str, Any]:
    code = base64.b64encode(marshal.dumps(compile(source, "<model>", "eval"))).decode()
    return {"class_name": "Lambda", "config": {"function": {"class_name": "__lambda__", "config": {"code": code}}}}


@pytest.mark.parametrize(
    "source",
    [
        "lambda x: __import__('os').system('true') or x",
        "lambda x: (lambda y: eval(y))(x)",
        "lambda x: __builtins__['x']",
        "lambda x: importlib.import_module('subprocess')",
    ],
)
def test_code_that_reaches_beyond_a_model(source: str) -> None:
    assert reaching_name({"layers": [[lambda_layer(source)]]})
    packed = lambda_layer(source)["config"]["function"]["config"]["code"]
    assert reaching_name({"function": [f"{packed}\n", None, None], "function_type": "lambda"})


@pytest.mark.parametrize(
    "source",
    [
        "lambda x: x / 127.5 - 1",
        "lambda x: tf.image.resize(x, (224, 224))",
        "lambda x: keras.ops.mean(x, axis=-1)",
        "lambda position, opens: position",
    ],
)
def test_code_of_a_model(source: str) -> None:
    assert not reaching_name(lambda_layer(source))


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"module": "os.path", "class_name": "join"}, "os.path"),
        ({"module": "builtins", "class_name": "eval"}, "builtins"),
        ({"module": "builtins", "class_name": "function", "config": "exec"}, "builtins"),
        ({"function": "system", "function_type": "function", "module": "posix"}, "posix"),
        ({"output_shape": None, "output_shape_module": "subprocess"}, "subprocess"),
        ({"module": "builtins", "class_name": "function", "config": "shifted"}, ""),
        ({"module": "keras.layers", "class_name": "Dense", "config": {"name": "os"}}, ""),
        (None, ""),
    ],
)
def test_names_in_a_configuration(config: object, name: str) -> None:
    assert reaching_name(config) == name


def test_modules() -> None:
    assert is_reaching("os.path")
    assert not is_reaching("osmosis")
