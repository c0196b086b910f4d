"""The wheel, installed where there is no checkout, runs the whole suite."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded import leftovers
from deploy.embedded.databases import SERVICES
from tests.slow.deploy import programs
from tests.slow.deploy.recipe import Image
from tests.slow.deploy.tour import SECONDS, Tally, follow
from tests.tidy import tree
from tests.wait import until


@pytest.fixture
def tally(image: Image, tmp_path: Path) -> Iterator[Tally]:
    """The installed command in an empty folder, with nothing of ours in its environment."""
    environment = tmp_path / "environment"
    python = str(environment / "bin/python")
    programs.run("uv", "venv", "--quiet", "--python", programs.find("python"), str(environment))
    install = ["pip", "install", "--quiet", "--python", python, "--no-deps", "--compile-bytecode"]
    lock = str(tree.ROOT / "requirements.lock")
    programs.run("uv", *install, "--require-hashes", "--requirement", lock)
    (wheel,) = (image.root / "dist").glob("*.whl")
    programs.run("uv", *install, str(wheel))
    folder = tmp_path / "empty"
    folder.mkdir()
    path = f"{environment / 'bin'}:{os.environ['PATH']}"
    command = Tally([str(environment / "bin/tally")], folder, {"PATH": path})
    yield command
    leftovers.stop_all(folder / ".tally")


async def test_tally_up_serves_in_an_empty_folder_bills_and_drains(
    tally: Tally, tmp_path: Path
) -> None:
    log = tmp_path / "up.log"
    with log.open("wb") as output:
        suite = subprocess.Popen(
            [*tally.command, "up", "--test-clock"],
            cwd=tally.folder,
            env=tally.environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        await until(lambda: "ready;" in log.read_text(), seconds=SECONDS, describe=log.read_text)
        assert [path.name for path in tally.folder.iterdir()] == [".tally"]
        status = json.loads(await tally("status", "--json"))
        assert status["running"] and status["test_clock"]
        assert {part["health"] for part in status["parts"]} == {"serving"}
        await follow(tally)
        suite.send_signal(signal.SIGTERM)
        assert suite.wait(SECONDS) == 0, log.read_text()
    finally:
        suite.kill()
    for service in SERVICES:
        lines = (tally.folder / ".tally/logs" / f"{service}.jsonl").read_text().splitlines()
        messages = [json.loads(line)["message"] for line in lines]
        assert "draining" in messages and messages[-1] == "stopped"
    assert leftovers.running_pids(tally.folder / ".tally") == set()
