"""Rules about any text: code, documents, locks. Each gives findings as `line: what`."""

import re
from collections.abc import Callable, Iterator

LINES_MAX = 400
CHANGE_CHARACTERS_MAX = 200

# Spelled so that this file does not find itself.
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:root|work|home|Users)/\w|\b[C-Z]:\\\w")
INDEX_HOST = re.compile(
    r"pypi\.(?:org|python)|python[h]osted|registry\.(?:npmjs|yarnpkg)|[p]roxy\.golang|"
    r"(?<![\w-])--(?:extra-)?index-url\b|(?<![\w-])--find[-]links\b|[a]rtifactory|[n]exus/",
    re.IGNORECASE,
)
LEFT_TO_DO = re.compile(r"\b(?:TOD[O]|FIXM[E]|XX[X]|HAC[K])\b")
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
REQUIREMENT = re.compile(r"[a-z0-9][a-z0-9._-]*==[^\s;]+(?: ; [^\\]+)?")
RECORD_TITLE = re.compile(r"# (\d{4}) \S.*")
RECORD_PARTS = ["## Context", "## Decision", "## Consequences"]
RECORD_STATUS = re.compile(r"Status: (?:accepted|superseded by \d{4})")
RELEASE = re.compile(r"## (?:Unreleased|\d+\.\d+\.\d+ \(\d{4}-\d{2}-\d{2}\))")


def find_machine_paths(text: str) -> list[str]:
    """Find paths that exist on one machine only."""
    return each_line(text, MACHINE_PATH, "names a path of one machine")


def find_index_hosts(text: str) -> list[str]:
    """Find where packages come from: that is set up on the machine, not in the project."""
    return each_line(text, INDEX_HOST, "names a package index")


def find_left_to_do(text: str) -> list[str]:
    """Find notes about what somebody should do one day."""
    return each_line(text, LEFT_TO_DO, "is left to do: do it, or open an issue")


def find_length(text: str) -> list[str]:
    """Find a file that is too long to be about one thing."""
    count = len(text.splitlines())
    return [f"{count}: more than {LINES_MAX} lines"] if count > LINES_MAX else []


def find_lock_faults(text: str) -> list[str]:
    """Find what is not a pinned package with its hashes."""
    findings = []
    for line, block in blocks(text):
        head, *hashes = [part.strip() for part in block.split("\\\n")]
        if not REQUIREMENT.fullmatch(head):
            findings.append(f"{line}: {head[:60]!r} is not a pinned package")
        elif not hashes:
            findings.append(f"{line}: {head} has no hash")
        elif not all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", item) for item in hashes):
            findings.append(f"{line}: {head} has something else than hashes")
    return findings


def locked(text: str) -> dict[str, str]:
    """Return the versions that a lock names, by package and marker."""
    heads = (block.split("\\\n")[0].strip() for _, block in blocks(text))
    pinned = (re.fullmatch(r"([^=]+)==([^\s;]+)(.*)", head) for head in heads)
    return {match[1] + match[3].rstrip(): match[2] for match in pinned if match}


def find_record_faults(text: str) -> list[str]:
    """Find what a decision record lacks: title, status, and three parts in order."""
    lines = text.splitlines()
    findings = []
    if not lines or not RECORD_TITLE.fullmatch(lines[0]):
        findings.append("1: does not begin with '# NNNN Title'")
    if not any(RECORD_STATUS.fullmatch(line) for line in lines):
        findings.append("3: has no 'Status: accepted' or 'Status: superseded by NNNN'")
    parts = [line for line in lines if line.startswith("## ")]
    if parts != RECORD_PARTS:
        findings.append(f"1: has the parts {parts}, not {RECORD_PARTS}")
    if len(lines) > 50:
        findings.append(f"{len(lines)}: is longer than a screen")
    return findings


def find_changelog_faults(text: str) -> list[str]:
    """Find what is not a release or one line for one change."""
    findings = []
    for number, line in enumerate(text.splitlines(), start=1):
        release = RELEASE.fullmatch(line) is not None
        change = line.startswith("- ") and line.endswith(".")
        if number > 3 and line and not (release or change):
            findings.append(f"{number}: is neither a release nor '- ' and one sentence")
        if len(line) > CHANGE_CHARACTERS_MAX:
            findings.append(f"{number}: a change is one line")
    if not text.startswith("# Changelog\n"):
        findings.append("1: does not begin with '# Changelog'")
    return findings


def find_dead_links(text: str, exists: Callable[[str, str], bool]) -> list[str]:
    """Find links within the project that lead nowhere.

    `exists(path, anchor)` tells whether a relative path is there and has that heading; the
    path is empty for the document itself, the anchor where the link has none.
    """
    findings = []
    for number, line in enumerate(without_fences(text), start=1):
        for target in LINK.findall(line):
            path, _, anchor = target.partition("#")
            if not re.match(r"[a-z]+:", target) and not exists(path, anchor):
                findings.append(f"{number}: {target} leads nowhere")
    return findings


def anchors(text: str) -> set[str]:
    """Return the anchors of a document's headings, as they are made for the web."""
    headings = (line.lstrip("#") for line in without_fences(text) if line.startswith("#"))
    plain = (re.sub(r"[^\w\- ]", "", heading.strip().lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def without_fences(text: str) -> Iterator[str]:
    """Give every line; those of code blocks as empty ones."""
    fenced = False
    for line in text.splitlines():
        fence = line.lstrip().startswith("```")
        fenced = fenced != fence
        yield "" if fenced or fence else line


def blocks(text: str) -> Iterator[tuple[int, str]]:
    """Give each logical line of a lock, continuations included, with its number."""
    block, start = "", 1
    for number, line in enumerate(text.splitlines(), start=1):
        if not block:
            start = number
        block += line + "\n"
        if not line.endswith("\\"):
            if block.strip() and not block.startswith("#"):
                yield start, block
            block = ""


def each_line(text: str, pattern: re.Pattern[str], fault: str) -> list[str]:
    """Return a finding for each line in which `pattern` occurs."""
    lines = enumerate(text.splitlines(), start=1)
    found = ((number, pattern.search(line)) for number, line in lines)
    return [f"{number}: {match[0]!r} {fault}" for number, match in found if match]
