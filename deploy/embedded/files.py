"""Files of a data folder: secrets that only their owner reads, and files replaced whole."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_whole(path: Path, content: str, *, mode: int = 0o600) -> None:
    """Replace `path` so that a reader, or a crash, meets the old content or the new, never less."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def read_secret(path: Path) -> str:
    """Return the secret in `path`; a random one is made at first use."""
    if not path.exists():
        write_whole(path, secrets.token_urlsafe(24))
    return path.read_text().strip()


def tail(path: Path, *, start: int = 0, lines: int = 15) -> str:
    """Return the last lines of a log from byte `start` on, or a sentence that there are none."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            last = file.read().decode(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        last = []
    return "\n".join(last) or "(it wrote nothing)"


def size(path: Path) -> int:
    """Return the size of a file in bytes, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0
