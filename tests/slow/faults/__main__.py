"""`python -m tests.slow.faults`: faults of disks, where file systems of our own may be mounted."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# Mounts are seen by us alone, and gone with us. Root needs no namespace of users for that.
ALONE = ("unshare", "--mount")
MAPPED = (*ALONE, "--user", "--map-current-user", "--keep-caps")


def main(words: Sequence[str]) -> None:
    """Become pytest for the tests beside us."""
    pytest = (sys.executable, "-m", "pytest", "-q", "tests/slow/faults", *words)
    command = (*(ALONE if os.geteuid() == 0 else MAPPED), *pytest)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
