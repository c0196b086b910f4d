"""Payments of invoices, and what came of an invoice's payment: due = total - paid - offset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from libs.errors import InvalidInput, NotFound, Refused
from libs.money import Money
from libs.period import local_midnight

MANUAL = "manual"  # The provider of payments that are recorded by hand.


class PaymentNotFound(NotFound):
    """The tenant has no such payment."""

    reason = "PAYMENT_NOT_FOUND"


class PaymentMethodNotFound(NotFound):
    """The customer has no payment method that could be charged."""

    reason = "PAYMENT_METHOD_NOT_FOUND"


class InvoiceNotPayable(Refused):
    """Nothing of an invoice is due before it is frozen, or after it is voided."""

    reason = "INVOICE_NOT_PAYABLE"


class PaymentExceedsDue(Refused):
    """Less of an invoice is due than is to be paid."""

    reason = "PAYMENT_EXCEEDS_DUE"


class CurrencyMismatch(InvalidInput):
    """A payment in another currency than its invoice."""

    reason = "CURRENCY_MISMATCH"


class PaymentStatus(StrEnum):
    """Where a payment stands."""

    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class InvoicePaymentStatus(StrEnum):
    """What came of an invoice's payment."""

    NONE = "none"
    PENDING = "pending"
    PROCESSING = "processing"
    PARTIALLY_PAID = "partially_paid"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """How a customer pays without being asked, by the ids that the provider gave."""

    customer_id: str
    provider: str
    provider_customer_id: str
    provider_method_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """Money for one invoice, above zero; `invoice_number` is empty while that is open."""

    payment_id: UUID
    invoice_id: UUID
    invoice_number: str
    customer_id: str
    amount: Money
    status: PaymentStatus
    provider: str
    reference: str
    received_at: datetime | None
    attempt: int
    failure_code: str
    created_at: datetime
    method: PaymentMethod | None = None  # What a provider is asked to charge.
    disputed: bool = False
    dispute_told_at: datetime | None = None  # The provider's time of the last news of a dispute.


@dataclass(frozen=True, slots=True, kw_only=True)
class Receivable:
    """What an invoice asks for, in minor units, and what became of it.

    `charge_at` is when its provider is asked next, `attempts` how often it was; `dun_at` is when to
    look at the next step of the dunning campaign, of which `dunning_step` were passed.
    `charging_minor` is what a provider was asked for and has not answered yet. `overdue_at` is
    when its due date has passed: None while it has none. What a provider takes after somebody
    paid in another way makes `paid_minor` greater than the total: nothing is due then.
    """

    invoice_id: UUID
    total_minor: int
    paid_minor: int = 0
    offset_minor: int = 0
    charging_minor: int = 0
    last_failed: bool = False
    overdue_at: datetime | None = None
    overdue: bool = False
    disputed: bool = False
    attempts: int = 0
    charge_at: datetime | None = None
    dunning_step: int = 0
    dun_at: datetime | None = None

    @property
    def due_minor(self) -> int:
        """What is to be paid, never below zero."""
        return max(0, self.total_minor - self.paid_minor - self.offset_minor)

    @property
    def payable_minor(self) -> int:
        """What may be paid beside what a provider is being asked for."""
        return max(0, self.due_minor - self.charging_minor)

    @property
    def overdue_now(self) -> bool:
        """Tell whether it was overdue, and something is due still."""
        return self.overdue and self.due_minor > 0

    def falls_overdue(self, now: datetime) -> bool:
        """Tell whether its due date has passed by `now`, and nobody was told."""
        passed = self.overdue_at is not None and self.overdue_at <= now
        return passed and not self.overdue and self.due_minor > 0

    @property
    def status(self) -> InvoicePaymentStatus:
        """What came of the payment; the last attempt that failed is told before what was paid."""
        if self.due_minor == 0:
            return InvoicePaymentStatus.SUCCEEDED
        if self.charging_minor:
            return InvoicePaymentStatus.PROCESSING
        if self.last_failed:
            return InvoicePaymentStatus.FAILED
        if self.paid_minor:
            return InvoicePaymentStatus.PARTIALLY_PAID
        return InvoicePaymentStatus.PENDING


def pay(receivable: Receivable, amount_minor: int) -> Receivable:
    """Return `receivable` after money that is there.

    Raises:
        PaymentExceedsDue: less is due, or will be once what a provider was asked for is there.
    """
    if amount_minor > receivable.payable_minor:
        charging = receivable.charging_minor
        being = f", of which {charging} are being charged" if charging else ""
        raise PaymentExceedsDue(
            f"{receivable.due_minor} due{being}; {amount_minor} cannot be paid",
            metadata={"due_minor": str(receivable.due_minor), "charging_minor": str(charging)},
        )
    return replace(receivable, paid_minor=receivable.paid_minor + amount_minor, last_failed=False)


def overdue_at(due_date: date, zone: str) -> datetime:
    """Return when a due date has passed: the first instant of the day after, in `zone`."""
    return local_midnight(due_date + timedelta(days=1), ZoneInfo(zone))
