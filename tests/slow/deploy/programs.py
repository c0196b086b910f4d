"""The programs that check what is deployed: those of the project's environment."""

import subprocess
import sys
from pathlib import Path

import pytest


def find(name: str) -> str:
    """Returns the path of a program beside our Python; fails by its name if it is not there."""
    path = Path(sys.executable).with_name(name)
    if not path.is_file():
        pytest.fail(f"{name} is not installed beside {sys.executable}: run `make setup`")
    return str(path)


def run(name: str, *arguments: str, cwd: Path | None = None) -> str:
    """Returns what a program printed; fails with what it complained of."""
    done = subprocess.run([find(name), *arguments], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"{name} {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
    return done.stdout
