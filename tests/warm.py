"""Real processes of the command line that need not wait until TensorFlow is imported.

    python tests/warm.py serve DESCRIPTOR          import everything once, and fork for each request to this socket
    python tests/warm.py run SOCKET ARGUMENT...    run ``advcli ARGUMENT...`` in such a fork, as if it were this process

The fork has the streams, the folder and the environment of the process that asks, gets the signals that one gets, and
is killed if that one is killed. What is read from the environment while TensorFlow is imported it cannot be told.
"""

import array
import gc
import json
import os
import select
import signal
import socket
import sys

_LONGEST_REQUEST = 1 << 20


def serve(descriptor: int) -> None:
    """Fork a process for each request, until the one that started this is gone."""
    import matplotlib.figure  # noqa: F401  so that it is imported already
    import sklearn.datasets  # noqa: F401  so that it is imported already

    import advcli.tasks.attack.run
    import advcli.tasks.benchmark.run
    import advcli.tasks.explain.run
    import advcli.tasks.train.run  # noqa: F401  so that it is imported already
    from advcli.backend import keras, tf
    from advcli.cli import attack, benchmark, explain, train  # noqa: F401  so that it is imported already

    # Imported, but not begun: no operation runs before the fork, so TensorFlow has no threads yet.
    assert tf.__version__
    assert keras.__version__
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    parent = os.getppid()
    with socket.socket(fileno=descriptor) as listening:
        while os.getppid() == parent:
            if not select.select([listening], [], [], 1.0)[0]:
                continue
            connection, _ = listening.accept()
            if not os.fork():
                listening.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _answer(connection)
                os._exit(0)
            connection.close()


def _answer(connection: socket.socket) -> None:
    """Run one command in a process of its own, hand signals on to it, and say how it ended."""
    message, descriptors, _, _ = socket.recv_fds(connection, _LONGEST_REQUEST, 3)
    child = os.fork()
    if not child:
        # Until the command runs, Ctrl-C must not end in a traceback of this file.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        connection.close()
        _become(json.loads(message), descriptors)
    for descriptor in (0, 1, 2, *descriptors):
        os.close(descriptor)
    end = os.pidfd_open(child)
    while True:
        ready, _, _ = select.select([connection, end], [], [])
        if end in ready:
            _, status = os.waitpid(child, 0)
            connection.sendall(array.array("i", [os.waitstatus_to_exitcode(status)]).tobytes())
            return
        number = connection.recv(1)
        # A process that has been killed sends nothing any more.
        os.kill(child, number[0] if number else signal.SIGKILL)
        if not number:
            return


def _become(request: dict, descriptors: list[int]) -> None:
    """Be the command."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    # Those that the server has do not know what they are connected to now.
    sys.stdin, sys.stdout = open(0), open(1, "w", buffering=1 if os.isatty(1) else -1)  # noqa: SIM115  as long as the process
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace")  # noqa: SIM115  as long as the process
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["advcli", *request["arguments"]]
    from advcli.cli import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()


def run(path: str, arguments: list[str]) -> int:
    """Have a command run, and return its exit code, or a negative one for the signal that ended it."""
    request = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}  # noqa: PTH109  without Path, it starts sooner
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: connection.sendall(bytes([number])))
        socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
        answer = array.array("i")
        answer.frombytes(connection.recv(answer.itemsize))
        return answer[0]


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    else:
        code = run(sys.argv[2], sys.argv[3:])
        if code < 0:
            signal.signal(-code, signal.SIG_DFL)
            os.kill(os.getpid(), -code)
        sys.exit(code)
