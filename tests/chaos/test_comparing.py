"""The comparison itself, on plain data: it agrees with what is right, and finds each fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tests.chaos.comparing import compare_billing, compare_log
from tests.chaos.comparing_ledger import compare_ledger
from tests.chaos.expected import CALL, JOB, TARIFFS, Seat, charge
from tests.chaos.known import CaptureAsked, Fate, GrantAsked, HoldAsked, Known, Usage
from tests.chaos.logs import find_errors, sizes
from tests.chaos.seen import (
    Books,
    Charged,
    EntrySeen,
    GrantSeen,
    InvoiceSeen,
    LineSeen,
    Log,
    PeriodSeen,
    WalletSeen,
)
from tests.chaos.terms import Terms

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
TERMS = Terms([Seat("acme-0", "acme", "metered", 0)], [MONDAY], frozenset({"acme"}))
FIRST, LATE = ("", "1"), ("meter", "2")
HUNDRED = Usage(CALL, "acme", "acme-0", MONDAY, Decimal(100))
FIFTY = Usage(CALL, "acme", "acme-0", MONDAY + timedelta(days=1), Decimal(50))


@dataclass(frozen=True, slots=True)
class Case:
    """A round that went well: 100 calls billed at 1.30, 50 late ones at 0.35, paid from 1000."""

    known: Known
    log: Log
    books: Books

    def differences(self) -> list[str]:
        """Return all that the comparison finds."""
        found = [*compare_log(TERMS, self.known, self.log)]
        found += compare_billing(TERMS, self.log, self.books)
        return found + [*compare_ledger(self.known, self.books)]


def line(units: int, events: int, amount_minor: int, adjustment: int) -> LineSeen:
    charged = Charged(Decimal(units), events, amount_minor)
    return LineSeen("acme-0", MONDAY, CALL, adjustment, charged, amount_minor, "period-1")


def invoice(number: int, *lines: LineSeen) -> InvoiceSeen:
    total = sum(one.charged.amount_minor for one in lines)
    return InvoiceSeen(
        invoice_id=f"invoice-{number}",
        number=f"INV-202601-{number:03}",
        status="finalized",
        customer_id="acme",
        lines=lines,
        subtotal_minor=total,
        tax_minor=0,
        credits_minor=total,
        total_minor=0,
    )


def paid(invoice_id: str, amount_minor: int) -> EntrySeen:
    return EntrySeen(f"pays-{invoice_id}", "available", -amount_minor, "APPLY", invoice_id)


def wallet() -> WalletSeen:
    """1000 granted, 100 held, of which 60 captured and 40 given back, 165 paid."""
    entries = [
        EntrySeen("t1", "available", 1000, "GRANT", "g1"),
        EntrySeen("t2", "available", -100, "HOLD", "h1"),
        EntrySeen("t2", "held", 100, "HOLD", "h1"),
        EntrySeen("t3", "held", -60, "CAPTURE", "h1"),
        EntrySeen("t4", "held", -40, "RELEASE", "h1"),
        EntrySeen("t4", "available", 40, "RELEASE", "h1"),
        paid("invoice-1", 130),
        paid("invoice-2", 35),
    ]
    balance = {"available": 775, "held": 0, "captured": 0}
    return WalletSeen("w1", "acme", balance, [GrantSeen("g1", "order-1", 1000, 775)], entries)


def good() -> Case:
    known = Known(
        events={FIRST: HUNDRED, LATE: FIFTY},
        acknowledged={FIRST, LATE},
        grants=[GrantAsked("w1", "order-1", 1000, Fate.ACKNOWLEDGED, "g1")],
        holds=[
            HoldAsked(
                "w1",
                100,
                Fate.ACKNOWLEDGED,
                "h1",
                [CaptureAsked(60, final=True, fate=Fate.ACKNOWLEDGED)],
            )
        ],
    )
    usage = {("acme-0", MONDAY): {CALL: Charged(Decimal(150), 2, 165)}}
    books = Books(
        periods={"acme-0": [PeriodSeen("usage", MONDAY, "closed", "period-1")]},
        invoices=[invoice(1, line(100, 1, 130, 0)), invoice(2, line(50, 1, 35, 1))],
        wallets=[wallet()],
        unbalanced=[],
    )
    return Case(known, Log([(FIRST, HUNDRED), (LATE, FIFTY)], [], usage), books)


def with_invoices(case: Case, *invoices: InvoiceSeen) -> Case:
    return replace(case, books=replace(case.books, invoices=invoices))


def with_wallet(case: Case, changed: WalletSeen) -> Case:
    return replace(case, books=replace(case.books, wallets=[changed]))


def with_entries(case: Case, *entries: EntrySeen) -> Case:
    return with_wallet(case, replace(wallet(), entries=entries))


def lose_event(case: Case) -> Case:
    return replace(case, log=replace(case.log, events=case.log.events[:1]))


def lose_usage(case: Case) -> Case:
    return replace(case, log=replace(case.log, usage={("acme-0", MONDAY): {}}))


def double_event(case: Case) -> Case:
    return replace(case, log=replace(case.log, events=[*case.log.events, (FIRST, HUNDRED)]))


def forget_sending(case: Case) -> Case:
    known = replace(case.known, events={FIRST: HUNDRED}, acknowledged={FIRST})
    return replace(case, known=known)


def change_event(case: Case) -> Case:
    log = replace(case.log, events=[(FIRST, HUNDRED), (LATE, replace(FIFTY, value=Decimal(51)))])
    return replace(case, log=log)


def lose_late_usage(case: Case) -> Case:
    return with_invoices(case, case.books.invoices[0], invoice(2))


def bill_twice(case: Case) -> Case:
    return with_invoices(case, *case.books.invoices, invoice(3, line(100, 1, 130, 0)))


def leave_gap(case: Case) -> Case:
    first, second = case.books.invoices
    return with_invoices(case, first, replace(second, number="INV-202601-003"))


def leave_half_way(case: Case) -> Case:
    first, second = case.books.invoices
    return with_invoices(case, first, replace(second, status="finalizing"))


def leave_open(case: Case) -> Case:
    periods = {"acme-0": [PeriodSeen("usage", MONDAY, "due", "period-1")]}
    return replace(case, books=replace(case.books, periods=periods))


def lose_entry(case: Case) -> Case:
    return with_entries(case, *wallet().entries[:-1])


def pay_twice(case: Case) -> Case:
    again = replace(paid("invoice-1", 130), transaction_id="pays-again")
    return with_entries(case, *wallet().entries, again)


def lose_grant(case: Case) -> Case:
    lost = replace(case.known, grants=[*case.known.grants, GrantAsked("w1", "order-2", 5)])
    lost.grants[-1].fate = Fate.ACKNOWLEDGED
    return replace(case, known=lost)


def double_grant(case: Case) -> Case:
    grants = [*wallet().grants, GrantSeen("g2", "order-1", 1000, 0)]
    return with_wallet(case, replace(wallet(), grants=grants))


def double_capture(case: Case) -> Case:
    again = EntrySeen("t5", "held", -60, "CAPTURE", "h1")
    return with_entries(case, *wallet().entries, again)


def hold_unasked(case: Case) -> Case:
    return replace(case, known=replace(case.known, holds=[]))


def half_release(case: Case) -> Case:
    entries = [
        one for one in wallet().entries if (one.transaction_id, one.account) != ("t4", "held")
    ]
    return with_entries(case, *entries)


def lose_wallet(case: Case) -> Case:
    return replace(case, books=replace(case.books, wallets=[]))


def unbalance(case: Case) -> Case:
    return replace(case, books=replace(case.books, unbalanced=["transaction t1 sums to 1"]))


FAULTS: list[tuple[Callable[[Case], Case], str]] = [
    (lose_event, "was acknowledged and is not in the log"),
    (lose_usage, "usage of acme-0 from 2026-01-05 is {}"),
    (double_event, "is 2 times in the log"),
    (forget_sending, "is in the log and was never sent"),
    (change_event, "sent as"),
    (lose_late_usage, "call of acme-0 from 2026-01-05 is billed as"),
    (bill_twice, "is on 2 lines as adjustment 0"),
    (leave_gap, "the 2 invoices are numbered [1, 3]"),
    (leave_half_way, "invoice-2 is finalizing"),
    (leave_open, "periods of acme-0 are"),
    (lose_entry, "invoice-2 has credits of 35, the wallets have paid 0"),
    (pay_twice, "has paid invoice invoice-1 2 times"),
    (lose_grant, "acknowledged and missing: [('order-2', 5)]"),
    (double_grant, "there without being asked for: [('order-1', 1000)]"),
    (double_capture, "there without being asked for: [('h1', 60)]"),
    (hold_unasked, "nobody asked for holds of [100]"),
    (half_release, "the entries of t4 (RELEASE) sum to 40"),
    (lose_wallet, "wallet w1 is not there"),
    (unbalance, "transaction t1 sums to 1"),
]


def test_a_round_without_a_fault_has_no_differences() -> None:
    assert good().differences() == []


def test_what_was_never_answered_may_have_happened_or_not() -> None:
    happened = good()
    happened.known.acknowledged.discard(LATE)
    happened.known.grants[0].fate = Fate.UNKNOWN
    happened.known.holds[0].fate, happened.known.holds[0].hold_id = Fate.UNKNOWN, ""
    happened.known.holds[0].captures.clear()
    known = happened.known
    known.events["", "3"] = FIFTY
    known.grants.append(GrantAsked("w1", "order-2", 5))
    known.holds.append(HoldAsked("w1", 7))
    differences = happened.differences()
    # The capture alone is too much: nobody can capture a hold whose id it was never told.
    assert differences == [
        "captures of w1: there without being asked for: [('h1', 60)]",
    ]


@pytest.mark.parametrize(("plant", "found"), FAULTS, ids=[plant.__name__ for plant, _ in FAULTS])
def test_the_comparison_finds(plant: Callable[[Case], Case], found: str) -> None:
    differences = plant(good()).differences()
    assert any(found in one for one in differences), differences


def test_only_errors_of_ours_that_are_whole_count(tmp_path: Path) -> None:
    log = tmp_path / "rating.jsonl"
    error = {"level": "error", "logger": "libs.worker", "message": "loop step failed"}
    log.write_text(json.dumps(error) + "\n")
    before = sizes(tmp_path)
    lines = [
        json.dumps(error | {"level": "warning"}),
        json.dumps(error | {"logger": "asyncio"}),
        json.dumps(error)[:20] + json.dumps(error),
        json.dumps(error | {"exception": "Traceback\n  ...\nKeyError: 7\n"}),
    ]
    log.write_text("\n".join([json.dumps(error), *lines]) + "\n")
    assert find_errors(before) == ["rating logged: loop step failed: KeyError: 7 (1 times)"]


@pytest.mark.parametrize(
    ("kind", "values", "units", "amount_minor"),
    [
        (CALL, ["100", "50"], "150", 165),
        (CALL, ["0.5"], "0.5", 1),  # 0.0065
        (JOB, ["9", "9", "9"], "3", 15),
    ],
)
def test_usage_is_priced_by_hand(
    kind: str, values: list[str], units: str, amount_minor: int
) -> None:
    tiers = (
        TARIFFS["metered"].charges[kind].tiers
    )  # Calls: 0.013 up to 100, then 0.007. Jobs: 0.05.
    priced = charge(kind, [Decimal(value) for value in values], tiers)
    assert priced == Charged(Decimal(units), len(values), amount_minor)


def test_a_corrected_event_may_only_be_what_it_was_corrected_to() -> None:
    known = good().known
    assert known.contents(FIRST) == {HUNDRED}
    known.corrected |= {FIRST: FIFTY, LATE: None}
    assert (known.contents(FIRST), known.contents(LATE)) == ({FIFTY}, {None})
    known.uncertain.add(FIRST)
    assert known.contents(FIRST) == {HUNDRED, FIFTY}
    known.acknowledged.clear()
    known.corrected.clear()
    assert known.contents(FIRST) == {HUNDRED, None}
