"""Whatever is sent to any RPC, the suite answers by the contract, and goes on working."""

from __future__ import annotations

import os
from pathlib import Path

from tests.fuzz.methods import methods_of
from tests.fuzz.running import fuzz
from tests.suite import Suite

CONTRACTS = Path(__file__).parents[3] / "proto" / "tally"
SEED = int(os.environ.get("TALLY_FUZZ_SEED", "1"))
EACH = int(os.environ.get("TALLY_FUZZ_EACH", "4"))
SECONDS = float(os.environ.get("TALLY_FUZZ_SECONDS", "0"))


def test_no_bytes_break_the_suite(suite: Suite) -> None:
    wrong = fuzz(suite, SEED, each=EACH, seconds=SECONDS, say=print)
    assert not wrong, f"{len(wrong)} faults with seed {SEED}:\n" + "\n".join(wrong[:20])


def test_every_rpc_of_the_contracts_is_served_and_so_called(suite: Suite) -> None:
    """The calls go to what the servers say they have; none of the contracts is missing there."""
    served = {method.path for method in methods_of(suite.stack)}
    written: set[str] = set()
    for contract in CONTRACTS.rglob("*_service.proto"):
        written |= paths_in(contract.read_text())
    assert written and written <= served


def paths_in(proto: str) -> set[str]:
    """Return the RPCs that a contract's text declares."""
    package, service, found = "", "", set()
    for line in proto.splitlines():
        words = line.replace("(", " ").replace(";", " ").split()
        match words[:2]:
            case ["package", name]:
                package = name
            case ["service", name]:
                service = name
            case ["rpc", name]:
                found.add(f"/{package}.{service}/{name}")
    return found
