"""Which credits pay which lines of an invoice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from libs.period import Period
from services.wallet.domain.expiry import lapse_freed
from services.wallet.domain.grant import Grant
from services.wallet.domain.hold import Lot
from services.wallet.domain.ledger import Account, Book, Movement, Reason, Use
from services.wallet.domain.wallet import Pool

USAGE, BASE = "usage", "base"  # Kinds of fees.
NOTHING: Mapping[UUID, int] = {}


@dataclass(frozen=True, slots=True)
class CreditLine:
    """A line of an invoice, tax and discounts included; a negative one lowers its pool."""

    line_id: UUID
    fee_kind: str
    meter_code: str
    amount_minor: int
    period: Period
    subscription_id: str
    target: str = ""  # The code of the only wallet that may pay it; "": any.

    @property
    def pool(self) -> Pool:
        return (self.fee_kind, self.meter_code, self.target)

    def bills_the_past(self, now: datetime) -> bool:
        """Tell usage, and what has ended, from a fee paid in advance.

        Money is captured for usage: it must not pay for a time that only begins.
        """
        return self.fee_kind == USAGE or self.period.end <= now


@dataclass(frozen=True, slots=True)
class SettledPeriod:
    """Time of a subscription that no further invoice bills."""

    subscription_id: str
    period: Period


@dataclass(frozen=True, slots=True)
class Invoice:
    """What an invoice asks the wallets to pay, and the periods that it settles for good."""

    invoice_id: UUID
    customer_id: str
    currency: str
    lines: Sequence[CreditLine]
    settled: Sequence[SettledPeriod]
    settled_ids: frozenset[UUID] = frozenset()  # Of these periods: nothing is reserved for them.

    @property
    def subscription_ids(self) -> set[str]:
        """The subscriptions whose captured money it takes or gives back."""
        billed = {line.subscription_id for line in self.lines}
        return billed | {one.subscription_id for one in self.settled}


@dataclass(frozen=True, slots=True)
class AppliedCredit:
    """A part of a line that a grant of a wallet paid.

    `captured`: out of captured money; `expired`: out of what had lapsed since the line's time.
    """

    line_id: UUID
    wallet_id: UUID
    grant_id: UUID
    amount_minor: int
    captured: bool
    expired: bool = False

    @property
    def source(self) -> Account:
        """The account that it was taken of."""
        if self.captured:
            return Account.CAPTURED
        return Account.EXPIRED if self.expired else Account.AVAILABLE


@dataclass(frozen=True, slots=True)
class Application:
    """What was paid, in the order in which it was taken, and the lots that changed, as they are."""

    credits: tuple[AppliedCredit, ...]
    lots: tuple[Lot, ...]


def apply_credits(
    books: Sequence[Book],
    lots: Sequence[Lot],
    invoice: Invoice,
    now: datetime,
    *,
    expired: Mapping[UUID, int] = NOTHING,
) -> Application:
    """Pay `invoice` from a customer's wallets and post it; never more than the invoice.

    Lines are pooled by (fee kind, meter, target wallet), the largest pool is paid first. Money
    captured for a line's subscription before the end of the line's period goes first, then what is
    available of grants in force at any instant of the period. Wallets by priority, then age;
    grants in burn order. What was captured for the settled time and not taken goes back to its
    grants, though the invoice has no line for it.

    `expired` is what lapsed of grants, which the books have, since the lines' time began: credit of
    a month that ended with it still pays that month, though its invoice comes later.

    Pools of 100 and 30, a wallet with 110: they get 100 and 10.
    """
    wallets = sorted(books, key=lambda book: book.wallet.draw_key)
    plan = Plan(wallets, lots, invoice.lines, expired)
    for line in plan.lines:
        for book in wallets:
            _take_captured(plan, line, book, now)
    for line in plan.lines:
        for book in wallets:
            _take_available(plan, line, book, now)
    credits = plan.credits()
    reference = str(invoice.invoice_id)
    returned = _returned(plan, invoice.settled, now)
    for book in wallets:
        _post(book, credits, returned, reference, now)
    after = {place: 0 if place in returned else plan.lot_left[place] for place in plan.lot_left}
    touched = (replace(lot, left_minor=after[place]) for place, lot in enumerate(lots))
    return Application(
        credits, tuple(new for new, old in zip(touched, lots, strict=True) if new != old)
    )


class Plan:
    """Who still has what while an invoice is paid: lines and pools want, lots and grants have."""

    def __init__(
        self,
        wallets: Sequence[Book],
        lots: Sequence[Lot],
        lines: Sequence[CreditLine],
        expired: Mapping[UUID, int],
    ) -> None:
        pools: defaultdict[Pool, int] = defaultdict(int)
        for line in lines:
            pools[line.pool] += line.amount_minor
        # The sort is stable: within a pool, lines keep the invoice's order.
        self.lines = sorted(lines, key=lambda line: (-pools[line.pool], line.pool))
        self.lots = _in_burn_order(wallets, lots)
        self.lot_left = {place: lot.left_minor for place, lot in enumerate(lots)}
        grants = [grant for book in wallets for grant in book.grants.values()]
        self.grant_left = {grant.grant_id: grant.available_minor for grant in grants}
        self.expired_left = dict(expired)
        self._line_left = {line.line_id: line.amount_minor for line in lines}
        self._pool_left = dict(pools)
        self._invoice_left = sum(pools.values())
        self._taken: dict[tuple[UUID, UUID, UUID, Account], int] = {}

    def take(
        self, line: CreditLine, wallet_id: UUID, grant_id: UUID, have: int, source: Account
    ) -> int:
        """Pay `line` with up to `have`, within its pool and the invoice; return how much."""
        wanted = min(self._line_left[line.line_id], self._pool_left[line.pool], self._invoice_left)
        amount = max(0, min(have, wanted))
        if amount:
            self._line_left[line.line_id] -= amount
            self._pool_left[line.pool] -= amount
            self._invoice_left -= amount
            part = (line.line_id, wallet_id, grant_id, source)
            self._taken[part] = self._taken.get(part, 0) + amount
        return amount

    def credits(self) -> tuple[AppliedCredit, ...]:
        """Return what was taken, in the order in which it was."""
        return tuple(
            AppliedCredit(
                line_id,
                wallet_id,
                grant_id,
                amount,
                captured=source is Account.CAPTURED,
                expired=source is Account.EXPIRED,
            )
            for (line_id, wallet_id, grant_id, source), amount in self._taken.items()
        )


def _in_burn_order(books: Sequence[Book], lots: Sequence[Lot]) -> list[tuple[int, Lot]]:
    grants: dict[UUID, Grant] = {}
    for book in books:
        grants |= book.grants
    numbered = enumerate(lots)
    return sorted(numbered, key=lambda one: (grants[one[1].grant_id].burn_key, one[1].captured_at))


def _take_captured(plan: Plan, line: CreditLine, book: Book, now: datetime) -> None:
    if not book.wallet.accepts(*line.pool) or not line.bills_the_past(now):
        return
    for place, lot in plan.lots:
        mine = (lot.wallet_id, lot.subscription_id) == (book.wallet.wallet_id, line.subscription_id)
        if mine and lot.captured_at < line.period.end:
            have = plan.lot_left[place]
            plan.lot_left[place] -= plan.take(
                line, lot.wallet_id, lot.grant_id, have, Account.CAPTURED
            )


def _take_available(plan: Plan, line: CreditLine, book: Book, now: datetime) -> None:
    if not book.wallet.accepts(*line.pool):
        return
    for grant in book.in_burn_order():
        if not grant.in_force_during(line.period):
            continue
        left, source = plan.grant_left, Account.AVAILABLE
        if grant.lapsed(now):
            left, source = plan.expired_left, Account.EXPIRED
        if grant.effective_at <= now:
            have = left.get(grant.grant_id, 0)
            taken = plan.take(line, grant.wallet_id, grant.grant_id, have, source)
            left[grant.grant_id] = have - taken


def _returned(
    plan: Plan, settled: Sequence[SettledPeriod], now: datetime
) -> dict[int, tuple[UUID, Use]]:
    """Return the lots that the settled time did not need, by place.

    What was captured after the end of a subscription's settled time is for the next period, and
    a fee paid in advance settles nothing: the usage of its time is still to come.
    """
    settled_until: dict[str, datetime] = {}
    for one in settled:
        if one.period.end <= now:
            known = settled_until.get(one.subscription_id, one.period.end)
            settled_until[one.subscription_id] = max(known, one.period.end)
    return {
        place: (lot.wallet_id, Use(lot.grant_id, plan.lot_left[place]))
        for place, lot in plan.lots
        if plan.lot_left[place]
        and lot.subscription_id in settled_until
        and lot.captured_at < settled_until[lot.subscription_id]
    }


def _post(
    book: Book,
    credits: Sequence[AppliedCredit],
    returned: dict[int, tuple[UUID, Use]],
    reference: str,
    now: datetime,
) -> None:
    mine = [credit for credit in credits if credit.wallet_id == book.wallet.wallet_id]
    paid = [
        Movement(
            source,
            Account.REVENUE,
            tuple(
                Use(credit.grant_id, credit.amount_minor, credit.line_id)
                for credit in mine
                if credit.source is source
            ),
        )
        for source in (Account.CAPTURED, Account.AVAILABLE, Account.EXPIRED)
    ]
    book.post(Reason.APPLY, reference, now, *paid)
    back = tuple(use for wallet_id, use in returned.values() if wallet_id == book.wallet.wallet_id)
    book.post(Reason.RETURN, reference, now, Movement(Account.CAPTURED, Account.AVAILABLE, back))
    lapse_freed(book, now)
