"""What the overlays render to is valid, hardened, and says what an operator is told."""

import re
from functools import cache
from importlib import import_module

import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from deploy.embedded.databases import SERVICES
from tests.slow.deploy.manifests import Overlay, walk
from tests.tidy import tree

VERSIONS = ("1.31", kubernetes_validate.latest_version())  # The oldest that README names.
SCALED = {"ingest", "rating"}
LOOPS_SECONDS = 10  # After the RPCs: the loops' steps, connections, spans.

# What holds for the pods of third parties too.
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_resource_is_valid_to_the_letter(
    overlay: Overlay, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It would read all schemas of the version, a megabyte, for each resource again.
    read_once = cache(kubernetes_validate.utils.schema_contents)
    monkeypatch.setattr(kubernetes_validate.utils, "schema_contents", read_once)
    assert len(overlay.resources) > 30
    for resource in overlay.resources:
        kubernetes_validate.validate(resource, version, strict=True)


def test_a_misspelled_field_is_not_valid(overlay: Overlay) -> None:
    resource = overlay.named("Service", "ingest")
    broken = {**resource, "spec": {**resource["spec"], "clusterIp": "None"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[0], strict=True)


def test_no_pod_may_do_more_than_it_must(overlay: Overlay) -> None:
    for workload in overlay.workloads:
        pod, container = workload.pod, workload.container
        assert container["securityContext"] == RESTRICTED, workload.name
        context = pod["securityContext"]
        assert context["runAsNonRoot"] and context["runAsUser"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert {"hostNetwork", "hostPID", "hostIPC"}.isdisjoint(pod)
        assert not any("hostPath" in volume for volume in pod["volumes"])
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert container["resources"]["limits"].keys() == {"memory"}
        _, _, tag = container["image"].rpartition(":")
        assert tag and "/" not in tag and tag != "latest"


def test_our_pods_run_as_the_user_of_the_image_with_accounts_of_their_own(
    overlay: Overlay,
) -> None:
    accounts = {one["metadata"]["name"]: one for one in overlay.of_kind("ServiceAccount")}
    ours = [*overlay.deployments.values(), *overlay.migrations.values()]
    assert [workload.pod["serviceAccountName"] for workload in ours] == [
        workload.name for workload in ours
    ]
    assert accounts.keys() == {workload.name for workload in ours}
    assert not any(account["automountServiceAccountToken"] for account in accounts.values())
    (user,) = re.findall(r"^USER (\d+):\1$", (tree.ROOT / "deploy/Dockerfile").read_text(), re.M)
    assert {workload.pod["securityContext"]["runAsUser"] for workload in ours} == {int(user)}
    assert len({workload.container["image"] for workload in ours}) == 1
    for workload in ours:
        written = {mount["mountPath"] for mount in workload.container["volumeMounts"]} - {
            "/run/tally"
        }
        assert written == {"/tmp"}


@pytest.mark.parametrize("service", SERVICES)
def test_health_is_asked_over_grpc_and_a_pod_gets_the_time_to_drain(
    overlay: Overlay, service: str
) -> None:
    workload = overlay.deployments[service]
    container = workload.container
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["grpc"] == {"port": workload.ports["grpc"]}
    settings = overlay.environment(workload)
    drain = int(settings[f"{service.upper()}_DRAIN_SECONDS"])
    before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert workload.pod["terminationGracePeriodSeconds"] >= before + drain + LOOPS_SECONDS
    notes = workload.spec["template"]["metadata"]["annotations"]
    assert notes["prometheus.io/scrape"] == "true"
    assert int(notes["prometheus.io/port"]) == workload.ports["metrics"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_the_list_of_its_own_pods(overlay: Overlay, service: str) -> None:
    spec = overlay.named("Service", service)["spec"]
    assert spec["clusterIP"] == "None"
    selected = [w.name for w in overlay.workloads if spec["selector"].items() <= w.labels.items()]
    assert selected == [service]
    (port,) = spec["ports"]
    assert port["port"] == overlay.deployments[service].ports[port["targetPort"]]


@pytest.mark.parametrize("service", SERVICES)
def test_a_migration_runs_as_the_owner_whom_nothing_else_knows(
    overlay: Overlay, service: str
) -> None:
    job = overlay.migrations[f"migrate-{service}"]
    assert job.container["args"] == ["cli", "migrate", service]
    assert overlay.environment(job).keys() == {f"{service.upper()}_OWNER_DATABASE_URL"}
    owner = (f"{service}-database-owner", "url")
    holders = [w.name for w in overlay.workloads if owner in overlay.secret_keys(w)]
    assert holders == [job.name]


@pytest.mark.parametrize("service", SERVICES)
def test_a_deployment_runs_its_service_and_gets_no_other_services_secrets(
    overlay: Overlay, service: str
) -> None:
    workload = overlay.deployments[service]
    assert workload.container["args"] == [f"services.{service}"]
    import_module(f"services.{service}.__main__")
    assert overlay.secret_keys(workload) == {
        (f"{service}-database", "url"),
        (f"{service}-database", "worker-url"),
        ("nats-client", "url"),
        ("token-keys", "token-keys.json"),
        ("internal-token", "token"),
    }


def test_production_brings_no_secrets_and_the_page_for_operators_names_each(
    overlays: dict[str, Overlay],
) -> None:
    production = overlays["production"]
    assert not production.of_kind("Secret")
    page = (tree.ROOT / "deploy/README.md").read_text()
    named = set(re.findall(r"^\| `([a-z-]+)` \| `([a-z.-]+)` \|", page, re.M))
    wanted = set().union(*(production.secret_keys(w) for w in production.workloads))
    assert named == wanted


def test_the_repository_holds_no_secret_value() -> None:
    for file in tree.matching("deploy/kustomize/**"):
        assert "/secrets/" not in file
        assert not re.search(r"^kind: Secret$", tree.read(file) or "", re.M), file


def test_production_loses_no_service_with_one_pod(overlays: dict[str, Overlay]) -> None:
    production = overlays["production"]
    scalers = {
        one["metadata"]["name"]: one["spec"]
        for one in production.of_kind("HorizontalPodAutoscaler")
    }
    assert scalers.keys() == SCALED
    budgets = {
        one["metadata"]["name"]: one["spec"] for one in production.of_kind("PodDisruptionBudget")
    }
    assert budgets.keys() == set(SERVICES)
    for service, workload in production.deployments.items():
        assert budgets[service]["maxUnavailable"] == 1
        assert budgets[service]["selector"]["matchLabels"].items() <= workload.labels.items()
        if service in SCALED:
            assert "replicas" not in workload.spec  # Else each `kubectl apply` would reset it.
            target = scalers[service]["scaleTargetRef"]
            assert (target["kind"], target["name"]) == ("Deployment", service)
            assert 2 <= scalers[service]["minReplicas"] < scalers[service]["maxReplicas"]
        else:
            assert workload.spec["replicas"] >= 2
        rolling = workload.spec["strategy"]["rollingUpdate"]
        assert rolling == {"maxSurge": 1, "maxUnavailable": 0}


def test_dev_runs_one_pod_of_each_because_its_clock_is_in_one_process(
    overlays: dict[str, Overlay],
) -> None:
    dev = overlays["dev"]
    assert not dev.of_kind("HorizontalPodAutoscaler", "PodDisruptionBudget")
    for workload in dev.deployments.values():
        assert workload.spec["replicas"] == 1
        assert workload.spec["strategy"] == {"type": "Recreate"}


def test_every_part_is_found_by_the_label_that_the_page_for_operators_uses(
    overlay: Overlay,
) -> None:
    components = {"Deployment": "service", "Job": "migration", "StatefulSet": "server"}
    for workload in overlay.workloads:
        component = components[workload.manifest["kind"]]
        for labels in (workload.labels, workload.manifest["metadata"]["labels"]):
            assert labels["app.kubernetes.io/component"] == component
            assert labels["app.kubernetes.io/part-of"] == "tally"


def test_everything_is_in_the_namespace_of_the_overlay(overlay: Overlay) -> None:
    (namespace,) = overlay.of_kind("Namespace")
    name = namespace["metadata"]["name"]
    assert name == {"dev": "tally-dev", "production": "tally"}[overlay.name]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = [one for one in overlay.resources if one is not namespace]
    assert {one["metadata"]["namespace"] for one in others} == {name}
    assert not [
        path for one in overlay.resources for path, value in walk(one) if value == "default"
    ]
