"""What the overlays render to, and how a cluster would read it."""

import base64
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from tests.slow.deploy import programs
from tests.tidy.tree import ROOT

OVERLAYS = ("dev", "production")
PLACEHOLDER = "postgresql+asyncpg://elsewhere/x"  # For secrets that are not in the repository.

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Workload:
    """A Deployment, Job or StatefulSet: something that makes pods of one container."""

    manifest: Manifest

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])

    @property
    def spec(self) -> Manifest:
        return dict(self.manifest["spec"])

    @property
    def pod(self) -> Manifest:
        return dict(self.spec["template"]["spec"])

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.spec["template"]["metadata"]["labels"])

    @property
    def container(self) -> Manifest:
        (container,) = self.pod["containers"]
        return dict(container)

    @property
    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for port in self.container.get("ports", [])}


@dataclass(frozen=True)
class Overlay:
    """All that one overlay renders to."""

    name: str
    resources: tuple[Manifest, ...]
    folder: Path  # Where it was rendered; the secrets of dev are below it.

    def of_kind(self, *kinds: str) -> list[Manifest]:
        return [one for one in self.resources if one["kind"] in kinds]

    def named(self, kind: str, name: str) -> Manifest:
        (found,) = [one for one in self.of_kind(kind) if one["metadata"]["name"] == name]
        return found

    @property
    def deployments(self) -> dict[str, Workload]:
        return {one["metadata"]["name"]: Workload(one) for one in self.of_kind("Deployment")}

    @property
    def migrations(self) -> dict[str, Workload]:
        return {one["metadata"]["name"]: Workload(one) for one in self.of_kind("Job")}

    @property
    def workloads(self) -> list[Workload]:
        return [Workload(one) for one in self.of_kind("Deployment", "Job", "StatefulSet")]

    def environment(self, workload: Workload) -> dict[str, str]:
        """Returns the variables that its container gets, secrets and all."""
        found: dict[str, str] = {}
        for source in workload.container.get("envFrom", []):
            ((kind, reference),) = source.items()
            found |= self._values(kind, reference["name"])
        for variable in workload.container.get("env", []):
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            if reference is None:
                found[variable["name"]] = variable["value"]
            elif self.name == "production":
                found[variable["name"]] = PLACEHOLDER
            else:
                values = self._values("secretRef", reference["name"])
                found[variable["name"]] = values[reference["key"]]
        return found

    def secret_keys(self, workload: Workload) -> set[tuple[str, str]]:
        """Returns (secret, key) of each secret that its pods get."""
        container = workload.container
        found = set()
        for variable in container.get("env", []):
            if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                found.add((plain_name(reference["name"]), reference["key"]))
        for source in container.get("envFrom", []):
            if "secretRef" in source:
                found.add((plain_name(source["secretRef"]["name"]), "*"))
        for volume in workload.pod.get("volumes", []):
            for source in volume.get("projected", {}).get("sources", []):
                secret = source["secret"]
                found |= {(plain_name(secret["name"]), item["key"]) for item in secret["items"]}
        return found

    def _values(self, kind: str, name: str) -> dict[str, str]:
        if kind == "configMapRef":
            return dict(self.named("ConfigMap", name)["data"])
        data = self.named("Secret", name)["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}


def plain_name(generated: str) -> str:
    """Returns the name of a generated secret without the hash of its content."""
    head, _, last = generated.rpartition("-")
    return head if len(last) == 10 and last.isalnum() else generated


def render(name: str, folder: Path) -> Overlay:
    """Renders an overlay as an operator would, in a copy in `folder`."""
    copy = folder / "kustomize"
    shutil.copytree(
        ROOT / "deploy/kustomize", copy, ignore=shutil.ignore_patterns("secrets"), symlinks=True
    )
    overlay = copy / "overlays" / name
    if name == "dev":
        secrets = str(overlay / "secrets")
        programs.run(Path(sys.executable).name, "-m", "tools.cluster_secrets", secrets, cwd=ROOT)
    text = programs.run("kubectl", "kustomize", str(overlay))
    return Overlay(name, tuple(yaml.safe_load_all(text)), overlay)


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Gives every value within a manifest, with its path."""
    yield path, value
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from walk(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from walk(inner, f"{path}[{index}]")
