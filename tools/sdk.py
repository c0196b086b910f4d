"""Build the Python and TypeScript clients into build/sdk.

python tools/sdk.py

build/sdk/python gets a wheel and an sdist, build/sdk/typescript an npm tarball. What is written by
hand lies in sdk/; what is generated is made anew from proto/ and committed nowhere.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tools.sdk_contract import ROOT, Contract, read_contract
from tools.sdk_python import write_python
from tools.sdk_typescript import write_typescript

SDK = ROOT / "sdk"
BUILT = ROOT / "build" / "sdk"
WORK = BUILT / "work"
SERVICE_CONFIG = ROOT / "deploy" / "client" / "service_config.json"
NODE_MIN = 20


def main() -> int:
    """Build both packages; what was built before is replaced."""
    npm = find_npm()
    check_versions()
    contract = read_contract()
    config = SERVICE_CONFIG.read_text()
    built = [build_python(contract, config), build_typescript(contract, config, npm)]
    for service in contract.services:
        for name, why in service.left_out.items():
            print(f"left out of the clients: {service.full_name}/{name} ({why})")
    for file in sorted(file for folder in built for file in folder.iterdir()):
        print(file.relative_to(ROOT))
    return 0


def find_npm() -> str:
    """Return where npm is.

    Raises:
        SystemExit: it is not there, or Node is too old.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        missing = " and ".join(name for name, at in {"node": node, "npm": npm}.items() if not at)
        raise SystemExit(f"the SDKs need Node {NODE_MIN} or later: there is no {missing} on PATH")
    said = subprocess.run([node, "--version"], check=True, capture_output=True, text=True).stdout
    version = re.match(r"v(\d+)\.", said)
    if version is None or int(version[1]) < NODE_MIN:
        raise SystemExit(f"the SDKs need Node {NODE_MIN} or later: {node} is {said.strip()}")
    return npm


def check_versions() -> None:
    """Check that the packages have the version of the suite.

    Raises:
        SystemExit: one has another.
    """
    suite, python = (
        tomllib.loads((folder / "pyproject.toml").read_text())["project"]["version"]
        for folder in (ROOT, SDK / "python")
    )
    typescript = json.loads((SDK / "typescript" / "package.json").read_text())["version"]
    if not suite == python == typescript:
        raise SystemExit(f"versions differ: suite {suite}, {python=}, {typescript=}")


def build_python(contract: Contract, service_config: str) -> Path:
    """Make a wheel and an sdist; return the folder that they are in."""
    work, built = copy_sources("python"), empty(BUILT / "python")
    write_python(work / "src" / "tally_client", contract, service_config)
    targets = ["-t", "sdist", "-t", "wheel"]
    run([sys.executable, "-m", "hatchling", "build", *targets, "-d", str(built)], work)
    return built


def build_typescript(contract: Contract, service_config: str, npm: str) -> Path:
    """Make an npm tarball; return the folder that it is in."""
    work, built = copy_sources("typescript", keep="node_modules"), empty(BUILT / "typescript")
    install_modules(work, npm)
    bin = work / "node_modules" / ".bin"
    write_typescript(work / "src" / "gen", contract, service_config, bin)
    run([npm, "run", "build"], work)
    run([npm, "pack", "--pack-destination", str(built)], work)
    return built


def install_modules(work: Path, npm: str) -> None:
    """Install what the lock names, if that is not there yet."""
    stamp = work / "node_modules" / ".tally-lock"
    wanted = hashlib.sha256((work / "package-lock.json").read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text() != wanted:
        run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], work)
        stamp.write_text(wanted)


def copy_sources(language: str, keep: str = "") -> Path:
    """Copy what is written by hand to where it is built; of what was there only `keep` stays."""
    work = WORK / language
    work.mkdir(parents=True, exist_ok=True)
    for old in work.iterdir():
        if old.name != keep:
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    shutil.copytree(SDK / language, work, dirs_exist_ok=True)
    shutil.copy(ROOT / "LICENSE", work)
    return work


def empty(folder: Path) -> Path:
    """Return the folder, with nothing in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def run(command: list[str], folder: Path) -> None:
    """Run a step quietly.

    Raises:
        SystemExit: it failed; with what it said.
    """
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if ran.returncode:
        said = f"{ran.stdout}{ran.stderr}"
        raise SystemExit(f"{' '.join(command)} failed in {folder.relative_to(ROOT)}:\n{said}")


if __name__ == "__main__":
    sys.exit(main())
