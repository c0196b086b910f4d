"""The arrows of the architecture, and no others, are what the network lets pass."""

import re
from itertools import product
from urllib.parse import urlsplit

import pytest

from deploy.embedded.databases import SERVICES
from tests.slow.deploy.manifests import Overlay, Workload
from tests.slow.deploy.network import Endpoint, Network

DNS = Endpoint({"k8s-app": "kube-dns"}, {"kubernetes.io/metadata.name": "kube-system"})
CLIENT_LABEL = {"tally/client": "true"}
MONITORING = Endpoint({}, {"kubernetes.io/metadata.name": "monitoring"})
COLLECTOR = Endpoint({}, {"kubernetes.io/metadata.name": "observability"})


def ends(overlay: Overlay) -> dict[str, Endpoint]:
    return {workload.name: Endpoint(workload.labels) for workload in overlay.workloads}


def arrows(overlay: Overlay, workload: Workload) -> set[tuple[str, str, int]]:
    """Whom a pod calls, by what its settings say: peers, databases, NATS."""
    env = overlay.environment(workload)
    found = set()
    for name, value in env.items():
        if name.endswith("_URL"):
            place = urlsplit(value)
            found.add((workload.name, str(place.hostname), place.port or 0))
        elif re.fullmatch(rf"[A-Z]+_({'|'.join(SERVICES).upper()})_ADDRESS", name):
            host, _, port = value.partition(":")
            found.add((workload.name, host, int(port)))
    return found


def permitted(overlay: Overlay) -> set[tuple[str, str, int]]:
    network, pods = Network.of(overlay), ends(overlay)
    ports = {port for workload in overlay.workloads for port in workload.ports.values()}
    return {
        (source, target, port)
        for source, target, port in product(pods, pods, ports)
        if network.may_connect(pods[source], pods[target], port)
    }


def test_in_dev_pods_reach_what_their_settings_name_and_nothing_else(
    overlays: dict[str, Overlay],
) -> None:
    dev = overlays["dev"]
    ours = [*dev.deployments.values(), *dev.migrations.values()]
    wanted = set().union(*(arrows(dev, workload) for workload in ours))
    assert permitted(dev) == wanted
    calls = {(source, target) for source, target, _ in wanted if target in SERVICES}
    assert calls == {
        ("rating", "ingest"),
        ("invoicing", "rating"),
        ("invoicing", "wallet"),
        ("wallet", "ingest"),
        ("wallet", "rating"),
        ("wallet", "invoicing"),
    }


def test_in_production_pods_reach_their_peers(overlays: dict[str, Overlay]) -> None:
    production = overlays["production"]
    wanted = {
        arrow
        for workload in production.deployments.values()
        for arrow in arrows(production, workload)
        if arrow[1] in SERVICES
    }
    assert permitted(production) == wanted


def test_in_production_each_service_and_its_migration_reach_their_own_database(
    overlays: dict[str, Overlay],
) -> None:
    production = overlays["production"]
    pods, network = ends(production), Network.of(production)
    databases = {
        service: Endpoint(address=address_of(production, f"{service}-to-database"))
        for service in SERVICES
    }
    assert len({database.address for database in databases.values()}) == len(SERVICES)
    for service, database in databases.items():
        reach = {name for name, pod in pods.items() if network.may_connect(pod, database, 5432)}
        assert reach == {service, f"migrate-{service}"}
        assert not network.may_connect(pods[service], database, 22)
    nats = Endpoint(address=address_of(production, "services-to-nats"))
    assert {n for n, pod in pods.items() if network.may_connect(pod, nats, 4222)} == set(SERVICES)


def address_of(overlay: Overlay, policy: str) -> str:
    (rule,) = overlay.named("NetworkPolicy", policy)["spec"]["egress"]
    (peer,) = rule["to"]
    return str(peer["ipBlock"]["cidr"]).partition("/")[0]


def test_spans_go_where_the_settings_say(overlays: dict[str, Overlay]) -> None:
    production = overlays["production"]
    pods, network = ends(production), Network.of(production)
    for service, workload in production.deployments.items():
        place = urlsplit(production.environment(workload)["OTEL_EXPORTER_OTLP_ENDPOINT"])
        namespace = {"kubernetes.io/metadata.name": str(place.hostname).partition(".")[2]}
        assert network.may_connect(pods[service], Endpoint({}, namespace), place.port or 0)
    assert not network.may_connect(pods["migrate-ingest"], COLLECTOR, 4317)


@pytest.mark.parametrize("service", SERVICES)
def test_clients_are_let_in_by_their_label(overlay: Overlay, service: str) -> None:
    pod, network = ends(overlay)[service], Network.of(overlay)
    inside = Endpoint({**CLIENT_LABEL, "app": "shop"})
    outside = Endpoint(CLIENT_LABEL, CLIENT_LABEL)
    assert network.may_connect(outside, pod, 50051)
    assert not network.may_connect(outside, pod, 9090)
    # One in our namespace also needs a policy of its own, that lets it out.
    lets_out = {
        "podSelector": {"matchLabels": CLIENT_LABEL},
        "policyTypes": ["Egress"],
        "egress": [{"to": [{"podSelector": {}}], "ports": [{"port": 50051}]}],
    }
    assert not network.may_connect(inside, pod, 50051)
    assert Network([*network.policies, lets_out]).may_connect(inside, pod, 50051)
    for stranger in (Endpoint({}, {}), Endpoint(CLIENT_LABEL, {}), Endpoint({}, CLIENT_LABEL)):
        assert not network.may_connect(stranger, pod, 50051)


def test_metrics_are_read_by_monitoring_alone(overlay: Overlay) -> None:
    network = Network.of(overlay)
    for service, pod in ends(overlay).items():
        assert network.may_connect(MONITORING, pod, 9090) is (service in SERVICES)
        assert not network.may_connect(MONITORING, pod, 50051)
        assert not network.may_connect(Endpoint({}, {}), pod, 9090)


def test_every_pod_may_ask_for_names_and_the_internet_is_out_of_reach(overlay: Overlay) -> None:
    network = Network.of(overlay)
    for pod in (*ends(overlay).values(), Endpoint({"app": "new"})):
        assert network.may_connect(pod, DNS, 53)
        assert not network.may_connect(pod, Endpoint(address="203.0.113.9"), 443)
        assert not network.may_connect(Endpoint(address="203.0.113.9"), pod, 50051)
