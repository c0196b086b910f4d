"""A PostgreSQL cluster of one's own: made, started, stopped, and brought back after a crash."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from deploy.embedded import binaries, processes
from deploy.embedded.files import read_secret, size, tail, write_whole
from deploy.embedded.ports import HOST, choose_port, is_free
from deploy.embedded.processes import Identity, Process

SUPERUSER = "postgres"
SOCKETS = "tally-postgres-"
START_SECONDS = 60.0  # Recovery after a crash included.
STOP_SECONDS = 30.0
CHILDREN_SECONDS = 10.0
ATTEMPTS = 10
POLL_SECONDS = 0.02
RETRY_SECONDS = 0.2
READY_LINE = 7  # Of postmaster.pid, counted from 0; what `pg_ctl --wait` reads.
PASSING = ("Address already in use", "is still in use", "Is another postmaster")

# Durable as in production. WAL and checkpoints for a stream of segments: a checkpoint is due by
# time, not by volume, so that the load does not write full pages again and again.
SETTINGS: Mapping[str, str] = {
    "max_connections": "100",
    "shared_buffers": "256MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "wal_buffers": "16MB",
    "min_wal_size": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "password_encryption": "scram-sha-256",
}


class PostgresFailed(RuntimeError):
    """PostgreSQL could not be made or started; the message holds what it said."""


class Postgres:
    """A cluster in `folder`, on a free port of the loopback interface.

    `settings` are laid over SETTINGS. The port stays the same: the next object on the folder takes
    it where it can, and this one takes no other once clients know it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, str] | None = None,
        identity: Identity | None = None,
        log: Path | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self.log = log or self.folder / "postgres.log"
        self.port: int | None = None
        self._settings = {**SETTINGS, **(settings or {})}
        self._identity = identity or binaries.find_identity()
        self._process: Process | None = None
        self._served = False  # Clients know the port.

    @property
    def data(self) -> Path:
        """The data folder; elsewhere if the user that PostgreSQL runs as may not come here."""
        return (self.folder / "data").resolve()

    @property
    def process(self) -> Process | None:
        """The postmaster, if this object started it."""
        return self._process

    @property
    def alive(self) -> bool:
        """Whether the postmaster that this object started still runs."""
        return self._process is not None and self._process.alive

    @property
    def password(self) -> str:
        """The superuser's password."""
        return self.role_password(SUPERUSER)

    def role_password(self, role: str) -> str:
        """Return the password of a role, made at random at first use."""
        return read_secret(self.folder / "passwords" / role)

    def url(self, role: str, database: str) -> str:
        """Return the postgresql+asyncpg URL of a database for a role, with its password."""
        if self.port is None:
            raise PostgresFailed("PostgreSQL is not started.")
        return (
            f"postgresql+asyncpg://{role}:{self.role_password(role)}@{HOST}:{self.port}/{database}"
        )

    def start(self) -> None:
        """Start it, making the cluster at first, and return when it takes connections.

        A postmaster left over from a crash is stopped first, and the children of a dead one are
        waited for: they still hold its shared memory.

        Raises:
            PostgresFailed: it does not come up.
        """
        if self.alive:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        programs = self._programs()
        if not (self.folder / "data" / "PG_VERSION").exists():
            self._make_cluster(programs)
        self.stop_leftover()
        if self._served and self.port is not None and not is_free(self.port):
            raise PostgresFailed(f"Port {self.port}, where its clients look for it, is taken.")
        for _ in range(ATTEMPTS):
            said = self._try_start(programs)
            if said is None:
                return
            if not any(reason in said for reason in PASSING):
                raise PostgresFailed(f"PostgreSQL did not start ({self.log}):\n{said}")
            time.sleep(RETRY_SECONDS)
        raise PostgresFailed(f"PostgreSQL did not start in {ATTEMPTS} attempts:\n{said}")

    def stop(self) -> None:
        """Stop it: sessions are broken off, what they committed stays."""
        self.stop_leftover()
        if self._process is not None:
            self._process.stop(STOP_SECONDS, gently=signal.SIGINT)
            self._process = None

    def kill(self) -> None:
        """Kill the postmaster and all its children as a crash would; `start` recovers."""
        if self._process is not None:
            children = processes.find_working_in(self.data)
            self._process.kill()
            for child in children:
                child.kill()
            self._process = None

    def stop_leftover(self) -> bool:
        """Stop what still runs on the data, clear its lock; return whether anything ran.

        Only processes that work in the data folder are touched, whatever number the lock names.
        """
        lock = self.data / "postmaster.pid"
        lines = _read_lines(lock)
        running = processes.find_working_in(self.data)
        for process in running:
            if lines and str(process.pid) == lines[0]:
                process.stop(STOP_SECONDS, gently=signal.SIGINT)
        # Children of a dead postmaster see that it is gone and end by themselves.
        for late in processes.wait_for_all(running, CHILDREN_SECONDS):
            late.kill()
        lock.unlink(missing_ok=True)
        if len(lines) > 4 and Path(lines[4]).name.startswith(SOCKETS):
            shutil.rmtree(lines[4], ignore_errors=True)
        return bool(running)

    def _programs(self) -> Path:
        """Return the programs' folder; a copy where the user may not read the installed ones."""
        found = binaries.find_postgres()
        if binaries.can_enter(self._identity, found):
            return found
        # With the libraries beside the package, where the programs look for them.
        package, copies = found.parents[1], self._home() / "programs"
        for source in (package, package.with_name(f"{package.name}.libs")):
            if source.is_dir() and not (copies / source.name).exists():
                shutil.copytree(source, copies / source.name, symlinks=True)
        return copies / found.relative_to(package.parent)

    def _home(self) -> Path:
        """Return where data may be: our folder, or one that the other user may enter."""
        link = self.folder / "data"
        if link.is_symlink() and link.resolve().parent.is_dir():
            return link.resolve().parent
        if link.is_symlink():
            link.unlink()  # Somebody cleared the other place.
        if binaries.can_enter(self._identity, self.folder):
            return self.folder
        home = Path(tempfile.mkdtemp(prefix=SOCKETS, dir="/var/tmp"))  # /tmp may end at a reboot.
        home.chmod(0o711)
        link.symlink_to(home / "data")
        return home

    def _make_cluster(self, programs: Path) -> None:
        data = self._home() / "data"
        draft = data.with_name("data.new")  # A crash meanwhile leaves no half made cluster.
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password_file = draft.with_name("initdb-password")
        write_whole(password_file, self.password + "\n")
        for path in (draft, password_file):
            self._give(path)
        locale = ["--locale=C.UTF-8"]
        if binaries.major_version(programs) >= 17:
            locale.append("--locale-provider=builtin")
        command = [str(programs / "initdb"), "-D", str(draft), "-U", SUPERUSER]
        command += ["-A", "scram-sha-256", f"--pwfile={password_file}", "-E", "UTF8", *locale]
        try:
            processes.run(command, identity=self._identity, env=_environment())
        except subprocess.CalledProcessError as error:
            said = error.output.decode(errors="replace").strip()
            raise PostgresFailed(f"initdb failed:\n{said}") from None
        finally:
            password_file.unlink(missing_ok=True)
        draft.rename(data)

    def _give(self, path: Path) -> None:
        if self._identity.user is not None:
            shutil.chown(path, self._identity.user)

    def _try_start(self, programs: Path) -> str | None:
        """Start the postmaster once; return None when it is ready, else what it said."""
        self.port = choose_port(self.port or self._last_port())
        sockets = Path(tempfile.mkdtemp(prefix=SOCKETS))  # Short: a socket's path has 107 bytes.
        self._give(sockets)
        settings = {
            **self._settings,
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": str(sockets),
        }
        command = [str(programs / "postgres"), "-D", str(self.data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        start = size(self.log)
        self._process = processes.start(
            command,
            name="postgres",
            folder=self.folder,
            log=self.log,
            env=_environment(),
            identity=self._identity,
            cwd="/",
        )
        if self._await_ready(self._process):
            write_whole(self.folder / "port", f"{self.port}\n")
            self._served = True
            return None
        self.kill()
        self.stop_leftover()
        shutil.rmtree(sockets, ignore_errors=True)
        return tail(self.log, start=start)

    def _await_ready(self, process: Process) -> bool:
        until = time.monotonic() + START_SECONDS
        lock = self.data / "postmaster.pid"
        while time.monotonic() < until and not process.wait(POLL_SECONDS):
            lines = _read_lines(lock)
            if lines[0:1] == [str(process.pid)] and lines[READY_LINE:][:1] == ["ready   "]:
                return True
        return False

    def _last_port(self) -> int | None:
        path = self.folder / "port"
        return int(path.read_text()) if path.exists() else None


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:
        return []


def _environment() -> dict[str, str]:
    """Return our environment without what would change PostgreSQL's mind about where it is."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
