"""`tally up`, as somebody uses it: it comes up, mends itself, survives kills, stops cleanly."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded import leftovers
from deploy.embedded.databases import SERVICES
from deploy.embedded.environment import python_environment
from deploy.embedded.record import Record, find_holder, find_record
from deploy.embedded.status import PartStatus, StackStatus, find_status
from tests.wait import until

SERVERS = ("postgres", "nats")
SECONDS = 180.0  # Four services start at once, on a machine that may be busy.


class Command:
    """`tally` in a data folder, as processes of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.output = home.parent / "up.log"
        env = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
        self.env = {**python_environment(env), "TALLY_HOME": str(home)}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cli", *words]
        return subprocess.run(command, env=self.env, capture_output=True, text=True)

    def up(self) -> "subprocess.Popen[bytes]":
        with self.output.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "cli", "up", "--test-clock"],
                env=self.env,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    async def ready(self, process: "subprocess.Popen[bytes]") -> Record:
        def is_ready() -> Record | None:
            assert process.poll() is None, self.output.read_text()
            found = find_record(self.home)
            mine = found is not None and found.ready and found.supervisor_pid == process.pid
            return found if mine else None

        record = await until(is_ready, seconds=SECONDS, describe=self.output.read_text)
        assert record is not None
        return record

    def record(self) -> Record:
        found = find_record(self.home)
        assert found is not None
        return found

    def status(self) -> StackStatus:
        found = find_status(self.home)
        assert found is not None
        return found

    def part(self, name: str) -> PartStatus:
        return next(part for part in self.status().parts if part.name == name)


@pytest.fixture
def tally(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path / "home")
    yield command
    if (holder := find_holder(command.home)) is not None:
        os.kill(holder, signal.SIGKILL)
    leftovers.stop_all(command.home)


async def test_a_suite_mends_what_is_killed_is_taken_over_and_stops_cleanly(
    tally: Command,
) -> None:
    started = tally.run("up", "--detach")
    assert started.returncode == 0, started.stderr + started.stdout
    status = json.loads(tally.run("status", "--json").stdout)
    assert status["running"] and not status["test_clock"]
    assert [part["name"] for part in status["parts"]] == [*SERVERS, *SERVICES]
    before = tally.record()
    again = tally.run("up")
    assert again.returncode == 1
    assert "already runs" in again.stderr
    assert tally.status().running
    assert tally.record() == before
    for secret in ("stack.json", "keys/signing-key.pem", "logs/rating.jsonl"):
        assert (tally.home / secret).stat().st_mode & 0o777 == 0o600
    assert (tally.home / "traces").stat().st_mode & 0o777 == 0o700
    assert "://" not in (tally.home / "stack.json").read_text()

    for name in ("wallet", *SERVERS):
        pid = before.parts[name].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    assert tally.run("status").returncode == 1
    await until(lambda: tally.status().running, seconds=SECONDS, describe=tally.status)
    mended = leftovers.running_pids(tally.home)
    assert tally.part("ingest").pid == before.parts["ingest"].pid
    assert tally.part("wallet").pid != before.parts["wallet"].pid
    assert tally.part("wallet").address == before.parts["wallet"].address
    log = (tally.home / "logs" / "up.log").read_text()
    assert "wallet was killed by SIGKILL; it starts again in 0.5 s" in log

    os.kill(before.supervisor_pid, signal.SIGKILL)
    await until(lambda: tally.status().supervisor_pid is None)
    second = tally.up()
    after = await tally.ready(second)
    assert after.addresses == before.addresses
    assert after.test_clock
    assert "stopped ingest, left over from a crash" in tally.output.read_text()
    assert not leftovers.running_pids(tally.home) & mended

    second.send_signal(signal.SIGINT)
    assert second.wait(SECONDS) == 0, tally.output.read_text()
    assert leftovers.running_pids(tally.home) == set()
    assert find_record(tally.home) is None


def test_down_asks_whoever_keeps_the_suite_to_stop(tally: Command) -> None:
    keeper = (
        "import signal, sys; from pathlib import Path; from deploy.embedded.record import Lock;"
        "Lock(Path(sys.argv[1])).take(); print('taken', flush=True); signal.pause()"
    )
    command = [sys.executable, "-c", keeper, str(tally.home)]
    process = subprocess.Popen(command, env=tally.env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "taken\n"
    stopped = tally.run("down")
    assert (stopped.returncode, stopped.stdout) == (0, f"The suite in {tally.home} is stopped.\n")
    assert process.wait(SECONDS) == -signal.SIGTERM
