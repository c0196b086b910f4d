"""Numbers of invoices and credit notes: two sequences without gaps each, one of which is shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from services.invoicing.domain.party import BillingEntity, KnownCustomer, Numbering


@dataclass(frozen=True, slots=True)
class Sequence:
    """Where an invoice stands: among all of its entity's, and among its customer's there, from 1.

    Both advance with every finalized invoice, whichever the number shows, so that an entity that
    changes its numbering goes on without a gap. Self-billed ones are not among their entity's.
    """

    of_entity: int | None
    of_customer: int


@dataclass(frozen=True, slots=True)
class Place:
    """Whose series a document takes its numbers from."""

    entity_code: str
    customer_id: str
    self_billed: bool = False


def place_of(entity_code: str, customer: KnownCustomer) -> Place:
    """Return whose series a document of an entity for a customer takes its numbers from."""
    profile = customer.profile
    return Place(entity_code, profile.customer_id, profile.self_billed)


def invoice_number(
    entity: BillingEntity, *, sequence: Sequence, customer_number: int, finalized_at: datetime
) -> str:
    """Return PREFIX-YYYYMM-NNN or PREFIX-CCC-NNN, as the entity numbers.

    The month is that of finalization in the entity's zone: 23:10Z on 30 September is 202310 in
    Paris. The sequence does not start over with the month; CCC is the customer's own number. A
    self-billed invoice, which is not in the entity's sequence, always has the second form.
    """
    if entity.numbering is Numbering.PER_CUSTOMER or sequence.of_entity is None:
        return f"{entity.number_prefix}-{customer_number:03}-{sequence.of_customer:03}"
    month = finalized_at.astimezone(ZoneInfo(entity.time_zone))
    return f"{entity.number_prefix}-{month:%Y%m}-{sequence.of_entity:03}"


def credit_note_number(
    entity: BillingEntity, *, sequence: Sequence, customer_number: int, issued_at: datetime
) -> str:
    """Return the number of a credit note: like an invoice's, with -CN after the prefix."""
    noting = replace(entity, number_prefix=f"{entity.number_prefix}-CN")
    return invoice_number(
        noting, sequence=sequence, customer_number=customer_number, finalized_at=issued_at
    )
