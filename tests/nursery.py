"""Starts services for tests without their imports, which cost more than most tests.

`python -m tests.nursery ingest=7 wallet=8` imports what services share, forks once for each of
them, and imports there what that one needs alone: the modules of the process are then those of
`python -m services.<name>`. What is started is a fork of that fork, which runs the same `__main__`.
The numbers are the descriptors on which each is told what to start.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from deploy.embedded.databases import SERVICES
from deploy.embedded.environment import python_environment
from deploy.embedded.processes import MARK, NAME, Process
from deploy.embedded.service import ServiceFailed

SHARED = ("libs.serve", "libs.relay", "libs.consumer", "sqlalchemy.dialects.postgresql.asyncpg")
REQUEST_BYTES_MAX = 128 * 1024  # An environment.


class Nursery:
    """Starts services as children of processes that have imported them.

    Whoever is started ends with the nursery at the latest.
    """

    def __init__(self) -> None:
        self._ways: dict[str, socket.socket] = {}
        self._asking = threading.Lock()
        theirs = {}
        for name in SERVICES:
            self._ways[name], theirs[name] = socket.socketpair(type=socket.SOCK_SEQPACKET)
        words = [f"{name}={way.fileno()}" for name, way in theirs.items()]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.nursery", *words],
            env=python_environment(os.environ),
            pass_fds=[way.fileno() for way in theirs.values()],
            start_new_session=True,
        )
        for way in theirs.values():
            way.close()

    def start(self, name: str, *, folder: Path, log: Path, env: Mapping[str, str]) -> Process:
        """Start a service as `deploy.embedded.service.start_python` does.

        Raises:
            ServiceFailed: it cannot even be imported; standard error says why.
        """
        own = {**env, MARK: str(folder.resolve()), NAME: name}
        log.parent.mkdir(parents=True, exist_ok=True)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            with self._asking:
                socket.send_fds(self._ways[name], [json.dumps(own).encode()], [output])
                pid = self._ways[name].recv(64)
        except ConnectionError:
            pid = b""
        finally:
            os.close(output)
        if not pid:
            raise ServiceFailed(f"{name} cannot be imported.")
        return Process(int(pid))

    def stop(self) -> None:
        """End it, and what it started."""
        for way in self._ways.values():
            way.close()
        self._process.wait()


def main(words: Sequence[str]) -> None:
    """Be the nursery; returns only in what it started, when that has ended."""
    for module in SHARED:
        import_module(module)
    ways = {name: int(number) for name, _, number in (word.partition("=") for word in words)}
    for name, number in ways.items():
        if os.fork() == 0:
            for other in ways.values():
                if other != number:
                    os.close(other)
            return _raise_one(name, socket.socket(fileno=number))
    for number in ways.values():
        os.close(number)
    for _ in ways:
        os.wait()


def _raise_one(name: str, way: socket.socket) -> None:
    """Fork for each request that comes `way`, until its other end is closed."""
    import_module(f"services.{name}.app")
    gc.collect()
    gc.freeze()  # What is never collected is never written to, and stays shared.
    children: set[int] = set()

    def reap(*_: object) -> None:
        for child in list(children):
            if os.waitpid(child, os.WNOHANG)[0]:
                children.discard(child)

    signal.signal(signal.SIGCHLD, reap)
    while True:
        request, descriptors, _, _ = socket.recv_fds(way, REQUEST_BYTES_MAX, 1)
        if not request:
            break
        child = os.fork()
        if child == 0:
            way.close()
            return _become(name, json.loads(request), descriptors[0])
        children.add(child)
        os.close(descriptors[0])
        way.send(str(child).encode())
    for child in list(children):
        os.kill(child, signal.SIGKILL)


def _become(name: str, env: Mapping[str, str], output: int) -> None:
    """Run the service in this process, as `python -m services.<name>` does."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for standard, given in enumerate((nothing, output, output)):
        os.dup2(given, standard)
    os.close(nothing)
    os.close(output)
    os.environ.clear()
    os.environ.update(env)
    runpy.run_module(f"services.{name}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
