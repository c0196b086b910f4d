"""PostgreSQL as the launcher runs it: made once, and there again after anything."""

import asyncio
import os
import shutil
from pathlib import Path

import asyncpg
import pytest

from deploy.embedded import processes
from deploy.embedded.binaries import NOBODY, find_identity
from deploy.embedded.databases import connect
from deploy.embedded.postgres import Postgres, PostgresFailed
from deploy.embedded.processes import Identity
from tests.deploy.sockets import taken

# Root's own ways, where the tests run as root; else there is only one.
IDENTITIES = [find_identity(), NOBODY] if os.geteuid() == 0 else [find_identity()]


async def run(postgres: Postgres, statement: str) -> list[asyncpg.Record]:
    conn = await connect(postgres, "postgres")
    try:
        return list(await conn.fetch(statement))
    finally:
        await conn.close()


@pytest.mark.parametrize("identity", IDENTITIES, ids=str)
async def test_committed_rows_survive_a_kill_of_the_postmaster(
    tmp_path: Path, identity: Identity
) -> None:
    postgres = Postgres(tmp_path / "postgres", identity=identity)
    await asyncio.to_thread(postgres.start)
    try:
        await run(postgres, "CREATE TABLE kept (id int)")
        await run(postgres, "INSERT INTO kept VALUES (7)")
        port = postgres.port
        await asyncio.to_thread(postgres.kill)
        assert not postgres.alive
        await asyncio.to_thread(postgres.start)
        assert [row["id"] for row in await run(postgres, "SELECT id FROM kept")] == [7]
        assert postgres.port == port
    finally:
        await asyncio.to_thread(postgres.stop)
        shutil.rmtree(postgres.data.parent)  # Elsewhere, where another user runs PostgreSQL.


def test_a_kill_leaves_no_child_and_a_restart_no_other_port(tmp_path: Path) -> None:
    postgres = Postgres(tmp_path)
    postgres.start()
    port = postgres.port
    try:
        assert len(processes.find_working_in(postgres.data)) > 1
        postgres.kill()
        assert processes.find_working_in(postgres.data) == []
        with taken(port), pytest.raises(PostgresFailed, match="is taken"):
            postgres.start()
        postgres.start()
        assert postgres.port == port
    finally:
        postgres.stop()


async def test_a_postmaster_whose_launcher_died_is_taken_over(tmp_path: Path) -> None:
    forgotten = Postgres(tmp_path)
    await asyncio.to_thread(forgotten.start)
    await run(forgotten, "CREATE TABLE kept (id int)")
    again = Postgres(tmp_path)
    await asyncio.to_thread(again.start)
    try:
        assert not forgotten.alive
        assert await run(again, "SELECT id FROM kept") == []
        sockets = Path((again.data / "postmaster.pid").read_text().splitlines()[4])
        assert sockets.is_dir()
    finally:
        await asyncio.to_thread(again.stop)
    assert not sockets.exists()
    assert processes.find_working_in(again.data) == []


async def test_a_lock_that_names_another_process_is_cleared_and_the_process_spared(
    tmp_path: Path,
) -> None:
    postgres = Postgres(tmp_path)
    await asyncio.to_thread(postgres.start)
    await asyncio.to_thread(postgres.stop)
    bystander = processes.start(
        ["sleep", "60"], name="bystander", folder=tmp_path, log=tmp_path / "log"
    )
    try:
        lock = postgres.data / "postmaster.pid"
        lock.write_text(f"{bystander.pid}\n{postgres.data}\n1\n1\n/nowhere\n127.0.0.1\n1 1\n")
        await asyncio.to_thread(postgres.start)
        assert bystander.alive
        assert await run(postgres, "SELECT 1")
    finally:
        bystander.kill()
        await asyncio.to_thread(postgres.stop)


async def test_what_is_committed_is_on_disk(cluster: Postgres) -> None:
    shown = {}
    for setting in ("fsync", "synchronous_commit", "full_page_writes", "max_connections"):
        shown[setting] = (await run(cluster, f"SHOW {setting}"))[0][0]
    assert shown == {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "max_connections": "100",
    }


async def test_nobody_enters_without_a_password(cluster: Postgres) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(
            host="127.0.0.1", port=cluster.port, user="postgres", password="x", database="postgres"
        )


def test_passwords_are_for_their_owner_alone(cluster: Postgres) -> None:
    modes = {path.stat().st_mode & 0o777 for path in (cluster.folder / "passwords").iterdir()}
    assert modes == {0o600}
    assert cluster.role_password("rating_app") != cluster.role_password("rating_owner")


def test_what_postgres_says_when_it_cannot_start_is_in_the_error(tmp_path: Path) -> None:
    postgres = Postgres(tmp_path, settings={"max_connections": "many"})
    with pytest.raises(PostgresFailed, match='invalid value for parameter "max_connections"'):
        postgres.start()
    assert processes.find_working_in(postgres.data) == []


async def test_ctrl_c_in_the_terminal_does_not_reach_postgres(cluster: Postgres) -> None:
    assert cluster.process is not None
    assert os.getsid(cluster.process.pid) == cluster.process.pid != os.getsid(0)
