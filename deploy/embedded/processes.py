"""Processes of a data folder: started in sessions of their own, found again after any crash."""

from __future__ import annotations

import os
import pwd
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MARK = "TALLY_STARTED_IN"  # The folder, in the environment of every process we start.
NAME = "TALLY_PROCESS"


@dataclass(frozen=True, slots=True)
class Identity:
    """How to start a program that refuses to be root."""

    prefix: tuple[str, ...] = ()
    user: str | None = None


PLAIN = Identity()


class Process:
    """A running process, held by a descriptor: its number cannot come to mean another one."""

    def __init__(self, pid: int, child: subprocess.Popen[bytes] | None = None) -> None:
        """Hold `pid`.

        Raises:
            ProcessLookupError: it is gone.
        """
        self.pid = pid
        self._child = child
        self._descriptor = os.pidfd_open(pid)
        self._gone = False

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

    @property
    def alive(self) -> bool:
        """Whether it still runs; a child that is dead is reaped."""
        return not self.wait(0)

    @property
    def exit_status(self) -> int | None:
        """The status of a child that is gone, negative for a signal; None if nobody knows."""
        return self._child.poll() if self._child else None

    def wait(self, seconds: float) -> bool:
        """Return whether it is gone, after waiting for that at most `seconds`."""
        if not self._gone:
            poll = select.poll()
            poll.register(self._descriptor, select.POLLIN)
            self._gone = bool(poll.poll(max(0, int(seconds * 1000))))
            if self._gone and self._child:
                self._child.wait()
        return self._gone

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens to a process that is gone."""
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            return

    def stop(self, seconds: float, *, gently: signal.Signals = signal.SIGTERM) -> bool:
        """Ask it to end, kill it after `seconds`; return whether asking was enough."""
        self.send(gently)
        if self.wait(seconds):
            return True
        self.kill()
        return False

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.send(signal.SIGKILL)
        self.wait(10)


def start(
    command: Sequence[str],
    *,
    name: str,
    folder: Path,
    log: Path,
    env: Mapping[str, str] | None = None,
    identity: Identity = PLAIN,
    cwd: Path | str | None = None,
) -> Process:
    """Start a program of `folder` under `name`, its output appended to `log`.

    In a session of its own: Ctrl-C in the terminal is for us alone, who know the order in which
    things stop.
    """
    environment = dict(os.environ if env is None else env)
    environment |= {MARK: str(folder.resolve()), NAME: name}
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        child = subprocess.Popen(
            [*identity.prefix, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            cwd=cwd,
            start_new_session=True,
            user=identity.user,
            group=_group_of(identity.user),
            extra_groups=None if identity.user is None else [],
        )
    return Process(child.pid, child)


def run(command: Sequence[str], *, identity: Identity, env: Mapping[str, str]) -> str:
    """Run a program to its end and return what it wrote.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    done = subprocess.run(
        [*identity.prefix, *command],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(env),
        cwd="/",
        user=identity.user,
        group=_group_of(identity.user),
        extra_groups=None if identity.user is None else [],
    )
    return done.stdout.decode(errors="replace")


def find_started_in(folder: Path) -> dict[str, list[Process]]:
    """Return, by name, what runs and was started in `folder` by us, now or before a crash."""
    mark = f"{MARK}={folder.resolve()}".encode()
    found: dict[str, list[Process]] = {}
    for pid in _pids():
        variables = _read(pid, "environ").split(b"\0")
        if mark not in variables:
            continue
        names = [one[len(NAME) + 1 :] for one in variables if one.startswith(NAME.encode() + b"=")]
        if names and (process := hold(pid)) is not None and process.alive:
            found.setdefault(names[0].decode(), []).append(process)
    return found


def find_working_in(folder: Path) -> list[Process]:
    """Return the processes whose working folder is `folder`, or that name it on their command line.

    So PostgreSQL's are found, which writes its titles over its environment.
    """
    place = str(folder.resolve())
    found = []
    for pid in _pids():
        try:
            working = os.readlink(f"/proc/{pid}/cwd")
        except OSError:
            working = ""
        words = _read(pid, "cmdline").split(b"\0")
        server = os.path.basename(words[0]) == b"postgres"
        if working == place or (server and place.encode() in words):
            if (process := hold(pid)) is not None and process.alive:
                found.append(process)
    return found


def hold(pid: int) -> Process | None:
    """Return the process `pid`, or None if it is gone."""
    try:
        return Process(pid)
    except OSError:
        return None


def wait_for_all(processes: Sequence[Process], seconds: float) -> list[Process]:
    """Wait for `processes` to be gone; return those that are not after `seconds` in all."""
    until = time.monotonic() + seconds
    return [one for one in processes if not one.wait(until - time.monotonic())]


def _group_of(user: str | None) -> int | None:
    return None if user is None else pwd.getpwnam(user).pw_gid


def _pids() -> list[int]:
    return [
        int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()
    ]


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
