"""The runner: nothing unknown passes, and each failure is one line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.vectors import exceptions
from tests.vectors.__main__ import main
from tests.vectors.cases import Case, CaseUnreadable, NoSuchTopic, load
from tests.vectors.comparing import differences
from tests.vectors.exceptions import Excepted, ExceptionInvalid
from tests.vectors.given import Given
from tests.vectors.running import Adapter, run


def double(given: Given) -> Mapping[str, Any]:
    """An adapter for these tests."""
    return {"amount": 2 * given.decimal("units")}


ADAPTERS: dict[str, Adapter] = {"doubles": double}


def case(expect: Mapping[str, Any], **given: Any) -> Case:
    return Case("doubles", "one", {"id": "one", "given": given, "expect": expect})


def failures(*cases: Case) -> tuple[str, ...]:
    return run(cases, ADAPTERS).failures


def test_numbers_are_equal_by_value() -> None:
    assert failures(case({"amount": "3.00"}, units="1.5")) == ()


def test_a_failure_names_topic_case_and_both_values() -> None:
    assert failures(case({"amount": "3"}, units="2")) == ("doubles one: amount: expected 3, got 4",)


def test_what_was_completed_is_compared_too_and_what_is_stated_wins() -> None:
    whole = {"id": "one", "given": {"units": "2"}, "derived": {"amount": "5"}}
    assert failures(Case("doubles", "one", whole)) == ("doubles one: amount: expected 5, got 4",)
    assert failures(Case("doubles", "one", {**whole, "expect": {"amount": "4"}})) == ()


def test_an_unknown_given_key_is_a_failure() -> None:
    assert failures(case({"amount": "2"}, units="1", more={"a": 1})) == (
        "doubles one: given.more is unknown",
    )


def test_an_unknown_expected_key_is_a_failure() -> None:
    assert failures(case({"total": "2"}, units="1")) == (
        "doubles one: total: expected 2, which no adapter knows",
    )


def test_a_missing_key_or_a_crash_is_a_failure_and_the_rest_is_run() -> None:
    outcome = run([case({"amount": "2"}), case({"amount": "2"}, units="1")], ADAPTERS)
    assert outcome.failures == ("doubles one: expected {'amount': '2'}, got KeyError: 'units'",)
    assert outcome.passed == 1


def test_a_case_without_an_adapter_is_a_failure() -> None:
    assert run([case({}, units="1")], {}).failures == ("doubles one: no adapter",)


def test_what_is_given_inside_must_be_read_too() -> None:
    given = Given({"price": {"type": "unit", "odd": 1}, "tiers": [{"up_to": None, "strange": 1}]})
    assert given.inner("price").text("type") == "unit"
    assert [tier.find_decimal("up_to") for tier in given.each("tiers")] == [None]
    assert list(given.unread()) == ["given.price.odd", "given.tiers[0].strange"]


@pytest.mark.parametrize(
    ("expected", "got", "count"),
    [
        ({"a": "0.5"}, {"a": Fraction(1, 2)}, 0),
        ({"a_rounded": {"value": "0.67", "places": 2}}, {"a": Fraction(2, 3)}, 0),
        ({"a_rounded": {"value": "0.66", "places": 2}}, {"a": Fraction(2, 3)}, 1),
        ({"a_rounded": {"value": "0.13", "places": 2}}, {"a": Decimal("0.125")}, 0),
        ({"a_rounded": {"value": "0.12", "places": 2}}, {"a": Decimal("0.121")}, 0),
        ({"a_rounded": {"value": "0.13", "places": 2, "rounding": "ceil"}}, {"a": "0.121"}, 0),
        ({"a_rounded": {"value": "0.12", "places": 2, "rounding": "odd"}}, {"a": "0.12"}, 1),
        ({"a_rounded": {"values": ["1", "2"], "places": 0}}, {"a": ["0.9", "2.1"]}, 0),
        ({"a_rounded": {"values": ["1", "2"], "places": 0}}, {"a": ["0.9", "2.6"]}, 1),
        ({"a_rounded": {"values": ["1", "2"], "places": 0}}, {"a": ["0.9"]}, 1),
        ({"a": ["1", "2"]}, {"a": [Decimal(1)]}, 1),
        ({"a": ["1"]}, {"a": [Decimal(1), Decimal(2)]}, 1),
        ({"a": [{"b": "1"}]}, {"a": [{"b": Decimal(2)}]}, 1),
        ({"a": None}, {"a": Decimal(0)}, 1),
        ({"a": None}, {"a": None}, 0),
        ({"a": True}, {"a": 1}, 1),
        ({"a": 1}, {"a": True}, 1),
        ({"a": True}, {"a": True}, 0),
        ({"a": "1"}, {"a": "1.0"}, 1),
    ],
)
def test_values_are_compared_by_their_kind(
    expected: Mapping[str, Any], got: Mapping[str, Any], count: int
) -> None:
    assert len(differences(expected, got)) == count


def test_an_exception_excuses_by_what_is_given() -> None:
    about = Excepted("dou*", {"events.*.value": "*e-*"}, "exponents count")
    small = case({"amount": "1"}, units="2", events=[{"value": "1"}, {"value": "1e-7"}])
    large = case({"amount": "1"}, units="2", events=[{"value": "1"}])
    outcome = run([small, large], ADAPTERS, [about])
    assert (outcome.passed, outcome.excepted, len(outcome.failures)) == (0, 1, 1)
    assert outcome.summary == "vectors: 0 passed, 1 failed, 1 excepted"


def test_an_exception_that_excuses_nothing_is_a_failure() -> None:
    about = Excepted("doubles", {"units": "1"}, "no reason left")
    assert run([case({"amount": "2"}, units="1")], ADAPTERS, [about]).failures == (
        "doubles {'units': '1'}: excuses nothing",
    )
    assert not run([case({"amount": "4"}, units="2")], ADAPTERS, [about]).failures


def test_an_exception_has_a_reason_and_a_pattern(tmp_path: Path) -> None:
    file = tmp_path / "exceptions.toml"
    for text in ('topic = "a"\ngiven = { "a" = "1" }\nreason = ""', 'topic = "a"\nreason = "b"'):
        file.write_text(f"[[exception]]\n{text}\n")
        with pytest.raises(ExceptionInvalid):
            exceptions.load(file)


def write(folder: Path, cases: list[dict[str, Any]]) -> None:
    (folder / "own").mkdir()
    body = {"topic": "t", "conventions": "c", "cases": cases}
    (folder / "own" / "charge_standard.json").write_text(json.dumps(body))


def standard(amount: str) -> dict[str, Any]:
    charge = {"model": "standard", "unit_amount": "2"}
    return {"id": "a", "given": {"charge": charge, "units": "3"}, "expect": {"amount": amount}}


def test_topics_are_named_by_folder_or_file(tmp_path: Path) -> None:
    write(tmp_path, [standard("6")])
    for names in ((), ("own",), ("charge_standard",), ("charge_standard.json",)):
        assert len(load(tmp_path, names)) == 1
    with pytest.raises(NoSuchTopic, match="other"):
        load(tmp_path, ["own", "other"])


def test_a_case_with_a_strange_part_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, [standard("6") | {"given_later": {}}])
    with pytest.raises(CaseUnreadable, match="given_later"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("amount", "code", "last"),
    [
        ("6", 0, "vectors: 1 passed, 0 failed, 0 excepted"),
        ("7", 1, "vectors: 0 passed, 1 failed, 0 excepted"),
    ],
)
def test_the_last_line_counts_and_a_failure_is_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], amount: str, code: int, last: str
) -> None:
    write(tmp_path, [standard(amount)])
    assert main(["--dir", str(tmp_path), "own"]) == code
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == last
    assert len(printed) == 1 + code
