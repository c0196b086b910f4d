"""Who sells and who buys."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from libs.errors import NotFound
from services.invoicing.domain.coupon import CouponOrder

ENTITY_CODE = "default"  # The one billing entity that a tenant has for now.


class CustomerNotFound(NotFound):
    """The tenant has no such customer."""

    reason = "CUSTOMER_NOT_FOUND"


class Numbering(StrEnum):
    """Which of its two sequences an invoice shows in its number."""

    PER_ENTITY = "per_entity"
    PER_CUSTOMER = "per_customer"


class ZeroInvoices(StrEnum):
    """What happens to an invoice of nothing."""

    FINALIZE = "finalize"
    SKIP = "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A postal address; every part may be empty."""

    lines: tuple[str, ...] = ()
    city: str = ""
    postal_code: str = ""
    region: str = ""
    country_code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingEntity:
    """The legal seller and its habits; the defaults are those of a tenant that set nothing."""

    name: str = ""
    address: Address = field(default_factory=Address)
    tax_id: str = ""
    number_prefix: str = "INV"
    numbering: Numbering = Numbering.PER_ENTITY
    time_zone: str = "UTC"
    default_tax_codes: tuple[str, ...] = ()
    grace_days: int = 0
    net_terms_days: int = 0
    zero_invoices: ZeroInvoices = ZeroInvoices.FINALIZE
    coupon_order: CouponOrder = CouponOrder.SCOPE_THEN_AGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """The billing profile of a customer, as far as the client decides it."""

    customer_id: str
    name: str = ""
    email: str = ""
    address: Address = field(default_factory=Address)
    tax_id: str = ""
    tax_codes: tuple[str, ...] = ()
    tax_exempt: bool = False
    tax_exempt_reason: str = ""
    reverse_charge: bool = False  # The customer owes the tax: documents say so, and have none.
    time_zone: str = ""  # Empty: the entity's.
    metadata: dict[str, str] = field(default_factory=dict)
    stub: bool = False  # Nothing is known but what the fact said in which it was met first.

    @property
    def tax_note(self) -> str:
        """Why documents have no tax; empty if they may have."""
        title = "Reverse charge" if self.reverse_charge else "Exempt from tax"
        if not (self.tax_exempt or self.reverse_charge):
            return ""
        return f"{title}: {self.tax_exempt_reason}" if self.tax_exempt_reason else title


@dataclass(frozen=True, slots=True)
class KnownCustomer:
    """A stored customer; `number` counts the tenant's customers from 1, for invoice numbers."""

    profile: Customer
    number: int
    created_at: datetime

    def zone_name(self, entity: BillingEntity) -> str:
        """Return the IANA name of the customer's zone."""
        return self.profile.time_zone or entity.time_zone

    def tax_codes(self, entity: BillingEntity) -> tuple[str, ...] | None:
        """Return the taxes of what names none: the customer's before the entity's; None: no tax.

        One level wins whole.
        """
        if self.profile.tax_note:
            return None
        return self.profile.tax_codes or entity.default_tax_codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A party as it stands on a document, frozen with it."""

    name: str
    address: Address = field(default_factory=Address)
    tax_id: str = ""
    email: str = ""
    tax_note: str = ""  # Of a buyer: why it bears no tax.


def seller_of(entity: BillingEntity) -> Party:
    """Return the seller as documents show it."""
    return Party(name=entity.name, address=entity.address, tax_id=entity.tax_id)


def buyer_of(customer: Customer) -> Party:
    """Return the customer as documents show it: by its id while it has no name."""
    return Party(
        name=customer.name or customer.customer_id,
        address=customer.address,
        tax_id=customer.tax_id,
        email=customer.email,
        tax_note=customer.tax_note,
    )
