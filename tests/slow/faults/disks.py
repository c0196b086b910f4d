"""Disks of our own, full whenever a test wants."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024
ATTEMPTS = 50


@dataclass(frozen=True, slots=True)
class Disk:
    """A mounted file system."""

    folder: Path
    mebibytes: int

    def fill(self) -> None:
        """Leave a MiB beside what is used already: whoever goes on writing finds the end of it."""
        for _ in range(ATTEMPTS):
            found = os.statvfs(self.folder)
            used = (found.f_blocks - found.f_bfree) * found.f_frsize
            if self._resize(used + MIB):
                return
        raise AssertionError("more was written each time than would have been left")

    def empty(self) -> None:
        """Give the space back."""
        assert self._resize(self.mebibytes * MIB)

    def _resize(self, size: int) -> bool:
        """Change the size; False if more is used by now."""
        command = ("mount", "-o", f"remount,size={size}", self.folder)
        return subprocess.run(command, capture_output=True).returncode == 0


@contextmanager
def small_disk(mebibytes: int) -> Iterator[Disk]:
    """Mount a disk of this size; run under `make test-faults`, or as root."""
    # Not in pytest's folder: the user that PostgreSQL runs as may not come there.
    folder = Path(tempfile.mkdtemp(prefix="tally-disk-", dir="/var/tmp"))
    try:
        options = f"size={mebibytes}m,mode=0755,uid={os.geteuid()},gid={os.getegid()}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
        try:
            folder.chmod(0o755)
            yield Disk(folder, mebibytes)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
