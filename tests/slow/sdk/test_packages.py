"""The built packages hold what they should, are typed, and do what their documents say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tally.common.v1.errors_pb2 import ErrorReason
from tests.readme import OWN_CODE, blocks, read_blocks
from tests.slow.sdk.conftest import BUILT, ROOT, built, run

REASONS = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()[1:]}
WORK = BUILT / "work"
STRICT = "--noEmit --strict --target es2022 --module nodenext --skipLibCheck --types node".split()

# With the suite's own generated code in the same interpreter, whichever comes first.
BESIDE = """
import {first}, {second}
from tally_client.wallet.v1 import Wallet
from tally.wallet.v1 import wallet_service_pb2
ours, theirs = Wallet(customer_id="acme"), wallet_service_pb2.Wallet()
theirs.ParseFromString(ours.SerializeToString())
theirs.MergeFrom(ours)
print(theirs.customer_id)
"""


def test_the_wheel_holds_the_public_packages_alone() -> None:
    names = zipfile.ZipFile(built("python/*.whl")).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"tally_client"}
    packages = {name.split("/")[1] for name in names if name.count("/") == 3}
    assert packages >= {"common", "ingest", "rating", "invoicing", "wallet"}
    assert not [name for name in names if "internal" in name]
    assert "tally_client/py.typed" in names
    assert built("python/*.tar.gz").name.startswith("tally_client-")


def test_the_tarball_holds_the_public_packages_alone() -> None:
    with tarfile.open(built("typescript/*.tgz")) as tarball:
        names = tarball.getnames()
    packages = {match[1] for name in names if (match := re.search(r"/gen/tally/(\w+)/", name))}
    assert packages == {"common", "ingest", "rating", "invoicing", "wallet"}
    assert {"package/dist/index.js", "package/dist/index.d.ts", "package/LICENSE"} <= set(names)
    assert not [name for name in names if name.endswith(".ts") and not name.endswith(".d.ts")]


def test_python_has_a_class_for_every_reason(python: Path, tmp_path: Path) -> None:
    asked = "import json, tally_client.errors as all; print(json.dumps(list(all.BY_REASON)))"
    assert set(json.loads(run([python, "-c", asked], tmp_path))) == REASONS


def test_typescript_has_a_class_for_every_reason(node_folder: Path) -> None:
    asked = 'import { BY_REASON as all } from "tally-client"; console.log(JSON.stringify(all))'
    asked = asked.replace("JSON.stringify(all)", "JSON.stringify(Object.keys(all))")
    said = run(["node", "--input-type=module", "--eval", asked], node_folder)
    assert set(json.loads(said)) == REASONS


def test_the_python_client_is_typed(python: Path, tmp_path: Path) -> None:
    mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache")]
    run([*mypy, "src", str(ROOT / "sdk" / "conformance" / "runner.py")], WORK / "python")
    for number, block in enumerate(python_examples()):
        (tmp_path / f"example_{number}.py").write_text(block)
    examples = sorted(str(file) for file in tmp_path.glob("example_*.py"))
    run([*mypy, "--python-executable", str(python), *examples], tmp_path)
    (tmp_path / "wrong.py").write_text(python_examples()[0].replace("customer_id=", "customer="))
    with pytest.raises(AssertionError, match="call-arg"):
        run([*mypy, "--python-executable", str(python), "wrong.py"], tmp_path)


def test_the_typescript_client_is_typed(node_folder: Path) -> None:
    modules = WORK / "typescript" / "node_modules"
    types = ["--typeRoots", str(modules / "@types")]
    compiler = ["node", str(modules / "typescript" / "bin" / "tsc"), *STRICT, *types]
    for number, block in enumerate(typescript_examples()):
        (node_folder / f"example_{number}.ts").write_text(block)
    examples = sorted(file.name for file in node_folder.glob("example_*.ts"))
    run([*compiler, *examples], node_folder)
    wrong = typescript_examples()[0].replace("subscriptionId:", "subscription:")
    (node_folder / "wrong.ts").write_text(wrong)
    with pytest.raises(AssertionError, match="'subscription' does not exist"):
        run([*compiler, "wrong.ts"], node_folder)


def test_a_service_without_an_address_is_named(python: Path, node_folder: Path) -> None:
    complaint = "no address of the service wallet was given"
    code = "import tally_client as t, tally_client.wallet.v1 as v\nt.Tally({'ingest': 'x:1'})"
    with pytest.raises(AssertionError, match=complaint):
        run([python, "-c", f"{code}.wallet.list_wallets(v.ListWalletsRequest())"], node_folder)
    code = 'import { Tally } from "tally-client"; await new Tally({ ingest: "x:1" })'
    with pytest.raises(AssertionError, match=complaint):
        script = f"{code}.wallet.listWallets({{}})"
        run(["node", "--input-type=module", "--eval", script], node_folder)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("tally_client", "tally.wallet.v1.wallet_service_pb2"),
        ("tally.wallet.v1.wallet_service_pb2", "tally_client"),
    ],
)
def test_the_python_client_works_beside_the_suite(first: str, second: str) -> None:
    path = f"{built('python/*.whl')}:{ROOT / 'libs' / 'gen'}"
    code = BESIDE.format(first=first, second=second)
    assert run([sys.executable, "-c", code], ROOT, PYTHONPATH=path).split() == ["acme"]


@pytest.mark.parametrize(
    ("tools", "complaint"),
    [
        ({}, "there is no node and npm on PATH"),
        ({"node": "v20.1.0"}, "there is no npm on PATH"),
        ({"node": "v18.20.4", "npm": "10.1.0"}, "is v18.20.4"),
    ],
)
def test_a_missing_tool_fails_by_name(
    tools: dict[str, str], complaint: str, tmp_path: Path
) -> None:
    for name, version in tools.items():
        (tmp_path / name).write_text(f"#!/bin/sh\necho {version}\n")
        (tmp_path / name).chmod(0o755)
    ran = subprocess.run(
        [sys.executable, ROOT / "tools" / "sdk.py"],
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "the SDKs need Node 20 or later" in ran.stderr
    assert complaint in ran.stderr


def python_examples() -> list[str]:
    return [*blocks(OWN_CODE, "python"), *read_blocks(ROOT / "sdk/python/README.md", "python")]


def typescript_examples() -> list[str]:
    package = read_blocks(ROOT / "sdk/typescript/README.md", "typescript")
    return [*blocks(OWN_CODE, "typescript"), *package]
