"""Commands of the worker without their half second of imports: forked from a process that has imported them already.

Much of the time of the tests went into imports: they start hundreds of commands. A forked command is a process of its
own, with the arguments, environment, folder and pipes that it would have had. Its parent is the process that asked for
it, which may wait for it and send it signals, as with :class:`subprocess.Popen`.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import importlib
import json
import os
import pkgutil
import runpy
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import worker

ROOT = Path(__file__).parents[2]
LONGEST = 1 << 17
"""Bytes of a request: mostly the environment."""
BECOME_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2): orphans among the descendants of this process become its children."""
USED_BY_COMMANDS = ("typer.main", "rich.progress", "rich.table", "rich.traceback")
AT_IMPORT = ("worker.__main__", "worker.cli", "worker.sandbox")
"""What prints looks at the environment as it is imported: each command imports it itself."""
OF_THE_INTERPRETER = ("PYTHON", "LC_", "LANG", "SSL_", "MALLOC_")
"""Beginnings of variables that are read as a process starts. Where they differ, a command is started as usual."""


class Forked(subprocess.Popen[Any]):
    """A command that was forked; all else is as with any process."""

    def _execute_child(self, args: Any, *rest: Any) -> None:
        """Has the command forked, in place of starting a program."""
        # The order of the arguments is that of CPython's own, from 3.9 on.
        cwd, environment, pipes = rest[4], rest[5], rest[9:15]
        p2cread, _, _, c2pwrite, _, errwrite = pipes
        request = {"arguments": args, "cwd": str(cwd), "environment": environment, "mask": _mask()}
        self.pid = _server().fork(json.dumps(request).encode(), [p2cread, c2pwrite, errwrite])
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


class ForkServer:
    """The process that forks commands. It ends with the process that started it."""

    def __init__(self) -> None:
        ctypes.CDLL(None, use_errno=True).prctl(BECOME_SUBREAPER, 1, 0, 0, 0)
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.fork_server", str(theirs.fileno())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._process.returncode = 0  # it ends once the channel does
        self._turn = threading.Lock()

    def fork(self, request: bytes, fds: list[int]) -> int:
        """Returns the number of the process that was forked."""
        with self._turn:
            socket.send_fds(self._channel, [request], fds)
            return int(self._channel.recv(LONGEST))


@functools.cache
def _server() -> ForkServer:
    return ForkServer()


def start(
    module: str, arguments: tuple[str, ...], environment: dict[str, str], **options: Any
) -> subprocess.Popen[Any]:
    """Starts a module with arguments, as ``python -m`` does: forked, where that is the same."""
    same = all(
        environment.get(name) == os.environ.get(name)
        for name in environment.keys() | os.environ.keys()
        if name.startswith(OF_THE_INTERPRETER) and name != "PYTHONPATH"
    )
    if sys.platform == "linux" and same:
        return Forked([module, *arguments], env=environment, **options)
    return subprocess.Popen([sys.executable, "-m", module, *arguments], env=environment, **options)


def _mask() -> int:
    mask = os.umask(0o77)
    os.umask(mask)
    return mask


# The process that forks


def main() -> None:
    """Forks commands until nobody asks any more; in a command, runs it."""
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        _import_all()
        request = _serve(channel)
    if request is None:
        return
    os.chdir(request["cwd"])
    os.umask(request["mask"])
    os.environ.clear()
    os.environ.update(request["environment"])
    module, *arguments = request["arguments"]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _import_all() -> None:
    parts = (one.name for one in pkgutil.walk_packages(worker.__path__, "worker."))
    for name in (*USED_BY_COMMANDS, *(one for one in parts if not one.startswith(AT_IMPORT))):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def _serve(channel: socket.socket) -> dict[str, Any] | None:
    """Returns what to run, in each command that was forked; None in this process, at its end."""
    while True:
        request, fds, _, _ = socket.recv_fds(channel, LONGEST, 3)
        if not request:
            return None
        told, tell = os.pipe()
        middle = os.fork()
        if not middle:
            # Forked twice: a command is a child of the process that asked for it, once this one has ended.
            command = os.fork()
            if command:
                os.write(tell, str(command).encode())
                os._exit(0)
            os.close(told)
            os.close(tell)
            for number, fd in enumerate(fds):
                os.dup2(fd, number)
                os.close(fd)
            return dict(json.loads(request))
        os.waitpid(middle, 0)
        for fd in (*fds, tell):
            os.close(fd)
        number = os.read(told, 20)
        os.close(told)
        channel.send(number)


if __name__ == "__main__":
    main()
