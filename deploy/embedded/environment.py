"""What a service is told when it starts, and servers of one's own that the caller names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.keys import Keys
from deploy.embedded.ports import HOST

ROOT = Path(__file__).resolve().parents[2]
PEERS = {
    "ingest": (),
    "rating": ("ingest",),
    "invoicing": ("rating", "wallet"),
    "wallet": ("ingest", "rating", "invoicing"),
}


class SettingsMissing(RuntimeError):
    """Variables that belong together are there only in part."""


@dataclass(frozen=True, slots=True)
class Urls:
    """A service's database as each of its roles; the scheme is postgresql+asyncpg."""

    app: str
    worker: str
    owner: str

    def of(self, role: str) -> str:
        """Return the URL of "app", "worker" or "owner"."""
        return {"app": self.app, "worker": self.worker, "owner": self.owner}[role]


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a service listens, on the loopback interface."""

    grpc: int
    metrics: int

    @property
    def address(self) -> str:
        """host:port of the gRPC server."""
        return f"{HOST}:{self.grpc}"

    @property
    def metrics_address(self) -> str:
        """host:port of the Prometheus text."""
        return f"{HOST}:{self.metrics}"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all services of a suite share."""

    ports: Mapping[str, Ports]
    urls: Mapping[str, Urls]
    nats_url: str
    keys: Keys
    traces: Path
    test_clock: bool


def service_environment(service: str, around: Surroundings) -> dict[str, str]:
    """Return the variables of a service, without those that it inherits from us."""
    urls, ports = around.urls[service], around.ports[service]
    own = {
        "DATABASE_URL": urls.app,
        "WORKER_DATABASE_URL": urls.worker,
        "OWNER_DATABASE_URL": urls.owner,
        "LISTEN_ADDRESS": ports.address,
        "METRICS_ADDRESS": ports.metrics_address,
        "TOKEN_KEYS_FILE": str(around.keys.token_keys),
        "INTERNAL_TOKEN_FILE": str(around.keys.internal_token),
        "TEST_CLOCK": "1" if around.test_clock else "0",
        "TRACES_FILE": str(around.traces / f"{service}.jsonl"),
    }
    for peer in PEERS[service]:
        own[f"{peer.upper()}_ADDRESS"] = around.ports[peer].address
    prefixed = {f"{service.upper()}_{name}": value for name, value in own.items()}
    return {**prefixed, "NATS_URL": around.nats_url}


def python_environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return `env` so that a Python of ours finds the suite's packages, installed or not."""
    places = [str(ROOT), str(ROOT / "libs" / "gen"), env.get("PYTHONPATH", "")]
    path = os.pathsep.join(dict.fromkeys(place for place in places if place))
    return {**env, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def read_owner_urls(env: Mapping[str, str], services: Sequence[str]) -> dict[str, str]:
    """Return the databases that the caller names as their owner, by service."""
    urls = {service: env.get(f"{service.upper()}_OWNER_DATABASE_URL", "") for service in services}
    return {service: url for service, url in urls.items() if url}


def read_urls(env: Mapping[str, str], services: Sequence[str]) -> dict[str, Urls]:
    """Return the databases that the caller names, by service.

    Raises:
        SettingsMissing: a service's URL is set for some of its roles only.
    """
    found: dict[str, Urls] = {}
    missing: list[str] = []
    for service in services:
        names = [f"{service.upper()}_{role}DATABASE_URL" for role in ("", "WORKER_", "OWNER_")]
        urls = [env.get(name, "") for name in names]
        if all(urls):
            found[service] = Urls(*urls)
        elif any(urls):
            missing += [name for name, url in zip(names, urls, strict=True) if not url]
    if missing:
        raise SettingsMissing(
            f"These environment variables must be set too: {', '.join(missing)}. A database of "
            "your own needs three roles: one for tenants, one for workers, and its owner."
        )
    return found
