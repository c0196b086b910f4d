"""Who sells and who buys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from libs.errors import AlreadyExists, NotFound
from services.invoicing.domain.coupon import CouponOrder

ENTITY_CODE = "default"  # The billing entity of a tenant that has made no other its default.


class CustomerNotFound(NotFound):
    """The tenant has no such customer."""

    reason = "CUSTOMER_NOT_FOUND"


class BillingEntityNotFound(NotFound):
    """The tenant has no billing entity of that code."""

    reason = "BILLING_ENTITY_NOT_FOUND"


class BillingEntityCodeTaken(AlreadyExists):
    """The tenant has a billing entity of that code."""

    reason = "BILLING_ENTITY_CODE_TAKEN"


class NumberPrefixTaken(AlreadyExists):
    """Another billing entity has, or once had, the prefix: its numbers would meet."""

    reason = "NUMBER_PREFIX_TAKEN"


class Numbering(StrEnum):
    """Which of its two sequences an invoice shows in its number."""

    PER_ENTITY = "per_entity"
    PER_CUSTOMER = "per_customer"


class ZeroInvoices(StrEnum):
    """What happens to an invoice of nothing."""

    FINALIZE = "finalize"
    SKIP = "skip"


class IssueAnchor(StrEnum):
    """What a subscription invoice is dated by."""

    NEXT_PERIOD_START = "next_period_start"
    CURRENT_PERIOD_END = "current_period_end"


class IssueAdjustment(StrEnum):
    """Whether the date waits with the invoice."""

    ALIGN_WITH_FINALIZATION = "align_with_finalization"
    KEEP_ANCHOR = "keep_anchor"


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

    code: str = ENTITY_CODE
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
    issue_anchor: IssueAnchor = IssueAnchor.NEXT_PERIOD_START
    issue_adjustment: IssueAdjustment = IssueAdjustment.ALIGN_WITH_FINALIZATION
    payment_details: str = ""
    footer: str = ""
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
    entity_code: str = ""  # Empty: the tenant's default.
    grace_days: int | None = None  # None, here and below: as the entity has it.
    net_terms_days: int | None = None
    issue_anchor: IssueAnchor | None = None
    issue_adjustment: IssueAdjustment | None = None
    self_billed: bool = False  # It writes its invoices itself: they keep to its own series.
    late_usage_days: int | None = None  # For how long usage may come late; None: for ever.

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

    def ignores(self, period_end: datetime, now: datetime) -> bool:
        """Tell whether usage of a period that comes `now` is too late to count."""
        days = self.profile.late_usage_days
        return days is not None and now > period_end + timedelta(days=days)

    def zone_name(self, entity: BillingEntity) -> str:
        """Return the IANA name of the customer's zone."""
        return self.profile.time_zone or entity.time_zone

    def grace_days(self, entity: BillingEntity) -> int:
        """Return how many days its subscription invoices stay drafts."""
        own = self.profile.grace_days
        return entity.grace_days if own is None else own

    def net_terms_days(self, entity: BillingEntity) -> int:
        """Return how many days it has to pay."""
        own = self.profile.net_terms_days
        return entity.net_terms_days if own is None else own

    def issue_anchor(self, entity: BillingEntity) -> IssueAnchor:
        """Return what its subscription invoices are dated by."""
        return self.profile.issue_anchor or entity.issue_anchor

    def issue_adjustment(self, entity: BillingEntity) -> IssueAdjustment:
        """Return whether their date waits with them."""
        return self.profile.issue_adjustment or entity.issue_adjustment

    def tax_codes(self, entity: BillingEntity) -> tuple[str, ...] | None:
        """Return the taxes of what names none: the customer's before the entity's; None: no tax.

        One level wins whole.
        """
        if self.profile.tax_note:
            return None
        return self.profile.tax_codes or entity.default_tax_codes


@dataclass(frozen=True, slots=True)
class Entities:
    """The billing entities of a tenant by code, one of which is the default."""

    by_code: Mapping[str, BillingEntity]
    default: BillingEntity

    def named(self, code: str) -> BillingEntity:
        """Return the entity of a code; empty: the default.

        Raises:
            BillingEntityNotFound: there is none.
        """
        if not code:
            return self.default
        if code not in self.by_code:
            raise BillingEntityNotFound(f"no billing entity {code}")
        return self.by_code[code]

    def selling_to(self, customer: Customer, wanted: str = "") -> BillingEntity:
        """Return who sells to a customer: `wanted` if there is such a one, else the customer's.

        A subscription may want one that does not exist: rating, which keeps it, cannot know.
        """
        own = self.by_code.get(customer.entity_code, self.default)
        return self.by_code.get(wanted, own)


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A party as it stands on a document, frozen with it.

    Of a seller also how to pay it, and what it wants at the foot of its documents.
    """

    name: str
    address: Address = field(default_factory=Address)
    tax_id: str = ""
    email: str = ""
    payment_details: str = ""
    footer: str = ""
    tax_note: str = ""  # Of a buyer: why it bears no tax.
    self_billed: bool = False  # Of a buyer: it wrote the document itself.


def seller_of(entity: BillingEntity) -> Party:
    """Return the seller as documents show it."""
    return Party(
        name=entity.name,
        address=entity.address,
        tax_id=entity.tax_id,
        payment_details=entity.payment_details,
        footer=entity.footer,
    )


def buyer_of(customer: Customer) -> Party:
    """Return the customer as documents show it: by its id while it has no name."""
    return Party(
        name=customer.name or customer.customer_id,
        address=customer.address,
        tax_id=customer.tax_id,
        email=customer.email,
        tax_note=customer.tax_note,
        self_billed=customer.self_billed,
    )
