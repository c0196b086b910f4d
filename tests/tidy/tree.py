"""The files of the project: what is committed, and what is about to be."""

import subprocess
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent.parent
GENERATED = "libs/gen/"

Rule = Callable[[str], list[str]]


@cache
def names() -> tuple[str, ...]:
    """Return the paths of all files but ignored ones, relative to the root, sorted."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    found = {name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()}
    return tuple(sorted(found))


def matching(*patterns: str) -> Iterator[str]:
    """Give the written (not generated) files that match one of `patterns`, `**` included."""
    for name in names():
        if not name.startswith(GENERATED) and any(fits(name, pattern) for pattern in patterns):
            yield name


def fits(name: str, pattern: str) -> bool:
    """Tell whether the path matches; a pattern that ends in `/**` takes all below a folder.

    `services/*/domain/**` takes services/rating/domain/tiers/graduated.py.
    """
    if not pattern.endswith("/**"):
        return PurePosixPath("/" + name).match(pattern)
    parts = PurePosixPath(name).parts
    folder = PurePosixPath(pattern[: -len("/**")])
    head = PurePosixPath(*parts[: len(folder.parts)])
    return len(parts) > len(folder.parts) and head.match(str(folder))


def read(name: str) -> str | None:
    """Return the file's text; None for a binary file."""
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def judge(rule: Rule, files: Iterable[str]) -> list[str]:
    """Return what `rule` finds in `files`, as `path:finding`."""
    findings = []
    for name in files:
        text = read(name)
        if text is not None:
            findings += [f"{name}:{finding}" for finding in rule(text)]
    return findings


def check(rule: Rule, files: Iterable[str]) -> None:
    """Fail with everything that `rule` finds in `files`."""
    check_none(judge(rule, files))


def check_none(findings: list[str]) -> None:
    """Fail with each of `findings` on a line of its own."""
    assert not findings, "\n" + "\n".join(findings)
