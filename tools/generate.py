"""Make libs/gen from proto/: messages, gRPC stubs, and the types of both.

    python tools/generate.py            bring libs/gen in step with proto/
    python tools/generate.py --check    fail, naming the files, if it is not

Files that would not change are left alone, so a running service or a watching editor is not
disturbed. No `__init__.py` is written: `tally` is a namespace, shared with other distributions.
"""

import argparse
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "proto"
GENERATED = ROOT / "libs" / "gen"


def main() -> int:
    """Return 0 when libs/gen is in step with proto/, 1 when --check found a difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compile_protos(Path(folder))
        fresh = read_tree(Path(folder))
    differing = sorted(differences(fresh, read_tree(GENERATED)))
    if not arguments.check:
        write_tree(fresh, differing)
        return 0
    for name in differing:
        print(f"libs/gen/{name} is not what proto/ makes: run `make proto`", file=sys.stderr)
    return 1 if differing else 0


def compile_protos(target: Path) -> None:
    """Run protoc over every file below proto/ into `target`."""
    sources = sorted(str(path.relative_to(SOURCES)) for path in SOURCES.rglob("*.proto"))
    if not sources:
        raise SystemExit("there is no .proto file below proto/")
    outputs = ["python", "grpc_python", "mypy", "mypy_grpc"]
    # protoc finds its mypy plugins by PATH; they stand beside the interpreter.
    path = {"PATH": f"{sysconfig.get_path('scripts')}:/usr/bin:/bin"}
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"--proto_path={SOURCES}",
            # google/rpc lies there, put by googleapis-common-protos
            f"--proto_path={sysconfig.get_path('purelib')}",
            *(
                f"--{output}_out={'quiet:' if 'mypy' in output else ''}{target}"
                for output in outputs
            ),
            *sources,
        ],
        check=True,
        cwd=SOURCES,
        env=path,
    )


def read_tree(folder: Path) -> dict[str, bytes]:
    """Return the generated files below `folder` by their path relative to it."""
    found = (path for ending in ("*.py", "*.pyi") for path in folder.rglob(ending))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def differences(fresh: dict[str, bytes], present: dict[str, bytes]) -> set[str]:
    """Return the paths that are missing, left over, or of other content in `present`."""
    return {name for name in fresh.keys() | present.keys() if fresh.get(name) != present.get(name)}


def write_tree(fresh: dict[str, bytes], differing: list[str]) -> None:
    """Write what `differing` names into libs/gen, and removes what proto/ no longer makes."""
    for name in differing:
        path = GENERATED / name
        if name not in fresh:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(fresh[name])
        print(f"libs/gen/{name}")


if __name__ == "__main__":
    sys.exit(main())
