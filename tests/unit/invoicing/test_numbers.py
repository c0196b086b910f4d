"""Invoice numbers show the month of finalization, or the customer's own number."""

from datetime import UTC, datetime

from services.invoicing.domain.numbering import Sequence, invoice_number
from services.invoicing.domain.party import BillingEntity, Numbering

SEPTEMBER = datetime(2023, 9, 20, 12, 12, tzinfo=UTC)


def test_per_entity_the_sequence_goes_on_over_months() -> None:
    entity = BillingEntity(number_prefix="BENT1")
    number = invoice_number(
        entity, sequence=Sequence(10, 3), customer_number=2, finalized_at=SEPTEMBER
    )
    assert number == "BENT1-202309-010"


def test_the_month_is_local_to_the_entity() -> None:
    entity = BillingEntity(number_prefix="BENT11", time_zone="Europe/Paris")
    late = datetime(2023, 9, 30, 23, 10, tzinfo=UTC)
    number = invoice_number(entity, sequence=Sequence(10, 4), customer_number=1, finalized_at=late)
    assert number == "BENT11-202310-010"


def test_per_customer_the_number_shows_the_customer_and_its_own_sequence() -> None:
    entity = BillingEntity(number_prefix="BENT11", numbering=Numbering.PER_CUSTOMER)
    number = invoice_number(
        entity, sequence=Sequence(12, 4), customer_number=3, finalized_at=SEPTEMBER
    )
    assert number == "BENT11-003-004"


def test_a_self_billed_invoice_is_numbered_by_its_customer() -> None:
    entity = BillingEntity(number_prefix="BENT-11")
    number = invoice_number(
        entity, sequence=Sequence(None, 4), customer_number=3, finalized_at=SEPTEMBER
    )
    assert number == "BENT-11-003-004"


def test_more_than_999_invoices_only_make_the_number_longer() -> None:
    number = invoice_number(
        BillingEntity(), sequence=Sequence(12_345, 1), customer_number=1, finalized_at=SEPTEMBER
    )
    assert number == "INV-202309-12345"
