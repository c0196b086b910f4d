"""What progressive invoices billed of a period, and what its next invoice takes off for that.

Every invoice of a period has all of its usage so far, and credits what the ones before it billed:
fee by fee, then what is left of a charge on its other fees. What no fee of the charge holds, as
usage was taken back since, is given back by credit notes on those that billed it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from services.invoicing.domain.credit_note import CreditExceedsInvoice, NoteItem
from services.invoicing.domain.giving_back import FeeKey, charge_of, fee_key
from services.invoicing.domain.invoice import ProgressiveCredit
from services.invoicing.domain.line import Line


@dataclass(frozen=True, slots=True)
class EarlyLine:
    """A line of a progressive invoice; `left_minor` is what itself billed, less notes on it.

    Coupons and taxes are left out: what is credited leaves its part of them where it was.
    """

    line_id: UUID
    key: FeeKey
    left_minor: int


@dataclass(frozen=True, slots=True)
class EarlyInvoice:
    """A live progressive invoice of a period."""

    invoice_id: UUID
    lines: tuple[EarlyLine, ...]


@dataclass(frozen=True, slots=True)
class EarlyCredit:
    """What an invoice credits, by its lines; and what is given back, by invoice."""

    shares_minor: Mapping[UUID, int]
    given_back: Mapping[UUID, tuple[NoteItem, ...]]

    @property
    def amount_minor(self) -> int:
        return sum(self.shares_minor.values())


@dataclass(frozen=True, slots=True)
class Early:
    """The same over all periods of an invoice; the newest invoice of each stands for all of it."""

    shares_minor: Mapping[UUID, int] = field(default_factory=dict)
    credits: tuple[ProgressiveCredit, ...] = ()
    given_back: Mapping[UUID, tuple[NoteItem, ...]] = field(default_factory=dict)

    @property
    def amount_minor(self) -> int:
        return sum(self.shares_minor.values())


def early_invoice(
    invoice_id: UUID, lines: Iterable[Line], left_minor: Mapping[UUID, int]
) -> EarlyInvoice:
    """Return a progressive invoice of whose lines so much is left for credit notes."""
    left = (EarlyLine(one.line_id, fee_key(one.fee), left_minor[one.line_id]) for one in lines)
    return EarlyInvoice(invoice_id, tuple(left))


def joined(periods: Iterable[tuple[UUID, EarlyCredit]]) -> Early:
    """Return the credits of an invoice's periods, given with the newest invoice of each."""
    shares: dict[UUID, int] = {}
    given: dict[UUID, tuple[NoteItem, ...]] = {}
    credits: list[ProgressiveCredit] = []
    for newest, one in periods:
        shares.update(one.shares_minor)
        given.update(one.given_back)
        if one.amount_minor:
            credits.append(ProgressiveCredit(newest, one.amount_minor))
    return Early(shares, tuple(credits), given)


def credit_early(lines: Sequence[Line], early: Sequence[EarlyInvoice]) -> EarlyCredit:
    """Return what the `lines` of one period credit of its progressive invoices, oldest first.

    No line takes more than it costs, and all together no more than the period does, which fees
    below zero make cheaper. 20 billed early of a charge that costs 19 are 19, and a note on 1.
    """
    owed: Counter[FeeKey] = Counter()
    for one in early:
        for billed in one.lines:
            owed[billed.key] += billed.left_minor
    room = max(0, sum(line.fee.amount_minor for line in lines))
    shares: Counter[UUID] = Counter()
    for line in lines:
        taken = min(owed[fee_key(line.fee)], max(line.fee.amount_minor, 0), room)
        owed[fee_key(line.fee)] -= taken
        shares[line.line_id] += taken
        room -= taken
    left: Counter[str] = Counter()
    for key, amount in owed.items():
        left[charge_of(key)] += amount
    for line in lines:
        code, open_minor = line.fee.charge_code, line.fee.amount_minor - shares[line.line_id]
        taken = min(left[code], max(open_minor, 0), room)
        left[code] -= taken
        shares[line.line_id] += taken
        room -= taken
    shown = {line_id: share for line_id, share in shares.items() if share}
    return EarlyCredit(shown, _give_back(left, early))


def items_of(lines: Iterable[EarlyLine], amount_minor: int) -> list[NoteItem]:
    """Return what is given back of lines that were billed: the largest first, equal ones in order.

    Of 80 and 40, 100 are 80 and 20.

    Raises:
        CreditExceedsInvoice: they have less.
    """
    items: list[NoteItem] = []
    wanted = amount_minor
    for line in sorted(lines, key=lambda line: -line.left_minor):
        taken = min(wanted, line.left_minor)
        if taken > 0:
            items.append(NoteItem(line.line_id, taken))
            wanted -= taken
    if wanted:
        raise CreditExceedsInvoice(
            f"{amount_minor} cannot be given back, the lines have {amount_minor - wanted} left"
        )
    return items


def _give_back(
    left: Mapping[str, int], early: Sequence[EarlyInvoice]
) -> dict[UUID, tuple[NoteItem, ...]]:
    """Return what is given back of each invoice, the newest first, by charge."""
    wanted = {code: amount for code, amount in left.items() if amount}
    given: dict[UUID, tuple[NoteItem, ...]] = {}
    for one in reversed(early):
        items: list[NoteItem] = []
        for code in wanted:
            of_charge = [line for line in one.lines if charge_of(line.key) == code]
            amount = min(wanted[code], sum(line.left_minor for line in of_charge))
            items += items_of(of_charge, amount)
            wanted[code] -= amount
        if items:
            given[one.invoice_id] = tuple(items)
    return given
