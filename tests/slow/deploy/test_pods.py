"""The dev overlay runs: its databases, NATS, migrations and services, down to an invoice."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from cli.client import SuiteClient
from cli.running import public_scopes
from deploy.embedded.databases import SERVICES, create_databases
from deploy.embedded.keys import Keys
from deploy.embedded.postgres import Postgres
from tally.rating.v1.usage_service_pb2 import GetUsageRequest
from tests.scenario.builders import record, sell, subscribe, usage
from tests.servers import TestPostgres
from tests.slow.deploy.manifests import Overlay
from tests.slow.deploy.pods import SECONDS, Cluster, client_environment, tree_of
from tests.slow.deploy.recipe import Image
from tests.slow.deploy.tour import Tally, follow
from tests.wait import until

BATCHES, BATCH = 20, 50
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
def clusters(
    overlays: dict[str, Overlay], image: Image, open_folder: Path
) -> Iterator[Callable[[int], Cluster]]:
    """Makes a cluster that runs so many pods of each service."""
    made: list[Cluster] = []

    def make(replicas: int) -> Cluster:
        folder = Path(tempfile.mkdtemp(dir=open_folder))
        postgres = Postgres(folder / "postgres")
        made.append(Cluster(overlays["dev"], image, folder, postgres, replicas))
        made[0].prepare()
        return made[0]

    yield make
    for cluster in made:
        cluster.stop()


async def test_from_an_empty_volume_to_an_invoice_and_a_clean_end(
    clusters: Callable[[int], Cluster], image: Image, tmp_path: Path
) -> None:
    cluster = clusters(1)
    before = tree_of(image.root / "opt")
    pods = await cluster.start_all()
    environment = client_environment(cluster, SERVICES, tmp_path)
    await follow(Tally(image.command(["cli"]), tmp_path, environment))
    await asyncio.gather(*(cluster.end(pod) for pod in pods))
    assert tree_of(image.root / "opt") == before  # Its root could be read-only.


async def test_of_two_pods_of_each_service_one_may_be_lost_and_every_event_counts_once(
    clusters: Callable[[int], Cluster],
) -> None:
    cluster = clusters(2)
    pods = await cluster.start_all()
    keys = Keys(cluster.overlay.folder / "secrets" / "keys")
    token = keys.issue(tenant=1, scopes=public_scopes(), expires_in=timedelta(hours=1))
    addresses = {name: cluster.addresses[f"{name}:50051"] for name in SERVICES}
    async with SuiteClient(addresses, token=token) as client:
        now = datetime.now(UTC)
        await sell(client)
        await subscribe(client, "acme", now)
        for number in range(BATCHES):
            if number == BATCHES // 2:
                for service in SERVICES:
                    pods[f"{service}-0"].kill()
            batch = [usage("acme", now) for _ in range(BATCH)]
            first, second = await asyncio.gather(record(client, batch), record(client, batch))
            for verdicts in zip(first, second, strict=True):
                assert sorted(verdicts) in (["ACCEPTED", "DUPLICATE"], ["DUPLICATE", "DUPLICATE"])

        async def counted() -> bool:
            answer = await client.usage.GetUsage(GetUsageRequest(subscription_id="acme-pro"))
            return [fee.units for fee in answer.fees] == [str(BATCHES * BATCH)]

        await until(counted, seconds=SECONDS)
    await asyncio.gather(*(cluster.end(f"{service}-1") for service in SERVICES))


async def test_the_databases_are_set_up_as_for_the_embedded_stack(
    clusters: Callable[[int], Cluster], tmp_path: Path
) -> None:
    cluster = clusters(1)
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
