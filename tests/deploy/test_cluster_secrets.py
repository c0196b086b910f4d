"""The secrets of the dev overlay fit the servers that read them."""

import os
import subprocess
from pathlib import Path

import pytest

from deploy.embedded import binaries
from tests.tidy import tree
from tools.cluster_secrets import write_server_secrets

CONFIG = tree.ROOT / "deploy/kustomize/overlays/dev/nats.conf"


@pytest.mark.parametrize("password", ["-r1", "7e1x", "12", "true", "plain"])
def test_nats_takes_any_password_for_a_text(tmp_path: Path, password: str) -> None:
    (tmp_path / "passwords").mkdir()
    (tmp_path / "passwords" / "nats").write_text(password)
    write_server_secrets(tmp_path)
    name, _, value = (tmp_path / "nats-server.env").read_text().strip().partition("=")
    checked = subprocess.run(
        [binaries.find_nats(), "--config", CONFIG, "-t"],
        env={**os.environ, name: value},
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr
