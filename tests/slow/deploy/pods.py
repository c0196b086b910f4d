"""Runs the pods of the dev overlay as processes: same image, command, environment and probes.

What a cluster would do with names and ports is done by replacing them: each pod listens on a
loopback port of its own.
"""

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from deploy.embedded import binaries, processes
from deploy.embedded.health import SERVING, service_health
from deploy.embedded.ports import choose_port
from deploy.embedded.postgres import SUPERUSER, Postgres
from deploy.embedded.processes import Process
from tests.slow.deploy.manifests import Overlay, Workload
from tests.slow.deploy.recipe import Image
from tests.wait import until

HOST = "127.0.0.1"
SECONDS = 120.0


@dataclass
class Cluster:
    """One machine that plays a cluster for an overlay."""

    overlay: Overlay
    image: Image
    folder: Path
    postgres: Postgres
    replicas: int = 1  # Several keep no test clock.
    running: dict[str, Process] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)  # By the name that manifests use.
    listening: dict[str, str] = field(default_factory=dict)  # By pod.

    def prepare(self) -> None:
        """Chooses ports, and puts the mounted secrets where processes find them."""
        for name in self.overlay.deployments:
            own = {pod: f"{HOST}:{choose_port(None)}" for pod in self.pods_of(name)}
            self.listening |= own
            # What DNS would answer for a headless Service.
            self.addresses[f"{name}:50051"] = f"ipv4:{','.join(own.values())}"
        credentials = self.folder / "credentials"
        credentials.mkdir()
        for secret, key in (("token-keys", "token-keys.json"), ("internal-token", "token")):
            name = "internal-token" if key == "token" else key
            (credentials / name).write_text(self.secret(secret)[key])

    def pods_of(self, name: str) -> list[str]:
        """Returns the names of a Deployment's pods."""
        return [f"{name}-{index}" for index in range(self.replicas)]

    def secret(self, name: str) -> dict[str, str]:
        """Returns what the overlay's secret of that name holds."""
        (found,) = [
            one
            for one in self.overlay.of_kind("Secret")
            if one["metadata"]["name"].rpartition("-")[0] == name
        ]
        return {key: base64.b64decode(text).decode() for key, text in found["data"].items()}

    def files_of(self, name: str) -> Path:
        """Writes the files of a ConfigMap; returns their folder."""
        (found,) = [
            one
            for one in self.overlay.of_kind("ConfigMap")
            if one["metadata"]["name"].rpartition("-")[0] == name
        ]
        folder = self.folder / name
        folder.mkdir()
        for key, text in found["data"].items():
            (folder / key).write_text(text)
        return folder

    def start_postgres(self) -> None:
        """Starts PostgreSQL and runs on it what its image would run on an empty volume."""
        self.postgres.start()
        self.addresses["postgres:5432"] = f"{HOST}:{self.postgres.port}"
        script = self.files_of("postgres-init") / "databases.sql"
        connection = {"PGHOST": HOST, "PGPORT": str(self.postgres.port), "PGUSER": SUPERUSER}
        done = subprocess.run(
            [binaries.find_postgres() / "psql", "-v", "ON_ERROR_STOP=1", "-X", "-q", "-f", script],
            env={
                **os.environ,
                **connection,
                "PGPASSWORD": self.postgres.password,
                "PGDATABASE": "postgres",
                **self.secret("postgres-server"),
            },
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr

    async def start_nats(self) -> None:
        """Starts nats-server with the overlay's configuration, and asks it as its probe does."""
        config = self.files_of("nats-config") / "nats.conf"
        config.write_text(config.read_text().replace("/data", str(self.folder / "streams")))
        port, monitor = choose_port(None), choose_port(None)
        self.addresses["nats:4222"] = f"{HOST}:{port}"
        elsewhere = ["-a", HOST, "-p", str(port), "-m", str(monitor)]
        self.running["nats"] = processes.start(
            [str(binaries.find_nats()), "--config", str(config), *elsewhere],
            name="nats",
            folder=self.folder,
            log=self.folder / "nats.log",
            env={**os.environ, **self.secret("nats-server")},
        )

        def healthy() -> bool:
            try:
                with urllib.request.urlopen(f"http://{HOST}:{monitor}/healthz", timeout=5) as said:
                    return bool(json.load(said) == {"status": "ok"})
            except OSError:
                return False

        await until(healthy, seconds=SECONDS, describe=(self.folder / "nats.log").read_text)

    def environment(self, workload: Workload, pod: str) -> dict[str, str]:
        """Returns the variables of a pod, and those of the image, with places that are here."""
        places = {**self.addresses, "/run/tally": str(self.folder / "credentials")}
        if pod in self.listening:
            places["0.0.0.0:50051"] = self.listening[pod]
            places["0.0.0.0:9090"] = f"{HOST}:{choose_port(None)}"
        found = {**self.image.environment, **self.overlay.environment(workload)}
        for name, value in found.items():
            for there, here in places.items():
                value = value.replace(there, here)
            found[name] = value
        if self.replicas > 1:
            found |= {name: "0" for name in found if name.endswith("_TEST_CLOCK")}
        return {**found, "PATH": os.environ["PATH"]}

    async def start_all(self) -> dict[str, Process]:
        """Starts everything in the order of a rollout; returns the services' pods, ready."""
        await asyncio.gather(asyncio.to_thread(self.start_postgres), self.start_nats())
        jobs = {name: self.start(job, name) for name, job in self.overlay.migrations.items()}
        for name, job in jobs.items():
            assert await asyncio.to_thread(job.wait, SECONDS)
            assert job.exit_status == 0, self.log(name).read_text()
        pods = {
            pod: self.start(deployment, pod)
            for name, deployment in self.overlay.deployments.items()
            for pod in self.pods_of(name)
        }
        await asyncio.gather(*(self.await_probe(pod) for pod in pods))
        return pods

    def start(self, workload: Workload, pod: str) -> Process:
        """Starts the container of a pod, as a user that is not root."""
        process = processes.start(
            self.image.command(workload.container["args"]),
            name=pod,
            folder=self.folder,
            log=self.log(pod),
            env=self.environment(workload, pod),
            identity=binaries.find_identity(),
            cwd=self.folder,
        )
        self.running[pod] = process
        return process

    async def await_probe(self, pod: str) -> None:
        """Waits until the probes of a pod would find it ready."""

        async def ready() -> bool:
            assert self.running[pod].alive
            said = await asyncio.to_thread(service_health, self.listening[pod], seconds=1)
            return said == SERVING

        await until(ready, seconds=SECONDS, describe=self.log(pod).read_text)

    async def end(self, pod: str) -> None:
        """Ends a pod as a cluster does; fails if it had to be killed after its grace."""
        workload = self.overlay.deployments[pod.rpartition("-")[0]]
        process = self.running[pod]
        process.send(signal.SIGTERM)
        grace = workload.pod["terminationGracePeriodSeconds"]
        assert await asyncio.to_thread(process.wait, grace), f"{pod} would be killed"
        assert process.exit_status == 0, self.log(pod).read_text()
        messages = [json.loads(line)["message"] for line in self.log(pod).read_text().splitlines()]
        assert "draining" in messages and messages[-1] == "stopped"

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def stop(self) -> None:
        """Stops what still runs."""
        with ExitStack() as stack:
            stack.callback(self.postgres.stop)
            for process in self.running.values():
                stack.callback(process.kill)


def tree_of(folder: Path) -> Mapping[str, tuple[int, int]]:
    """Returns size and time of change of every file below a folder."""
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*")
    }


def client_environment(
    cluster: Cluster, services: Iterable[str], folder: Path
) -> Mapping[str, str]:
    """Returns what `tally` needs outside of the cluster: addresses, and the key for tokens."""
    home = folder / "operator"
    shutil.copytree(cluster.overlay.folder / "secrets" / "keys", home / "keys")
    addresses = {
        f"TALLY_{name.upper()}_ADDRESS": cluster.addresses[f"{name}:50051"] for name in services
    }
    return {**addresses, "TALLY_HOME": str(home), "PATH": os.environ["PATH"]}
