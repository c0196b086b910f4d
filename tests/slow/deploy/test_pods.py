"""The dev overlay runs: its databases, NATS, migrations and services, down to an invoice."""

import asyncio
import json
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from deploy.embedded.databases import SERVICES, create_databases
from deploy.embedded.postgres import Postgres
from tests.servers import TestPostgres
from tests.slow.deploy.manifests import Overlay
from tests.slow.deploy.pods import SECONDS, Cluster, client_environment, tree_of
from tests.slow.deploy.recipe import Image
from tests.slow.deploy.tour import Tally, follow

ROLES = (
    "SELECT rolname, rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolbypassrls, rolconfig"
    " FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY rolname"
)
RIGHTS = (
    "SELECT datname, datdba::regrole::text, datacl::text FROM pg_database"
    " WHERE datname = ANY($1) ORDER BY datname"
)
INSIDE = (
    "SELECT nspowner::regrole::text, nspacl::text,"
    " (SELECT array_agg(defaclobjtype::text || defaclacl::text ORDER BY defaclobjtype)"
    "  FROM pg_default_acl) FROM pg_namespace WHERE nspname = 'public'"
)


@pytest.fixture
def cluster(overlays: dict[str, Overlay], image: Image, open_folder: Path) -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(dir=open_folder))
    made = Cluster(overlays["dev"], image, folder, Postgres(folder / "postgres"))
    made.prepare()
    yield made
    made.stop()


async def test_from_an_empty_volume_to_an_invoice_and_a_clean_end(
    cluster: Cluster, image: Image, tmp_path: Path
) -> None:
    before = tree_of(image.root / "opt")
    await asyncio.gather(asyncio.to_thread(cluster.start_postgres), cluster.start_nats())
    jobs = [cluster.start(job) for job in cluster.overlay.migrations.values()]
    for job in jobs:
        assert await asyncio.to_thread(job.wait, SECONDS)
    said = [cluster.log(name).read_text() for name in cluster.overlay.migrations]
    assert [job.exit_status for job in jobs] == [0] * len(SERVICES), said

    pods = {name: cluster.start(one) for name, one in cluster.overlay.deployments.items()}
    await asyncio.gather(*(cluster.await_probe(name) for name in pods))
    environment = client_environment(cluster, SERVICES, tmp_path)
    await follow(Tally(image.command(["cli"]), tmp_path, environment))

    for pod in pods.values():
        pod.send(signal.SIGTERM)
    for name, pod in pods.items():
        grace = cluster.overlay.deployments[name].pod["terminationGracePeriodSeconds"]
        assert await asyncio.to_thread(pod.wait, grace), f"{name} would be killed"
        assert pod.exit_status == 0
        logs = [json.loads(line) for line in cluster.log(name).read_text().splitlines()]
        messages = [line["message"] for line in logs]
        assert "draining" in messages and messages[-1] == "stopped"
    assert tree_of(image.root / "opt") == before  # Its root could be read-only.


async def test_the_databases_are_set_up_as_for_the_embedded_stack(
    cluster: Cluster, tmp_path: Path
) -> None:
    reference = TestPostgres.start(tmp_path / "reference")
    try:
        await asyncio.to_thread(create_databases, reference.server)
        await asyncio.to_thread(cluster.start_postgres)
        assert await look(cluster.postgres) == await look(reference.server)
    finally:
        reference.stop()


async def look(postgres: Postgres) -> list[list[tuple[object, ...]]]:
    """Returns roles and rights of a cluster, as PostgreSQL tells them."""
    url = postgres.url("postgres", "{}").replace("+asyncpg", "")
    conn = await asyncpg.connect(url.format("postgres"))
    try:
        names = [*SERVICES, "postgres", "template1"]
        found = [await conn.fetch(ROLES), await conn.fetch(RIGHTS, names)]
    finally:
        await conn.close()
    for service in SERVICES:
        conn = await asyncpg.connect(url.format(service))
        try:
            found.append(await conn.fetch(INSIDE))
        finally:
            await conn.close()
    return [[tuple(row.values()) for row in rows] for rows in found]
