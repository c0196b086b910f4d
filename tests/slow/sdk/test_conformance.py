"""Both clients, from their packages, behave against a live suite as cases and documents say."""

from __future__ import annotations

import asyncio
import json
import shutil
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.running import public_scopes
from tests.readme import OWN_CODE, blocks
from tests.slow.sdk.certificate import make_certificate
from tests.slow.sdk.conftest import ROOT, run
from tests.slow.sdk.gate import Gate
from tests.suite import Suite

CONFORMANCE = ROOT / "sdk" / "conformance"
FILES = sorted(CONFORMANCE.glob("*.json"))
CASES: list[dict[str, Any]] = [
    case for file in FILES for case in json.loads(file.read_text())["cases"]
]
NAMES = [case["name"] for case in CASES]
RUN_SECONDS = 240
FRESH_TOKENS = 5


@pytest.mark.parametrize("client", ["python", "python --sync", "typescript"])
async def test_a_client_passes_every_case(
    client: str, suite: Suite, python: Path, node_folder: Path, tmp_path: Path
) -> None:
    command = {
        "python": [str(python), str(CONFORMANCE / "runner.py")],
        "python --sync": [str(python), str(CONFORMANCE / "runner.py"), "--sync"],
        "typescript": ["node", str(shutil.copy(CONFORMANCE / "runner.mjs", node_folder))],
    }[client]
    tls, certificate = make_certificate(tmp_path)
    gates = {case["name"]: Gate(suite.stack.addresses, case.get("gate", {}), tls) for case in CASES}
    async with AsyncExitStack() as open_gates:
        cases = {}
        for case in CASES:
            where: str | dict[str, str] = suite.stack.addresses
            if "gate" in case:
                where = await open_gates.enter_async_context(gates[case["name"]].listening())
            cases[case["name"]] = _run_of(case, suite, where, certificate)
        stated = tmp_path / "run.json"
        stated.write_text(json.dumps({"files": [str(file) for file in FILES], "cases": cases}))
        said, errors, code = await _run([*command, str(stated)])
    assert not errors
    assert [line for line in said if not line.startswith("passed ")] == []
    assert said == [f"passed {name}" for name in NAMES]
    assert code == 0
    for case in CASES:
        assert _seen(gates[case["name"]], case) == case.get("seen", {}), case["name"]


def test_each_case_has_a_name_of_its_own() -> None:
    assert len(set(NAMES)) == len(NAMES) > 30


def test_the_example_in_python_works(suite: Suite, python: Path, tmp_path: Path) -> None:
    (code,) = blocks(OWN_CODE, "python")
    said = run([python, "-c", code], tmp_path, **_environment(suite))
    assert "verdict: VERDICT_ACCEPTED" in said
    assert "NOT_FOUND no subscription" in said


def test_the_example_in_typescript_works(suite: Suite, node_folder: Path) -> None:
    (code,) = blocks(OWN_CODE, "typescript")  # No types are written in it: it is JavaScript.
    command = ["node", "--input-type=module", "--eval", code]
    said = run(command, node_folder, **_environment(suite))
    assert "[ 'ACCEPTED' ]" in said
    assert "NOT_FOUND no subscription" in said


def _environment(suite: Suite) -> dict[str, str]:
    """Return what the README has its reader set."""
    addresses = {f"TALLY_{name.upper()}_ADDRESS": at for name, at in suite.stack.addresses.items()}
    return {**addresses, "TALLY_TOKEN": suite.token(suite.new_tenant())}


def _run_of(
    case: dict[str, Any], suite: Suite, where: str | dict[str, str], certificate: str
) -> dict[str, Any]:
    """Return what a case runs with: a tenant of its own, told by its tokens."""
    tenant, scopes = suite.new_tenant(), case.get("scopes", public_scopes())
    match case.get("token"):
        case "none":
            tokens = [""]
        case "forged":
            header, claims, _ = suite.token(tenant, scopes).split(".")
            tokens = [f"{header}.{claims}.{'A' * 86}"]
        case _:
            lifetimes = [timedelta(hours=1, seconds=number) for number in range(FRESH_TOKENS)]
            tokens = [suite.stack.token(tenant, scopes, lifetime) for lifetime in lifetimes]
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"
    run = {"addresses": where, "tokens": tokens, "variables": {"now": now}}
    return run | ({"certificate": certificate} if case.get("gate", {}).get("tls") else {})


async def _run(command: list[str]) -> tuple[list[str], str, int | None]:
    """Run a runner to its end; return its lines, its errors and its exit code."""
    pipe = asyncio.subprocess.PIPE
    runner = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    try:
        said, errors = await asyncio.wait_for(runner.communicate(), RUN_SECONDS)
    except TimeoutError:
        runner.kill()
        said, errors = await runner.communicate()
        raise AssertionError(f"still running:\n{said.decode()}{errors.decode()}") from None
    return said.decode().splitlines(), errors.decode(), runner.returncode


def _seen(gate: Gate, case: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Return of what the gate saw as much as the case speaks of."""
    counts = {}
    for method, wanted in case.get("seen", {}).items():
        seen = gate.seen[method]
        all_counts = {
            "attempts": seen.attempts,
            "requestIds": len(seen.request_ids),
            "tokens": len(seen.tokens),
        }
        counts[method] = {name: all_counts[name] for name in wanted}
    return counts
