"""The four services have one shape, and the Makefile says what it can do."""

import re
import subprocess

import pytest

from tests.tidy import tree

SERVICES = ["ingest", "rating", "invoicing", "wallet"]
FILES = ["__init__.py", "__main__.py", "app.py", "settings.py", "README.md", "store/schema.py"]
FOLDERS = ["api", "domain", "store/migrations"]
README_LINES_MAX = 60


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_the_shape_of_all(service: str) -> None:
    home = tree.ROOT / "services" / service
    missing = [name for name in FILES if not (home / name).is_file()]
    missing += [name for name in FOLDERS if not (home / name).is_dir()]
    if not (home / "operations.py").is_file() and not (home / "operations").is_dir():
        missing.append("operations")
    tree.check_none([f"services/{service} has no {name}" for name in missing])


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_described_on_one_screen(service: str) -> None:
    text = (tree.ROOT / "services" / service / "README.md").read_text()
    assert len(text.splitlines()) <= README_LINES_MAX


def test_no_package_hides_the_generated_one() -> None:
    """`tally` is a namespace, which a module or a package of that name would end."""
    files = [re.sub(r"^libs/gen/", "", name) for name in tree.names()]
    assert not [name for name in files if name in {"tally.py", "tally/__init__.py"}]
    assert not [name for name in files if re.fullmatch(r"tally/(\w+/)*__init__\.py", name)]


def test_make_alone_lists_every_target_with_its_help() -> None:
    makefile = (tree.ROOT / "Makefile").read_text()
    listed = subprocess.run(["make"], cwd=tree.ROOT, check=True, capture_output=True, text=True)
    targets = re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)
    helped = re.findall(r"^  make ([a-z-]+) +\S", listed.stdout, re.MULTILINE)
    assert set(targets) - set(helped) == {"runtime"}  # A part of others, not for people.
