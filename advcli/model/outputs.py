"""The output of a model that advcli uses, where the model has several."""

from advcli.backend import KerasModel, Nest, Tensor, keras
from advcli.errors import UsageError, nearest
from advcli.model.introspection import graph_of


def outputs_of(model: KerasModel, size: tuple[int | None, int | None, int]) -> dict[str, Tensor]:
    """Return the outputs of a model by name; empty if the output is one tensor."""
    graph = graph_of(model)
    if isinstance(graph, keras.Function):
        return named(graph._outputs_struct, model)
    try:
        return named(model.compute_output_spec(keras.KerasTensor((None, *size))), model)
    except Exception:  # noqa: BLE001  what a model returns that cannot be traced shows when it is called
        return {}


def named(outputs: Nest, model: KerasModel) -> dict[str, Tensor]:
    """Return what a model returns by name; empty if that is one tensor."""
    if isinstance(outputs, dict):
        return {str(key): value for key, value in outputs.items()}
    if not isinstance(outputs, list | tuple):
        return {}
    names = getattr(model, "output_names", None) or ()
    if len(names) != len(outputs):
        names = [str(number) for number in range(len(outputs))]
    return dict(zip(names, outputs, strict=True))


def chosen_output(container: dict[str, Tensor], output: str | None, name: str) -> str | None:
    """Return the name of the output to use; None if the model returns one tensor.

    Args:
        container: the outputs by name; empty if the output is one tensor.
        output: the name that was chosen.
        name: the model's name in messages.

    Raises:
        UsageError: there is no such output, or there are several and none was chosen.
    """
    listed = ", ".join(container)
    if output is not None and output not in container:
        message = f"model '{name}' has no output '{output}'" if container else f"model '{name}' has one output"
        raise UsageError(message, nearest(output, list(container)) if container else "leave --output out")
    if output is None and len(container) > 1:
        raise UsageError(
            f"model '{name}' has {len(container)} outputs: {listed}", f"choose one: --output {next(iter(container))}"
        )
    return output or next(iter(container), None)
