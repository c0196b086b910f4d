"""The built packages, installed where nothing else is."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
BUILT = ROOT / "build" / "sdk"


def built(pattern: str) -> Path:
    """Return the one package that `make sdk` left."""
    found = sorted(BUILT.glob(pattern))
    assert len(found) == 1, f"`make sdk` left {found} of {pattern} in {BUILT}"
    return found[0]


def run(command: Sequence[str | Path], folder: Path, **env: str) -> str:
    """Run a command to its end and return what it said; it must not fail."""
    words = [str(word) for word in command]
    ran = subprocess.run(
        words, cwd=folder, env={**os.environ, **env}, capture_output=True, text=True, timeout=240
    )
    assert ran.returncode == 0, f"{' '.join(words)}\n{ran.stdout}{ran.stderr}"
    return ran.stdout


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment that has the wheel and what it needs, no more."""
    folder = tmp_path_factory.mktemp("python")
    uv = Path(sys.executable).with_name("uv")
    run([uv, "venv", "--quiet", "--python", sys.executable, "venv"], folder)
    interpreter = folder / "venv" / "bin" / "python"
    constraint = ["--constraint", str(ROOT / "requirements.lock")]
    into = ["--quiet", "--python", str(interpreter)]
    run([uv, "pip", "install", *into, *constraint, built("python/*.whl")], folder)
    return interpreter


@pytest.fixture(scope="session")
def client_module() -> Iterator[Callable[[str], Any]]:
    """Imports a module of the wheel into this interpreter: `client_module("producing")`."""
    wheel = str(built("python/*.whl"))
    sys.path.insert(0, wheel)
    yield lambda name: importlib.import_module(f"tally_client.{name}".removesuffix("."))
    sys.path.remove(wheel)


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh folder in which npm installed the tarball and what it needs, no more."""
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    tarball = built("typescript/*.tgz")
    run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", tarball], folder)
    return folder
