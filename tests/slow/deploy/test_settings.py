"""What the manifests tell a service is what it reads, and all that it needs."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import PurePosixPath
from typing import Any

import pytest

from deploy.embedded.databases import SERVICES
from libs.settings import ServiceSettings
from tests.slow.deploy.manifests import Overlay
from tests.tidy import tree

# Read by libs.telemetry, not by the settings.
TRACING = {"OTEL_EXPORTER_OTLP_ENDPOINT"}
# Spans go to a collector, not into files; and the default of five minutes suits any cluster.
LEFT_OUT = {"TRACES_FILE", "CONNECTION_SECONDS"}
# Without a payment provider nobody is charged; an overlay that has one says so.
LEFT_OUT |= {"STRIPE_API_KEY", "RETRY_DAYS"}
LEFT_OUT |= {"WEBHOOK_PRIVATE"}  # Webhooks go to the internet, where an overlay lets them out.


class Recorder(Mapping[str, str]):
    """An environment that remembers which variables were looked up."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def read(service: str, env: Mapping[str, str]) -> Any:
    return import_module(f"services.{service}.settings").Settings.from_env(env)


@pytest.mark.parametrize("service", SERVICES)
def test_no_variable_is_unknown_and_none_is_missing(overlay: Overlay, service: str) -> None:
    env = overlay.environment(overlay.deployments[service])
    recorder = Recorder(env)
    read(service, recorder)
    left_out = {f"{service.upper()}_{name}" for name in LEFT_OUT}
    assert env.keys() - TRACING == recorder.asked - left_out
    assert TRACING <= env.keys()
    telemetry = (tree.ROOT / "libs/telemetry.py").read_text()
    assert all(f'"{name}"' in telemetry for name in TRACING)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_listens_where_the_manifests_say(overlay: Overlay, service: str) -> None:
    workload = overlay.deployments[service]
    settings = read(service, overlay.environment(workload))
    common: ServiceSettings = getattr(settings, "common", None) or settings.service
    assert common.listen_address == f"0.0.0.0:{workload.ports['grpc']}"
    assert common.metrics_address == f"0.0.0.0:{workload.ports['metrics']}"
    assert common.test_clock is (overlay.name == "dev")


@pytest.mark.parametrize("service", SERVICES)
def test_the_files_that_a_service_reads_are_mounted(overlay: Overlay, service: str) -> None:
    workload = overlay.deployments[service]
    (volume,) = [v for v in workload.pod["volumes"] if v["name"] == "credentials"]
    (mount,) = [m for m in workload.container["volumeMounts"] if m["name"] == "credentials"]
    assert "subPath" not in mount  # Such a file would never change.
    there = {
        str(PurePosixPath(mount["mountPath"]) / item["path"])
        for source in volume["projected"]["sources"]
        for item in source["secret"]["items"]
    }
    env = overlay.environment(workload)
    assert there == {value for name, value in env.items() if name.endswith("_FILE")}


@pytest.mark.parametrize("service", SERVICES)
def test_a_peer_is_addressed_by_its_service_and_port(overlay: Overlay, service: str) -> None:
    env = overlay.environment(overlay.deployments[service])
    for name, value in env.items():
        peer = name.removeprefix(f"{service.upper()}_").removesuffix("_ADDRESS").lower()
        if name.endswith("_ADDRESS") and peer in SERVICES:
            (port,) = overlay.named("Service", peer)["spec"]["ports"]
            assert value == f"{peer}:{port['port']}"


def test_ingest_and_rating_speak_of_the_same_partitions(overlay: Overlay) -> None:
    ingest = read("ingest", overlay.environment(overlay.deployments["ingest"]))
    rating = read("rating", overlay.environment(overlay.deployments["rating"]))
    assert ingest.partitions == 4
    assert rating.partitions is None  # All of them.
