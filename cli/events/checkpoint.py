"""How far an import of a file has come, in a small file beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import msgspec

ENDING = ".tally-import"


class CannotResume(Exception):
    """What there is to go on with is not of the same import."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Of how many rows it is known what became of them, and what."""

    import_id: str
    rows: int
    counts: Mapping[str, int] = field(default_factory=dict)


def import_id(path: Path, *, tenant: str, how: object) -> str:
    """Return what tells an import from any other: the file as it is, whose, and how it is read."""
    stat = path.stat()
    said = repr((stat.st_size, stat.st_mtime_ns, tenant, how))
    return blake2b(said.encode(), digest_size=16).hexdigest()


def checkpoint_path(path: Path) -> Path:
    """Return where the checkpoint of a file is kept."""
    return path.with_name(path.name + ENDING)


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint: the old one stands until the new one is whole."""
    target = checkpoint_path(path)
    fresh = target.with_name(target.name + ".new")
    fresh.write_bytes(msgspec.json.encode(checkpoint))
    os.replace(fresh, target)


def load_checkpoint(path: Path, import_id: str) -> Checkpoint | None:
    """Return the checkpoint of an import; None if no import of the file was interrupted.

    Raises:
        CannotResume: it is of another import.
    """
    target = checkpoint_path(path)
    try:
        found = msgspec.json.decode(target.read_bytes(), type=Checkpoint)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError:
        raise CannotResume(f"{target} cannot be read; import without --resume") from None
    if found.import_id != import_id:
        raise CannotResume(
            f"{target} is of another import: the file, the tenant or an option has changed."
            " Import without --resume: what is stored already gives duplicates"
        )
    return found


def drop_checkpoint(path: Path) -> None:
    """Remove the checkpoint of a file that was read to its end."""
    checkpoint_path(path).unlink(missing_ok=True)
