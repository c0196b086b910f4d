"""What documents tell their reader to type."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
OWN_CODE = "## From your own code"
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def read_blocks(document: Path, language: str = "") -> list[str]:
    """Return the code blocks of a document that are of a language."""
    return _blocks(document.read_text(encoding="utf-8"), language)


def blocks(section: str, language: str = "") -> list[str]:
    """Return the code blocks of a section of the README, named by its heading."""
    text = README.read_text(encoding="utf-8").split(f"{section}\n")[1].split("\n## ")[0]
    return _blocks(text, language)


def commands(section: str, program: str) -> list[str]:
    """Return the lines of a section of the README that run `program`."""
    lines = [line.strip() for block in blocks(section) for line in block.splitlines()]
    return [line for line in lines if line.startswith(f"{program} ")]


def _blocks(text: str, language: str) -> list[str]:
    return [code for tag, code in BLOCK.findall(text) if tag == language]
