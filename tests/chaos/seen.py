"""What the suite says after a round, as plain data: the comparison needs no servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction

from tests.chaos.known import Identity, Usage

Place = tuple[int, int, int]  # Shard, segment and index in the log.


@dataclass(frozen=True, slots=True)
class Charged:
    """What a fee or a line says of one charge."""

    units: Decimal
    event_count: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class PeriodSeen:
    """A billing period of a subscription."""

    kind: str  # "base", "usage", "fixed" or "instant"
    start: datetime
    status: str  # "open", "due" or "closed"
    period_id: str


@dataclass(frozen=True, slots=True)
class LineSeen:
    """A line of an invoice."""

    subscription_id: str
    start: datetime  # Of what it bills.
    charge_code: str  # Empty: the base fee.
    adjustment: int  # 0: the first bill of its period.
    charged: Charged
    credits_minor: int
    period_id: str


@dataclass(frozen=True, slots=True)
class InvoiceSeen:
    """An invoice."""

    invoice_id: str
    number: str
    status: str
    customer_id: str
    lines: Sequence[LineSeen]
    subtotal_minor: int
    tax_minor: int
    credits_minor: int
    total_minor: int
    notes_minor: int = 0  # What credit notes paid of it.


@dataclass(frozen=True, slots=True)
class NoteSeen:
    """A credit note on the invoice of a period."""

    number: str
    period_id: str
    subtotal_minor: int
    total_minor: int
    balance_minor: int


@dataclass(frozen=True, slots=True)
class EntrySeen:
    """A side of a ledger transaction, on an account of a wallet."""

    transaction_id: str
    account: str
    amount_minor: int
    reason: str
    reference: str


@dataclass(frozen=True, slots=True)
class GrantSeen:
    """A grant of a wallet."""

    grant_id: str
    reference: str
    amount_minor: int
    remaining_minor: int


@dataclass(frozen=True, slots=True)
class WalletSeen:
    """A wallet with all that was done in it; `balance` is by account, as the service sums it."""

    wallet_id: str
    customer_id: str
    balance: Mapping[str, int]
    grants: Sequence[GrantSeen]
    entries: Sequence[EntrySeen]


@dataclass(frozen=True, slots=True)
class FeeSeen:
    """What one event of an instant charge costs; `amount` in minor units, exactly."""

    fee_id: str
    subscription_id: str
    charge_code: str
    place: Place
    time: datetime
    units: Decimal
    amount: Fraction
    payment: str  # "unspecified" (on invoices), "pending", "succeeded" or "failed".


@dataclass(frozen=True, slots=True)
class UnitsSeen:
    """Units of an add-on that a subscription has from a day on."""

    code: str
    units: Decimal
    from_day: date
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Stored:
    """Where an event is in the log."""

    identity: Identity
    place: Place


Fees = Mapping[str, Charged]  # By charge code.


@dataclass(frozen=True, slots=True)
class Log:
    """The log, and the usage that rating has made of it."""

    events: Sequence[tuple[Identity, Usage]]
    rejected: Sequence[Identity]
    usage: Mapping[tuple[str, datetime], Fees]  # By subscription and start of the period.
    stored: Sequence[Stored] = ()


@dataclass(frozen=True, slots=True)
class Books:
    """All that was billed and paid."""

    periods: Mapping[str, Sequence[PeriodSeen]]  # By subscription.
    invoices: Sequence[InvoiceSeen]
    wallets: Sequence[WalletSeen]
    unbalanced: Sequence[str]  # Ledger transactions and wallets whose sums are wrong, by SQL.
    fees: Sequence[FeeSeen] = ()
    # Changes of units by subscription, as they count: by day, those of a day in their order.
    units: Mapping[str, Sequence[UnitsSeen]] = field(default_factory=dict)
    notes: Sequence[NoteSeen] = ()
