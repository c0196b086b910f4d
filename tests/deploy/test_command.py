"""`tally token`, `status`, `down` and `migrate`, where no suite runs."""

import asyncio
import json
import os
from pathlib import Path

import asyncpg
import jwt
import pytest
from click.testing import CliRunner, Result

from cli.__main__ import main
from cli.stack import uptime_text
from deploy.embedded import processes
from deploy.embedded.databases import create_databases, drop_databases
from deploy.embedded.postgres import Postgres
from deploy.embedded.record import AlreadyRunning, Lock, find_holder, keys_of


def tally(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, words, env={"TALLY_HOME": str(folder)}, prog_name="tally")


def test_a_token_is_printed_alone_and_accepted(tmp_path: Path) -> None:
    keys = keys_of(tmp_path)
    keys.ensure()
    scopes = "events:write,usage:read"
    answer = tally(tmp_path, "token", "issue", "--tenant", "7", "--scopes", scopes)
    assert answer.exit_code == 0
    (token,) = answer.stdout.split()
    assert answer.stdout == token + "\n"
    key = jwt.PyJWKSet.from_json(keys.token_keys.read_text())[
        jwt.get_unverified_header(token)["kid"]
    ]
    claims = jwt.decode(token, key, algorithms=["EdDSA"], audience="tally")
    assert (claims["tenant"], claims["scopes"]) == (7, ["events:write", "usage:read"])
    assert claims["exp"] - claims["iat"] == 3600


@pytest.mark.parametrize(
    "words,message",
    [
        (["--tenant", "0", "--scopes", "events:write"], "0 is not in the range"),
        (["--tenant", "1", "--scopes", "events:fly"], "unknown: events:fly; there are: events:"),
        (["--tenant", "1", "--scopes", ","], "name some of"),
        (
            ["--tenant", "1", "--scopes", "events:write", "--expires-in", "soon"],
            "'soon' is no time",
        ),
        (["--tenant", "1", "--scopes", "events:write", "--expires-in", "0s"], "'0s' is no time"),
        (["--tenant", "1"], "Missing option '--scopes'"),
    ],
)
def test_a_wrong_option_is_explained_and_nothing_is_printed(
    tmp_path: Path, words: list[str], message: str
) -> None:
    keys_of(tmp_path).ensure()
    answer = tally(tmp_path, "token", "issue", *words)
    assert answer.exit_code == 2
    assert answer.stdout == ""
    assert message in answer.stderr


def test_a_token_without_a_key_says_what_to_do(tmp_path: Path) -> None:
    answer = tally(tmp_path, "token", "issue", "--tenant", "1", "--scopes", "events:write")
    assert answer.exit_code == 1
    assert "run `tally up` once" in answer.stderr


def test_keys_are_made_once_and_the_private_ones_are_for_their_owner(tmp_path: Path) -> None:
    keys = keys_of(tmp_path)
    keys.ensure()
    before = keys.signing_key.read_bytes(), keys.token_keys.read_bytes()
    keys.ensure()
    assert (keys.signing_key.read_bytes(), keys.token_keys.read_bytes()) == before
    for path in (keys.signing_key, keys.internal_token):
        assert path.stat().st_mode & 0o777 == 0o600
    assert "d" not in json.loads(before[1])["keys"][0]


def test_status_and_down_are_friendly_where_nothing_runs(tmp_path: Path) -> None:
    answer = tally(tmp_path, "status")
    assert answer.exit_code == 1
    assert "Start it with `tally up`" in answer.stderr
    answer = tally(tmp_path, "status", "--json")
    assert answer.exit_code == 1
    assert json.loads(answer.stdout)["parts"] == []
    answer = tally(tmp_path, "down")
    assert (answer.exit_code, answer.stdout) == (0, f"Nothing runs from {tmp_path}.\n")


def test_down_stops_what_a_crash_left_and_nothing_else(tmp_path: Path) -> None:
    def sleeper(folder: Path) -> processes.Process:
        return processes.start(["sleep", "60"], name="rating", folder=folder, log=tmp_path / "log")

    ours, other = sleeper(tmp_path), sleeper(tmp_path / "elsewhere")
    try:
        answer = tally(tmp_path, "down")
        assert "Stopped what a crash left" in answer.stdout and "rating" in answer.stdout
        assert not ours.alive
        assert other.alive
    finally:
        other.kill()


def test_only_one_stack_runs_from_a_folder(tmp_path: Path) -> None:
    first, second = Lock(tmp_path), Lock(tmp_path)
    assert find_holder(tmp_path) is None
    first.take()
    assert find_holder(tmp_path) == os.getpid()
    with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"):
        second.take()
    answer = tally(tmp_path, "migrate", "ingest")
    assert (answer.exit_code, "Stop it first" in answer.stderr) == (1, True)
    first.release()
    second.take()
    second.release()


def test_a_database_of_ones_own_is_named_for_all_its_roles(tmp_path: Path) -> None:
    env = {"TALLY_HOME": str(tmp_path), "RATING_DATABASE_URL": "postgresql+asyncpg://x/y"}
    answer = CliRunner().invoke(main, ["migrate", "rating"], env=env)
    assert answer.exit_code == 1
    assert "RATING_WORKER_DATABASE_URL, RATING_OWNER_DATABASE_URL" in answer.stderr


async def test_a_database_of_ones_own_is_migrated_by_its_owner_and_nothing_is_made_here(
    tmp_path: Path, cluster: Postgres
) -> None:
    await asyncio.to_thread(create_databases, cluster, suite="own", services=["wallet"])
    try:
        owner, app = (cluster.url(f"wallet_{role}", "wallet_own") for role in ("owner", "app"))
        env = {"TALLY_HOME": str(tmp_path / "home"), "WALLET_OWNER_DATABASE_URL": owner}
        answer = CliRunner().invoke(main, ["migrate", "wallet"], env=env)
        assert (answer.exit_code, answer.stdout) == (0, "Migrated: wallet.\n")
        conn = await asyncpg.connect(app.replace("+asyncpg", ""))
        try:
            assert await conn.fetchval("SELECT count(*) FROM alembic_version") == 1
        finally:
            await conn.close()
        assert not (tmp_path / "home").exists()
    finally:
        await asyncio.to_thread(drop_databases, cluster, suite="own")


def test_uptime_reads_like_a_clock() -> None:
    assert [uptime_text(seconds) for seconds in (None, 7, 3 * 86400 + 14706)] == [
        "–",
        "0:00:07",
        "3 d 4:05:06",
    ]
