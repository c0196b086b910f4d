"""Follows deploy/Dockerfile without Docker: the same steps, in a folder instead of an image.

Absolute paths of the recipe are taken as below that folder, and pip's work is done by uv, which
keeps what it has fetched before.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from tests.slow.deploy import programs
from tests.tidy import tree

DOCKERFILE = tree.ROOT / "deploy/Dockerfile"
IGNORE = tree.ROOT / ".dockerignore"
ROOTS = re.compile(r"(?<![\w./])/(?=(?:opt|src|dist)\b)")


@dataclass(frozen=True)
class Instruction:
    """RUN, COPY … and what it is told."""

    keyword: str
    text: str


@dataclass(frozen=True)
class Image:
    """An image: where its root is, and what it starts with."""

    root: Path
    environment: dict[str, str]
    entrypoint: list[str]
    user: str

    def command(self, arguments: Iterable[str]) -> list[str]:
        """Returns the command line of a container with these arguments."""
        program, *rest = self.entrypoint
        return [str(self.root / "opt/tally/bin" / program), *rest, *arguments]


def parse(text: str) -> list[list[Instruction]]:
    """Returns the instructions of each stage; a stage begins with FROM."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    stages: list[list[Instruction]] = []
    for line in whole.splitlines():
        keyword, _, rest = line.partition(" ")
        if keyword == "FROM":
            stages.append([])
        stages[-1].append(Instruction(keyword, " ".join(rest.split())))
    return stages


def context_files() -> list[str]:
    """Returns the files that Docker would be sent: those of the project, less .dockerignore."""
    patterns = [line for line in IGNORE.read_text().splitlines() if line and line[0] != "#"]
    return [name for name in tree.names() if not is_ignored(name, patterns)]


def is_ignored(name: str, patterns: Iterable[str]) -> bool:
    """Tells whether .dockerignore leaves the file out: the last pattern that fits decides."""
    path = PurePosixPath(name)
    ways = [str(path), *(str(parent) for parent in path.parents if str(parent) != ".")]
    ignored = False
    for pattern in patterns:
        plain = pattern.removeprefix("!")
        if plain.startswith("**/"):
            fits = plain.removeprefix("**/") in path.parts
        else:
            fits = any(fnmatchcase(way, plain) for way in ways)
        if fits:
            ignored = not pattern.startswith("!")
    return ignored


def build(root: Path) -> Image:
    """Follows the build stage below `root`; fails with what a step printed."""
    building, final = parse(DOCKERFILE.read_text())
    context = context_files()
    environment = {**os.environ, "PATH": f"{write_shims(root / 'shims')}:{os.environ['PATH']}"}
    folder = root
    for step in building:
        match step.keyword:
            case "ENV":
                environment |= variables(step.text)
            case "WORKDIR":
                folder = root / step.text.lstrip("/")
                folder.mkdir(parents=True)
            case "COPY":
                copy(step.text, context, folder)
            case "RUN":
                run(ROOTS.sub(f"{root}/", step.text), folder, environment)
            case "FROM":
                pass
            case other:
                raise AssertionError(f"the recipe's {other} is not known here")
    told = {step.keyword: step.text for step in final}
    assert told["COPY"] == "--from=build /opt/tally /opt/tally"
    own = {name: ROOTS.sub(f"{root}/", value) for name, value in variables(told["ENV"]).items()}
    return Image(
        root, own, shlex.split(told["ENTRYPOINT"].strip("[]").replace(",", " ")), told["USER"]
    )


def variables(text: str) -> dict[str, str]:
    """Returns what ENV sets."""
    return dict(pair.split("=", 1) for pair in shlex.split(text))


def copy(text: str, context: Iterable[str], folder: Path) -> None:
    """Copies files of the context: `COPY a b ./` or `COPY a ./a`."""
    *sources, target = text.split()
    for source in sources:
        files = [one for one in context if one == source or one.startswith(f"{source}/")]
        assert files, f"COPY {text}: .dockerignore leaves nothing of {source}"
        for name in files:
            inner = name if target.endswith("/") else name.removeprefix(source).lstrip("/")
            path = folder / target / inner
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(tree.ROOT / name, path)


def run(command: str, folder: Path, environment: Mapping[str, str]) -> None:
    """Runs a step in a shell, as Docker does."""
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"RUN {command}\n{done.stdout}{done.stderr}"


def write_shims(folder: Path) -> Path:
    """Makes `python`, the one that ours is made of, and `pip`, by uv."""
    folder.mkdir(parents=True)
    base = getattr(sys, "_base_executable", sys.executable)
    by_uv = Path(__file__).with_name("pip_by_uv.py")
    for name, command in {
        "python": shlex.quote(base),
        "pip": f"{shlex.quote(base)} {shlex.quote(str(by_uv))} {shlex.quote(programs.find('uv'))}",
    }.items():
        (folder / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (folder / name).chmod(0o755)
    return folder
