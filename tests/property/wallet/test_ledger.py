"""Whatever happens to a wallet, in whatever order: no money is lost, invented or spent twice."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from libs.errors import Refused
from libs.money import Money
from libs.period import Period
from services.wallet.domain import burn_down, expiry, voiding
from services.wallet.domain import hold as holding
from services.wallet.domain.apply_credits import (
    AppliedCredit,
    CreditLine,
    Invoice,
    SettledPeriod,
    apply_credits,
)
from services.wallet.domain.grant import Grant, GrantKind
from services.wallet.domain.hold import Hold, HoldStatus, Lot
from services.wallet.domain.ledger import Account, Book
from services.wallet.domain.return_credits import return_credits
from services.wallet.domain.transfer import transfer
from tests.unit.wallet.books import a_book, a_grant, a_hold, a_wallet, an_id, day

SUBSCRIPTIONS = (None, "s", "t")
amounts = st.integers(1, 40)


@dataclass
class World:
    """A wallet, and an oracle that only adds and subtracts: what came in, what left, what is due.

    The oracle knows no grants and no burn order; it counts each kind of change by itself.
    """

    book: Book = field(default_factory=a_book)
    now: datetime = day(2)
    holds: dict[str, Hold] = field(default_factory=dict)
    lots: dict[tuple[object, ...], Lot] = field(default_factory=dict)
    invoices: int = 0
    granted: int = 0
    earned: int = 0
    owed: Counter[str] = field(default_factory=Counter)  # Captured, by subscription.
    other: Book = field(default_factory=lambda: a_book(wallet=a_wallet(2)))  # To transfer to.
    moved: int = 0  # What went there.
    voided: int = 0
    paid: list[tuple[str, tuple[AppliedCredit, ...]]] = field(default_factory=list)

    def grant(self, amount: int, days: int, kind: GrantKind, priority: int) -> None:
        expires_at = self.now + timedelta(days=days) if days else None
        number = len(self.book.grants) + 1
        grant = a_grant(number, amount, kind=kind, priority=priority, expires_at=expires_at)
        burn_down.put_in(self.book, replace(grant, effective_at=self.now), self.now)
        self.granted += amount

    def authorize(self, amount: int, days: int, subscription: str | None) -> None:
        name = str(len(self.holds))
        until = self.now + timedelta(days=days)
        hold = a_hold(amount, name=name, subscription=subscription, at=self.now, expires_at=until)
        available = self.book.balance(self.now).available_minor
        try:
            self.holds[name] = holding.place(self.book, hold)
            assert amount <= available
        except Refused:
            self.holds[name] = replace(hold, status=HoldStatus.RELEASED)
            assert amount > available

    def capture(self, which: int, amount: int, final: bool) -> None:
        if (hold := self.pick(which)) is None:
            return
        amount = min(amount, hold.left_minor)
        money = Money("USD", amount)
        after, lots = holding.capture(self.book, hold, money, self.now, final=final)
        expiry.lapse_freed(self.book, self.now)
        self.keep(after)
        for lot in lots:  # More of the same hold, grant and instant is added up, as stored.
            known = self.lots.get(lot_key(lot))
            left = lot.left_minor + (known.left_minor if known else 0)
            self.lots[lot_key(lot)] = replace(lot, left_minor=left)
        if hold.subscription_id is None:
            self.earned += amount
        else:
            self.owed[hold.subscription_id] += amount

    def release(self, which: int) -> None:
        if (hold := self.pick(which)) is not None:
            self.keep(holding.release(self.book, hold, self.now))
            expiry.lapse_freed(self.book, self.now)

    def invoice(self, amounts: list[int], subscription: str | None, settles: bool) -> None:
        self.invoices += 1
        period = Period(day(1), self.now)
        lines = [
            CreditLine(an_id(place), "usage", f"m{place % 2}", amount, period, subscription or "")
            for place, amount in enumerate(amounts)
        ]
        settled = [SettledPeriod(subscription or "", period)] if settles else []
        invoice = Invoice(an_id(10**6 + self.invoices), "acme", "USD", lines, settled)
        mine = [lot for lot in self.lots.values() if lot.subscription_id == subscription]
        due = sum(lot.left_minor for lot in mine if lot.captured_at < self.now)
        application = apply_credits([self.book], mine, invoice, self.now)
        self.lots |= {lot_key(lot): lot for lot in application.lots}
        paid = sum(credit.amount_minor for credit in application.credits)
        early = sum(credit.amount_minor for credit in application.credits if credit.captured)
        assert paid <= max(0, sum(amounts))
        assert early <= min(due, paid)
        self.earned += paid
        self.paid.append((str(invoice.invoice_id), application.credits))
        if subscription is not None:
            self.owed[subscription] -= due if settles else early

    def give_back(self, which: int) -> None:
        """Void one of the invoices: each at most once."""
        if not self.paid:
            return
        reference, credits = self.paid.pop(which % len(self.paid))
        return_credits(self.book, credits, reference, self.now)
        self.earned -= sum(credit.amount_minor for credit in credits)

    def void(self, amount: int) -> None:
        available = self.book.balance(self.now).available_minor
        try:
            uses = voiding.void(self.book, amount, self.now, reference="v", grant_id=None)
        except Refused:
            assert amount > available
            return
        assert sum(use.amount_minor for use in uses) == amount <= available
        self.voided += amount

    def transfer(self, amount: int) -> None:
        available = self.book.balance(self.now).available_minor
        burning = [grant.kind for grant in self.book.in_force(self.now) if grant.available_minor]
        numbers = itertools.count(10_000 + len(self.other.grants))
        try:
            arrived = transfer(
                self.book,
                self.other,
                amount,
                self.now,
                reference="t",
                new_id=lambda: an_id(next(numbers)),
            )
        except Refused:
            assert amount > available
            return
        assert [grant.kind for grant in arrived] == burning[: len(arrived)]
        assert sum(grant.available_minor for grant in arrived) == amount <= available
        self.moved += amount

    def move_on(self, days: int) -> None:
        self.now += timedelta(days=days)
        late = [h for h in self.holds.values() if h.left_minor and h.expires_at <= self.now]
        for hold in expiry.expire_due(self.book, late, self.now):
            self.keep(hold)

    def pick(self, which: int) -> Hold | None:
        """Return one of the open holds."""
        found = [hold for hold in self.holds.values() if hold.status is HoldStatus.OPEN]
        return found[which % len(found)] if found else None

    def keep(self, hold: Hold) -> None:
        self.holds[hold.hold_id.partition("_")[2]] = hold

    def check(self) -> None:
        sums = Counter[Account]()
        for posting in self.book.postings:
            assert sum(posting.entries().values()) == 0
            sums.update(posting.entries())
        grants = self.book.grants.values()
        reserved = sum(hold.left_minor for hold in self.holds.values())
        assert sums[Account.HELD] == sum(grant.held_minor for grant in grants) == reserved
        assert sums[Account.AVAILABLE] == sum(grant.available_minor for grant in grants)
        assert sums[Account.CAPTURED] == sum(grant.captured_minor for grant in grants)
        assert sums[Account.CAPTURED] == self.owed.total()
        assert sums[Account.REVENUE] == self.earned
        assert sums[Account.VOIDED] == self.voided
        assert (
            sums[Account.TRANSFERRED]
            == self.moved
            == -self.other.changes().get(Account.TRANSFERRED, 0)
        )
        assert -sums[Account.PURCHASED] - sums[Account.GRANTED] == self.granted
        remaining = self.granted - self.earned - sums[Account.EXPIRED]
        remaining -= self.voided + self.moved
        assert sum(grant.remaining_minor for grant in grants) == remaining
        for grant in grants:
            self.check_grant(grant)

    def check_grant(self, grant: Grant) -> None:
        """What is left is never below zero, and of a lapsed grant only what something pins."""
        assert min(grant.available_minor, grant.held_minor, grant.captured_minor) >= 0
        if grant.lapsed(self.now):
            assert grant.available_minor == 0
        parts = [part for hold in self.holds.values() for part in hold.parts]
        held = sum(part.amount_minor for part in parts if part.grant_id == grant.grant_id)
        assert grant.held_minor == held
        lots = sum(lot.left_minor for lot in self.lots.values() if lot.grant_id == grant.grant_id)
        assert grant.captured_minor == lots


def lot_key(lot: Lot) -> tuple[object, ...]:
    return (lot.hold_id, lot.grant_id, lot.captured_at)


kinds = st.sampled_from(GrantKind)
steps = st.one_of(
    st.tuples(st.just("grant"), amounts, st.integers(0, 9), kinds, st.integers(1, 3)),
    st.tuples(st.just("authorize"), amounts, st.integers(1, 9), st.sampled_from(SUBSCRIPTIONS)),
    st.tuples(st.just("capture"), st.integers(0, 9), st.integers(0, 40), st.booleans()),
    st.tuples(st.just("release"), st.integers(0, 9)),
    st.tuples(
        st.just("invoice"),
        st.lists(st.integers(-20, 60), max_size=4),
        st.sampled_from(SUBSCRIPTIONS),
        st.booleans(),
    ),
    st.tuples(st.just("give_back"), st.integers(0, 9)),
    st.tuples(st.just("void"), amounts),
    st.tuples(st.just("transfer"), amounts),
    st.tuples(st.just("move_on"), st.integers(1, 5)),
)


@given(st.lists(steps, max_size=30))
def test_no_sequence_of_operations_loses_or_invents_money(
    sequence: list[tuple[str, ...]],
) -> None:
    world = World()
    for name, *arguments in sequence:
        getattr(world, name)(*arguments)
        world.check()


@given(st.lists(steps, max_size=30))
def test_the_same_operations_give_the_same_postings(sequence: list[tuple[str, ...]]) -> None:
    first, second = World(), World()
    for world in (first, second):
        for name, *arguments in sequence:
            getattr(world, name)(*arguments)
    assert first.book.postings == second.book.postings


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 3), kinds, st.booleans()),
        min_size=1,
        max_size=8,
    ),
    st.randoms(use_true_random=False),
)
def test_the_burn_order_is_total_and_does_not_depend_on_how_grants_are_read(
    shapes: list[tuple[int, int, GrantKind, bool]], random: Random
) -> None:
    book = a_book()
    for place, (priority, days, kind, stored) in enumerate(shapes):
        expires_at = day(9 + days) if days else None
        grant = a_grant(place + 1, 5, kind=kind, priority=priority, expires_at=expires_at)
        # One that came in this transaction has no number yet: it is younger than all that have.
        book.grants[grant.grant_id] = grant if stored else replace(grant, number=0)
    order = book.in_burn_order()
    assert len({grant.burn_key for grant in order if grant.number}) == sum(
        grant.number > 0 for grant in order
    )
    for one, other in itertools.pairwise(order):
        assert one.burn_key <= other.burn_key
        if one.burn_key[:3] == other.burn_key[:3]:
            assert one.number < other.number or not other.number
    read = [grant for grant in order if grant.number]
    random.shuffle(read)
    assert sorted(read, key=lambda grant: grant.burn_key) == [g for g in order if g.number]
