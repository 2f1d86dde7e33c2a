"""Failures while a model computes: of a black box inside a graph, of one image, or Ctrl-C."""

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator

from advcli.backend import KerasModel, tf
from advcli.errors import AdvcliError, first_line, is_out_of_memory
from advcli.model.black_box import BlackBox


@contextlib.contextmanager
def reporting_failures(models: Iterable[KerasModel]) -> Iterator[None]:
    """Raise what a black box failed with, where TensorFlow raises its own error, and let Ctrl-C end a traced loop.

    Args:
        models: the models of classifiers; those that are no black boxes are left alone.
    """
    boxes = [model for model in models if isinstance(model, BlackBox)]
    if not boxes:
        yield
        return
    with _sigint_seen() as seen:
        for box in boxes:
            box.stop_when(seen)
        try:
            yield
        except Exception as error:
            # Python's own handler may have raised it where TensorFlow took it for an error.
            if seen():
                raise KeyboardInterrupt from error
            for box in boxes:
                if box.failure is not None and box.failure is not error:
                    raise box.failure from error
            raise


def failure_of_image(error: Exception, models: Iterable[KerasModel]) -> str | None:
    """Return why an image cannot be worked on; None if the error concerns the whole call: of a black box, or a bug."""
    if any(isinstance(model, BlackBox) and model.failure is not None for model in models):
        return None
    if isinstance(error, AdvcliError):
        return f"{error.message} ({error.hint})" if error.hint else error.message
    if is_out_of_memory(error):
        return "out of memory"
    if isinstance(error, tf.errors.InvalidArgumentError):
        return first_line(error)
    return None


@contextlib.contextmanager
def _sigint_seen() -> Iterator[Callable[[], bool]]:
    """Tell another thread whether Ctrl-C was pressed: Python's own handler waits until TensorFlow returns."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    reading, writing = socket.socketpair()
    with reading, writing:
        reading.setblocking(False)
        writing.setblocking(False)
        before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)

        pressed = False

        def seen() -> bool:
            nonlocal pressed
            with contextlib.suppress(BlockingIOError):
                # A command that handles SIGTERM is interrupted by it as by Ctrl-C.
                pressed |= bool({signal.SIGINT, signal.SIGTERM} & set(reading.recv(64)))
            return pressed

        try:
            yield seen
        finally:
            signal.set_wakeup_fd(before)
