"""The table of faults fits the tree: else a fault would be planted nowhere."""

from __future__ import annotations

import pytest

from tests.mutants.copies import ROOT, LineNotFound, broken
from tests.mutants.faults import FAULTS, Fault


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.rule)
def test_the_line_of_each_fault_is_found_once_and_its_tests_are_there(fault: Fault) -> None:
    sound = (ROOT / fault.file).read_text(encoding="utf-8")
    planted = broken(sound, fault)
    compile(planted, fault.file, "exec")
    changed = [
        (before, after)
        for before, after in zip(sound.split("\n"), planted.split("\n"), strict=True)
        if before != after
    ]
    [(before, after)] = changed
    assert (before.strip(), after.strip()) == (fault.line, fault.replacement)
    assert [name for name in fault.tests if not (ROOT / name).is_file()] == []


def test_there_are_twenty_faults_in_all_services_and_libs() -> None:
    homes = {"libs", "services/ingest", "services/rating", "services/invoicing", "services/wallet"}
    assert len(FAULTS) == len({(fault.file, fault.line) for fault in FAULTS}) == 20
    assert {home for home in homes for fault in FAULTS if fault.file.startswith(home)} == homes


def test_a_line_that_is_gone_or_there_twice_is_named() -> None:
    fault = Fault("a.py", "x = 1", "x = 2", "x is one", ())
    assert broken("if y:\n    x = 1\n", fault) == "if y:\n    x = 2\n"
    for text in ("x = 3\n", "x = 1\nx = 1\n"):
        with pytest.raises(LineNotFound, match="a.py has [02] times the line: x = 1"):
            broken(text, fault)
