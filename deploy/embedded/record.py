"""What runs from a data folder: who holds it, and where everything answers."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from deploy.embedded.files import write_whole
from deploy.embedded.keys import Keys

FILE = "stack.json"
LOCK = "lock"
DEFAULT_FOLDER = ".tally"


class AlreadyRunning(RuntimeError):
    """Another process runs a stack from the same folder."""


@dataclass(frozen=True, slots=True)
class Part:
    """A server or a service. `pid` is None for a server that is not ours."""

    name: str
    address: str  # host:port
    pid: int | None
    started_at: datetime
    metrics_address: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """What the process that runs a stack says about it, in a file that only its owner reads."""

    supervisor_pid: int
    ready: bool  # Everything answered once; services that failed since are being restarted.
    test_clock: bool
    version: str
    parts: dict[str, Part]

    @property
    def addresses(self) -> dict[str, str]:
        """host:port of each service's gRPC server."""
        return {
            name: part.address
            for name, part in self.parts.items()
            if part.metrics_address is not None
        }


def find_folder(env: Mapping[str, str] = os.environ) -> Path:
    """Return the data folder: TALLY_HOME, else .tally in the present folder."""
    return Path(env.get("TALLY_HOME") or DEFAULT_FOLDER)


def keys_of(folder: Path) -> Keys:
    """Return the keys of a data folder."""
    return Keys(folder / "keys")


def traces_of(folder: Path) -> Path:
    """Return where the services' spans are, one file a service."""
    return folder / "traces"


def suite_version() -> str:
    """Return the version of the suite, "unreleased" if it is not installed."""
    try:
        return version("tally-suite")
    except PackageNotFoundError:
        return "unreleased"


def find_record(folder: Path) -> Record | None:
    """Return what was last said about the stack of `folder`; None if none was started there.

    After a crash it is still there: `find_holder` tells whether anybody stands behind it.
    """
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Record)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError:
        return None  # Of another version; the next start writes it anew.


def save_record(folder: Path, record: Record) -> None:
    """Replace what is said about the stack of `folder`."""
    write_whole(folder / FILE, msgspec.json.format(msgspec.json.encode(record)).decode() + "\n")


def forget_record(folder: Path) -> None:
    """Say that nothing runs from `folder`."""
    (folder / FILE).unlink(missing_ok=True)


def find_holder(folder: Path) -> int | None:
    """Return the process that runs the stack of `folder` now, None if there is none."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(descriptor)
    return None


class Lock:
    """Only one process at a time runs a stack from a folder. The lock dies with its holder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether we have it."""
        return self._descriptor is not None

    def take(self) -> None:
        """Take the lock.

        Raises:
            AlreadyRunning: somebody has it.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(descriptor, 32, 0).decode().strip() or "unknown"
            os.close(descriptor)
            raise AlreadyRunning(
                f"The suite already runs from {self._folder} (process {pid}). "
                "`tally status` shows it, `tally down` stops it."
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back, if we have it."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None
