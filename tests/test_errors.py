"""What is told of errors, those of libraries too."""

import pytest

from advcli.backend import tf
from advcli.errors import first_line, nearest


def test_of_an_error_in_a_graph_the_message_is_told_and_not_the_place() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        tf.function(lambda places: tf.gather(tf.zeros((4,)), places))(tf.constant([9]))
    assert "[[{{node" in str(caught.value)
    assert first_line(caught.value) == "indices[0] = 9 is not in [0, 4)"


def test_of_an_error_of_an_operation_the_message_is_told_and_not_its_name() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        tf.reshape(tf.zeros((4,)), tf.constant([3]))
    assert "function_node" in str(caught.value)
    told = first_line(caught.value)
    assert told.startswith("Input to reshape is a tensor with 4 values")
    assert "node" not in told
    assert "Op:" not in told


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyError("no such layer\nmore"), "no such layer"),
        # With the calls that made the node, as TensorFlow writes it where it knows them.
        (
            ValueError(
                "Graph execution error:\n\nDetected at node Conv2D defined at (most recent call last):\n"
                '  File "a.py", line 8, in <module>\n\n  File "b.py", line 22, in main\n\n'
                "No gradient for dilations.\n\t [[{{node Conv2D}}]] [Op:__inference_step_8805]"
            ),
            "No gradient for dilations.",
        ),
        (ValueError("\x1b[1mbad\x1b[0m value\nFull object config: {}"), "bad value"),
        (ValueError("Exception encountered when calling Dense.call().\n\nwrong shape"), "wrong shape"),
        (ValueError(""), "ValueError"),
    ],
)
def test_the_first_line_that_says_something(error: Exception, told: str) -> None:
    assert first_line(error) == told


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("step_size", "did you mean 'step'?"),
        ("stps", "did you mean 'steps'?"),
        ("number", "choose from: steps, step, restarts"),
    ],
)
def test_the_nearest_name_is_proposed(value: str, hint: str) -> None:
    assert nearest(value, ("steps", "step", "restarts")) == hint
