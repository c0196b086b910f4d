"""Numbers and dates of invoices."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from services.invoicing.domain.invoice import issue_date
from services.invoicing.domain.numbering import Sequence, invoice_number
from services.invoicing.domain.party import (
    BillingEntity,
    Customer,
    IssueAdjustment,
    IssueAnchor,
    KnownCustomer,
    Numbering,
)
from tests.vectors.given import Given

NUMBERINGS = {"per_customer": Numbering.PER_CUSTOMER, "per_billing_entity": Numbering.PER_ENTITY}
ADJUSTMENTS = {
    "align_with_finalization_date": IssueAdjustment.ALIGN_WITH_FINALIZATION,
    "keep_anchor": IssueAdjustment.KEEP_ANCHOR,
}
BILLING_DAY = date(2024, 3, 1)
AT = datetime(2024, 3, 1, tzinfo=UTC)


def number(given: Given) -> dict[str, Any]:
    """Return the number of an invoice."""

    def count(key: str) -> int:
        return int(given.value(key)) if given.has(key) else 0

    def text(key: str, default: str) -> str:
        return given.text(key) if given.has(key) else default

    entity = BillingEntity(
        number_prefix=given.text("prefix"),
        numbering=NUMBERINGS[given.text("numbering")],
        time_zone=text("billing_entity_timezone", "UTC"),
    )
    own = given.has("self_billed") and bool(given.value("self_billed"))
    shown = invoice_number(
        entity,
        sequence=Sequence(None if own else count("entity_sequence"), count("invoice_sequence")),
        customer_number=count("customer_sequence"),
        finalized_at=datetime.fromisoformat(text("finalized_at", AT.isoformat())),
    )
    return {"number": shown}


def issuing(given: Given) -> dict[str, Any]:
    """Return how many days after the day of billing an invoice is dated that waits for its grace.

    What is not billed by the period waits for its finalization, whatever the settings.
    """
    own, entity = _settings(given.inner("customer")), _settings(given.inner("billing_entity"))
    buyer = KnownCustomer(Customer(customer_id="c", **own), 1, AT)
    seller = BillingEntity(**entity)
    finalized = BILLING_DAY + timedelta(days=buyer.grace_days(seller))
    issued = finalized
    if given.value("periodic_invoice"):
        anchor, adjustment = buyer.issue_anchor(seller), buyer.issue_adjustment(seller)
        issued = issue_date(BILLING_DAY, finalized, anchor, adjustment)
    return {"days_after_the_billing_day": (issued - BILLING_DAY).days}


def _settings(given: Given) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if given.has("issuing_date_anchor"):
        found["issue_anchor"] = IssueAnchor(given.text("issuing_date_anchor"))
    if given.has("issuing_date_adjustment"):
        found["issue_adjustment"] = ADJUSTMENTS[given.text("issuing_date_adjustment")]
    if given.has("invoice_grace_period_days"):
        found["grace_days"] = int(given.value("invoice_grace_period_days"))
    return found
