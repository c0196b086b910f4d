"""What is due of an invoice, what became of its payment, and when it is overdue."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from services.invoicing.domain.payment import (
    InvoicePaymentStatus,
    PaymentExceedsDue,
    Receivable,
    overdue_at,
    pay,
)

ASKED = Receivable(invoice_id=uuid4(), total_minor=100)


@pytest.mark.parametrize(
    ("changes", "due", "status"),
    [
        ({}, 100, "pending"),
        ({"paid_minor": 40}, 60, "partially_paid"),
        ({"paid_minor": 40, "charging_minor": 60}, 60, "processing"),
        ({"paid_minor": 40, "last_failed": True}, 60, "failed"),
        ({"paid_minor": 40, "offset_minor": 60}, 0, "succeeded"),
        ({"paid_minor": 100, "last_failed": True}, 0, "succeeded"),
        ({"paid_minor": 130}, 0, "succeeded"),
        ({"total_minor": 0}, 0, "succeeded"),
    ],
)
def test_due_is_total_less_paid_less_offset_and_the_status_follows(
    changes: dict[str, Any], due: int, status: str
) -> None:
    receivable = replace(ASKED, **changes)
    assert (receivable.due_minor, receivable.status) == (due, InvoicePaymentStatus(status))


def test_no_more_is_paid_than_is_due_beside_what_is_being_charged() -> None:
    assert pay(replace(ASKED, last_failed=True), 30) == replace(ASKED, paid_minor=30)
    assert pay(ASKED, 100).due_minor == 0
    with pytest.raises(PaymentExceedsDue, match="100 due; 101"):
        pay(ASKED, 101)
    charging = replace(ASKED, charging_minor=60)
    assert pay(charging, 40).payable_minor == 0
    with pytest.raises(PaymentExceedsDue, match="60 are being charged; 41"):
        pay(charging, 41)


def test_an_invoice_is_overdue_from_the_day_after_its_due_date_in_its_zone() -> None:
    at = overdue_at(date(2026, 3, 31), "Australia/Melbourne")
    assert at == datetime(2026, 3, 31, 13, tzinfo=UTC)  # Eleven hours ahead.
    asked = replace(ASKED, overdue_at=at)
    assert not asked.falls_overdue(at - timedelta(microseconds=1))
    assert asked.falls_overdue(at)
    assert not replace(asked, paid_minor=100).falls_overdue(at)
    told = replace(asked, overdue=True)
    assert (told.falls_overdue(at), told.overdue_now) == (False, True)
    assert not replace(told, paid_minor=100).overdue_now
