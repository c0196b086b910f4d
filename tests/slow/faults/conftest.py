"""An ingest on disks that may be full, and producers that keep sending."""

from __future__ import annotations

import asyncio
import random
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from deploy.embedded.nats import Nats
from deploy.embedded.ports import HOST, choose_port
from deploy.embedded.postgres import Postgres
from deploy.embedded.service import Service
from tally.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from tests.nursery import Nursery
from tests.producing import Form, Memory, Producer
from tests.servers import Database, TestPostgres
from tests.unit.libs.keys import Keys

START_SECONDS = 60
TENANT = 1
LARGE, PADDING = 500, 12  # Events in a request, and KiB in each of them.
# As durable as in production; little WAL is kept, so that it fits on a small disk.
SETTINGS = {
    "shared_buffers": "32MB",
    "min_wal_size": "32MB",
    "max_wal_size": "64MB",
    "wal_recycle": "off",
}


@dataclass(slots=True)
class Running:
    """An ingest with what it needs, and what producers know who send to it all the time."""

    postgres: Postgres
    nats: Nats
    database: Database
    service: Service
    token: str
    memory: Memory = field(default_factory=Memory)
    large_memory: Memory = field(default_factory=Memory)  # Padded, an event is another one.

    def resident_mib(self) -> float:
        """Return how much memory the service takes."""
        assert self.service.process is not None
        status = Path(f"/proc/{self.service.process.pid}/status").read_text()
        [line] = [one for one in status.splitlines() if one.startswith("VmRSS")]
        return int(line.split()[1]) / 1024

    @asynccontextmanager
    async def producing(self, *, large: int = 0) -> AsyncIterator[None]:
        """Let a producer of each form send meanwhile; each ends when it is answered.

        And `large` more, of rows with 6 MiB in a request.
        """
        going_on = True
        metadata = (("authorization", f"Bearer {self.token}"),)
        async with grpc.aio.insecure_channel(self.service.address) as channel:
            stub = IngestServiceStub(channel)
            async with asyncio.TaskGroup() as tasks:
                for form in Form:
                    producer = Producer(self.memory, stub, form, random.Random(), metadata)
                    tasks.create_task(producer.run(lambda: going_on))
                for _ in range(large):
                    producer = Producer(
                        self.large_memory,
                        stub,
                        Form.ROWS,
                        random.Random(),
                        metadata,
                        LARGE,
                        PADDING,
                    )
                    tasks.create_task(producer.run(lambda: going_on))
                try:
                    yield
                finally:
                    going_on = False


@pytest.fixture
def wal_folder() -> Path | None:
    """Where the WAL goes instead of beside the data."""
    return None


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    """Where PostgreSQL's data goes."""
    return tmp_path / "postgres"


@pytest.fixture
def nats_folder(tmp_path: Path) -> Path:
    """Where the store of NATS goes."""
    return tmp_path / "nats"


@pytest.fixture
def running(
    data_folder: Path,
    wal_folder: Path | None,
    nats_folder: Path,
    nursery: Nursery,
    tmp_path: Path,
) -> Iterator[Running]:
    """An ingest service, its database and NATS."""
    postgres = Postgres(data_folder, settings=SETTINGS, log=tmp_path / "postgres.log")
    postgres.start()
    if wal_folder is not None:
        move_wal(postgres, wal_folder)
    nats_folder.mkdir(exist_ok=True)
    nats = Nats(nats_folder, log=tmp_path / "nats.log")
    nats.start()
    database, keys = TestPostgres(postgres).database("ingest"), Keys(tmp_path)
    service = ingest_on(database, nats, keys, tmp_path, nursery)
    service.start()
    try:
        service.await_serving(time.monotonic() + START_SECONDS)
        token = keys.token("events:write", "events:read", tenant=TENANT)
        yield Running(postgres, nats, database, service, token)
    finally:
        service.stop()
        nats.stop()
        postgres.stop()


def move_wal(postgres: Postgres, folder: Path) -> None:
    """Put the WAL on another disk."""
    postgres.stop()
    subprocess.run(["mv", postgres.data / "pg_wal", folder / "pg_wal"], check=True)
    (postgres.data / "pg_wal").symlink_to(folder / "pg_wal")
    postgres.start()


def ingest_on(
    database: Database, nats: Nats, keys: Keys, folder: Path, nursery: Nursery
) -> Service:
    """Return the service, not yet started."""
    address, metrics_address = (f"{HOST}:{choose_port()}" for _ in range(2))
    environment = {
        "INGEST_DATABASE_URL": database.app_url,
        "INGEST_WORKER_DATABASE_URL": database.worker_url,
        "INGEST_LISTEN_ADDRESS": address,
        "INGEST_METRICS_ADDRESS": metrics_address,
        "INGEST_TOKEN_KEYS_FILE": keys.file,
        "INGEST_INTERNAL_TOKEN_FILE": keys.internal_token_file(),
        "INGEST_TRACES_FILE": str(folder / "traces"),
        "NATS_URL": nats.url,
    }
    return Service(
        "ingest",
        address,
        metrics_address,
        folder,
        folder / "log",
        environment,
        start_process=nursery.start,
    )
