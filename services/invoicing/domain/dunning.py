"""Dunning: when a customer is asked again for what is overdue, and for how much at least."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from libs.errors import NotFound, Refused
from libs.money import Money
from libs.period import local_midnight


class PaymentRequestNotFound(NotFound):
    """The tenant has no such payment request."""

    reason = "PAYMENT_REQUEST_NOT_FOUND"


class NothingDue(Refused):
    """A customer owes nothing in the currency, or nothing that is overdue."""

    reason = "NOTHING_DUE"


@dataclass(frozen=True, slots=True)
class Campaign:
    """Steps by days after the due date, rising, and by currency the least that is asked for."""

    step_days: tuple[int, ...] = ()
    thresholds: Mapping[str, int] = field(default_factory=dict)

    def asks_for(self, currency: str, overdue_minor: int) -> bool:
        """Tell whether a customer is asked for so much."""
        least = self.thresholds.get(currency)
        return least is not None and overdue_minor >= least


@dataclass(frozen=True, slots=True)
class Requested:
    """An invoice as a payment request asks for it; `due_minor` is what is due now."""

    invoice_id: UUID
    number: str
    requested_minor: int
    due_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRequest:
    """What a customer is asked for; `step` counts from 1, 0 is one that was made by hand."""

    payment_request_id: UUID
    customer_id: str
    amount: Money
    invoices: tuple[Requested, ...]
    step: int
    created_at: datetime

    @property
    def due_minor(self) -> int:
        return sum(one.due_minor for one in self.invoices)


def allot(amount_minor: int, due_minor: Sequence[int]) -> list[int]:
    """Return how much of an amount pays each of what is due, in that order: 70 of 50, 50: 50, 20.

    It is at most the sum of what is due.
    """
    parts: list[int] = []
    for due in due_minor:
        parts.append(min(due, amount_minor - sum(parts)))
    return parts


def steps_passed(campaign: Campaign, due_date: date, zone: str, *, now: datetime) -> int:
    """Return how many steps of an invoice have come by `now`: each at midnight in `zone`.

    Due on Jan 10, with steps after 3 and 7 days: none on Jan 12, one on Jan 13, two on Jan 17.
    """
    return sum(_step_at(days, due_date, zone) <= now for days in campaign.step_days)


def next_step_at(campaign: Campaign, due_date: date, zone: str, *, passed: int) -> datetime | None:
    """Return when the step after so many comes; None: that was the last."""
    if passed >= len(campaign.step_days):
        return None
    return _step_at(campaign.step_days[passed], due_date, zone)


def _step_at(days: int, due_date: date, zone: str) -> datetime:
    return local_midnight(due_date + timedelta(days=days), ZoneInfo(zone))
