"""Ctrl-C and SIGTERM end a command, with its last whole state kept; a second one ends it at once."""

import os
import signal
import socket
import threading

from advcli.errors import ExitStatus

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Seconds. Python handles a signal between two steps of the main thread, which a computation of TensorFlow can hold up.
_SOON = 1.0
_CODES = {signal.SIGINT: ExitStatus.INTERRUPTED, signal.SIGTERM: ExitStatus.TERMINATED}


class Interrupts:
    """The handlers of both signals, which raise KeyboardInterrupt.

    Args:
        terminated: whether SIGTERM came.
    """

    def __init__(self) -> None:
        self.terminated = False
        self._handled = threading.Event()

    def watch(self) -> None:
        """Install the handlers, where the process does not ignore the signals."""
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) != signal.SIG_IGN:
            signal.signal(signal.SIGTERM, self._interrupt)
        if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
            signal.signal(signal.SIGINT, self._interrupt)
        reading, writing = socket.socketpair()
        writing.setblocking(False)
        signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._listen, args=(reading, writing), daemon=True).start()

    def release(self) -> None:
        """Have signals end the process at once: while Python clears up, their handlers would fail with a traceback."""
        if threading.current_thread() is threading.main_thread():
            self._handled.set()
            for number in _SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:
                    signal.signal(number, signal.SIG_DFL)

    def _interrupt(self, number: int, _: object) -> None:
        self._handled.set()
        if number == signal.SIGTERM:
            # A second one must not end the clearing up after the first.
            signal.signal(number, signal.SIG_IGN)
            self.terminated = True
        raise KeyboardInterrupt

    def _listen(self, reading: socket.socket, writing: socket.socket) -> None:
        """Wait for signals that the main thread does not handle; ``writing`` is kept open."""
        with reading, writing:
            _received(reading)
            if self._handled.wait(_SOON):
                return
            from advcli.cli.output import write_note

            write_note("stopping when the running computation is done; once more stops at once")
            number = _received(reading)
            if not self._handled.is_set():
                os._exit(_CODES[number])


def _received(reading: socket.socket) -> signal.Signals:
    """Wait for one of the two signals."""
    while True:
        for number in reading.recv(1):
            if number in _SIGNALS:
                return signal.Signals(number)
