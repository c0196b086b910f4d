"""Read by every Python that starts in a copy: whatever is ours must come from that copy.

The interpreter's own environment knows the checkout too. Without this, a process that looked
there first would test code without the fault, and the fault would seem to survive.
"""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

COPY = Path(os.environ["TALLY_COPY"])
OWN = {"cli", "demo", "deploy", "libs", "services", "tally", "tests", "tools"}


class Guard:
    """Stands before all finders, finds nothing itself, and raises for a module from elsewhere."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> None:
        if name.partition(".")[0] not in OWN:
            return
        spec: ModuleSpec | None = PathFinder.find_spec(name, path, target)
        if spec is None or spec.origin is None:
            return
        if not Path(spec.origin).is_relative_to(COPY):
            raise ImportError(f"{name} comes from {spec.origin}, which is not the copy in {COPY}")
        if name.endswith(".__main__"):
            (COPY / "started").mkdir(exist_ok=True)
            (COPY / "started" / name).touch()


sys.meta_path.insert(0, Guard)
