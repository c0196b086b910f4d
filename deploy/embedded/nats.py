"""A NATS server with JetStream of one's own: started, stopped, brought back after a crash."""

from __future__ import annotations

import json
import time
from pathlib import Path
from urllib.parse import urlsplit

from deploy.embedded import binaries, processes
from deploy.embedded.files import read_secret, size, tail, write_whole
from deploy.embedded.ports import HOST, is_free
from deploy.embedded.processes import Process

USER = "tally"
START_SECONDS = 30.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.02
ANY_PORT = -1
PAYLOAD_BYTES_MAX = 8 * 1024 * 1024  # A segment travels whole.


class NatsFailed(RuntimeError):
    """nats-server did not start; the message holds what it said."""


class Nats:
    """A nats-server in `folder`, on a free port of the loopback interface.

    The port stays the same: the next object on the folder takes it where it can, and this one
    takes no other once clients know it.
    """

    def __init__(self, folder: Path, *, log: Path | None = None) -> None:
        self.folder = folder.resolve()
        self.log = log or self.folder / "nats.log"
        self.port: int | None = None
        self._process: Process | None = None

    @property
    def process(self) -> Process | None:
        """The server, if this object started it."""
        return self._process

    @property
    def alive(self) -> bool:
        """Whether the server that this object started still runs."""
        return self._process is not None and self._process.alive

    @property
    def url(self) -> str:
        """The URL for clients, with the password."""
        if self.port is None:
            raise NatsFailed("NATS is not started.")
        return f"nats://{USER}:{read_secret(self.folder / 'password')}@{HOST}:{self.port}"

    def start(self) -> None:
        """Start it and return when it takes connections; one left over from a crash is stopped.

        Raises:
            NatsFailed: it does not come up.
        """
        if self.alive:
            return
        self.stop_leftover()
        config = self._write_config()
        ports = self.folder / "ports"
        ports.mkdir(exist_ok=True)
        for old in ports.iterdir():
            old.unlink()
        port = self.port or self._last_port()
        if port is not None and not is_free(port):
            if self.port is not None:
                raise NatsFailed(f"Port {port}, where its clients look for it, is taken.")
            port = None
        command = [str(binaries.find_nats()), "-c", str(config), "-p", str(port or ANY_PORT)]
        start = size(self.log)
        self._process = processes.start(
            [*command, "--ports_file_dir", str(ports)],
            name="nats",
            folder=self.folder,
            log=self.log,
        )
        found = self._await_port(self._process, ports)
        if found is None:
            self.kill()
            said = tail(self.log, start=start)
            raise NatsFailed(f"nats-server did not start ({self.log}):\n{said}")
        self.port = found
        write_whole(self.folder / "port", f"{found}\n")

    def stop(self) -> None:
        """Stop it; what the streams hold stays."""
        if self._process is not None:
            self._process.stop(STOP_SECONDS)
            self._process = None

    def kill(self) -> None:
        """Kill it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def stop_leftover(self) -> bool:
        """Stop what a crash left running here; return whether anything ran."""
        running = processes.find_started_in(self.folder).get("nats", [])
        for process in running:
            process.stop(STOP_SECONDS)
        return bool(running)

    def _write_config(self) -> Path:
        # Streams are synced to disk every two minutes: they are the fast path, never the proof,
        # and what a power cut takes from them is pulled from the outboxes again.
        config = {
            "host": HOST,
            "server_name": "tally-embedded",
            "max_payload": PAYLOAD_BYTES_MAX,
            "jetstream": {"store_dir": str(self.folder / "store")},
            "authorization": {"user": USER, "password": read_secret(self.folder / "password")},
        }
        path = self.folder / "nats.conf"
        write_whole(path, json.dumps(config, indent=2) + "\n")
        return path

    def _await_port(self, process: Process, ports: Path) -> int | None:
        until = time.monotonic() + START_SECONDS
        path = ports / f"nats-server_{process.pid}.ports"
        while time.monotonic() < until and not process.wait(POLL_SECONDS):
            try:
                urls = json.loads(path.read_text())["nats"]
            except (FileNotFoundError, ValueError):  # Not there yet, or half written.
                continue
            return urlsplit(str(urls[0])).port
        return None

    def _last_port(self) -> int | None:
        path = self.folder / "port"
        return int(path.read_text()) if path.exists() else None
