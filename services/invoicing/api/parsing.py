"""Requests of callers, read field by field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import TypeVar

from google.protobuf.message import Message

from libs.errors import FieldInvalid
from libs.wire import (
    EnumType,
    Faults,
    PageTokenInvalid,
    check_codes,
    parse_code,
    parse_decimal,
    parse_enum,
    parse_page_token,
    parse_text,
    parse_zone,
)
from services.invoicing.document.render import Format
from services.invoicing.domain.coupon import CouponOrder
from services.invoicing.domain.party import (
    Address,
    BillingEntity,
    Customer,
    IssueAdjustment,
    IssueAnchor,
    Numbering,
    ZeroInvoices,
)
from services.invoicing.domain.tax import Tax
from tally.invoicing.v1 import (
    customer_service_pb2,
    document_pb2,
    tax_service_pb2,
    tenant_service_pb2,
)

Request = TypeVar("Request", bound=Message)

PREFIX = re.compile(r"(?!.*-CN$)(?=.{1,12}$)[A-Z0-9]+(-[A-Z0-9]+)*", re.ASCII)
COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
ADDRESS_LINES_MAX = 4
METADATA_MAX = 50
METADATA_KEY_BYTES_MAX = 64
METADATA_VALUE_BYTES_MAX = 500
RATE_MAX = Decimal(100)
GRACE_DAYS_MAX = 60
NET_TERMS_DAYS_MAX = 365
LATE_DAYS_MAX = 366
NOTICE_BYTES_MAX = 500


def present(request: Request, field: str) -> Request:
    """Return `request` if it has the message `field`.

    Raises:
        FieldInvalid: it has not.
    """
    if not request.HasField(field):
        raise FieldInvalid(field, "is missing")
    return request


def parse_after(token: str) -> str:
    """Read the token of a page after a name."""
    [after] = parse_page_token(token, str) or ("",)
    return parse_text(str(after), "page_token", required=False)


def parse_before(token: str) -> int | None:
    """Read the token of a page before an ordinal, which is above zero and fits into int8."""
    match parse_page_token(token, int):
        case [int(before)] if 0 < before < 2**63:
            return before
        case []:
            return None
    raise PageTokenInvalid("page_token was not made by this list: start from the first page")


def parse_format(value: int) -> Format:
    """Read what a document is to be rendered as."""
    enum = document_pb2.DocumentFormat
    return Format(parse_choice(value, enum, "format", "DOCUMENT_FORMAT_") or Format.PDF)


def parse_customer(message: customer_service_pb2.Customer) -> Customer:
    """Read a customer; what the service decides itself is passed over.

    Raises:
        FieldInvalid, FieldsInvalid: every field that cannot be read.
    """
    faults = Faults()
    with faults.gathered():
        parse_text(message.customer_id, "customer.customer_id")
    with faults.gathered():
        parse_text(message.name, "customer.name", required=False)
    with faults.gathered():
        parse_text(message.email, "customer.email", required=False)
    with faults.gathered():
        parse_text(message.tax_id, "customer.tax_id", required=False)
    if message.time_zone:
        with faults.gathered():
            parse_zone(message.time_zone, "customer.time_zone")
    with faults.gathered():
        check_metadata(message.metadata)
    check_codes(message.tax_codes, "customer.tax_codes", faults)
    with faults.gathered():
        parse_text(message.tax_exempt_reason, "customer.tax_exempt_reason", required=False)
    if message.tax_exempt_reason and not (message.tax_exempt or message.reverse_charge):
        faults.add("customer.tax_exempt_reason", "is only for customers that bear no tax")
    address = parse_address(message.address, "customer.address", faults)
    if message.billing_entity_code:
        with faults.gathered():
            parse_code(message.billing_entity_code, "customer.billing_entity_code")
    check_between(message.grace_days, GRACE_DAYS_MAX, "customer.grace_days", faults)
    check_between(message.net_terms_days, NET_TERMS_DAYS_MAX, "customer.net_terms_days", faults)
    check_between(message.late_usage_days, LATE_DAYS_MAX, "customer.late_usage_days", faults)
    anchor, adjustment = parse_dating(message, "customer", faults)
    faults.check()
    return Customer(
        customer_id=message.customer_id,
        name=message.name,
        email=message.email,
        address=address,
        tax_id=message.tax_id,
        tax_codes=tuple(message.tax_codes),
        tax_exempt=message.tax_exempt,
        tax_exempt_reason=message.tax_exempt_reason,
        reverse_charge=message.reverse_charge,
        time_zone=message.time_zone,
        metadata=dict(message.metadata),
        entity_code=message.billing_entity_code,
        grace_days=message.grace_days if message.HasField("grace_days") else None,
        net_terms_days=message.net_terms_days if message.HasField("net_terms_days") else None,
        issue_anchor=anchor,
        issue_adjustment=adjustment,
        self_billed=message.self_billed,
        late_usage_days=message.late_usage_days if message.HasField("late_usage_days") else None,
    )


def parse_entity(message: tenant_service_pb2.BillingEntity) -> BillingEntity:
    """Read a billing entity, with the defaults for what is empty.

    Raises:
        FieldInvalid, FieldsInvalid: every field that cannot be read.
    """
    faults = Faults()
    at = "billing_entity"
    if message.code:
        with faults.gathered():
            parse_code(message.code, f"{at}.code")
    with faults.gathered():
        parse_text(message.name, f"{at}.name", required=False)
    with faults.gathered():
        parse_text(message.tax_id, f"{at}.tax_id", required=False)
    with faults.gathered():
        parse_zone(message.time_zone, f"{at}.time_zone", default="UTC")
    prefix = message.number_prefix or BillingEntity().number_prefix
    if not PREFIX.fullmatch(prefix):
        rule = "must be 1 to 12 of A-Z 0-9 with single hyphens between them, not ending in -CN"
        faults.add(f"{at}.number_prefix", rule)
    check_between(message.grace_days, GRACE_DAYS_MAX, f"{at}.grace_days", faults)
    check_between(message.net_terms_days, NET_TERMS_DAYS_MAX, f"{at}.net_terms_days", faults)
    check_codes(message.default_tax_codes, f"{at}.default_tax_codes", faults)
    address = parse_address(message.address, f"{at}.address", faults)
    numbering, zero_invoices, coupon_order = parse_habits(message, at, faults)
    anchor, adjustment = parse_dating(message, at, faults)
    for name in ("payment_details", "footer"):
        with faults.gathered():
            parse_text(
                getattr(message, name), f"{at}.{name}", bytes_max=NOTICE_BYTES_MAX, required=False
            )
    faults.check()
    return BillingEntity(
        code=message.code,
        name=message.name,
        address=address,
        tax_id=message.tax_id,
        number_prefix=prefix,
        numbering=numbering,
        time_zone=message.time_zone or "UTC",
        default_tax_codes=tuple(message.default_tax_codes),
        grace_days=message.grace_days,
        net_terms_days=message.net_terms_days,
        zero_invoices=zero_invoices,
        coupon_order=coupon_order,
        issue_anchor=anchor or IssueAnchor.NEXT_PERIOD_START,
        issue_adjustment=adjustment or IssueAdjustment.ALIGN_WITH_FINALIZATION,
        payment_details=message.payment_details,
        footer=message.footer,
    )


def parse_habits(
    message: tenant_service_pb2.BillingEntity, at: str, faults: Faults
) -> tuple[Numbering, ZeroInvoices, CouponOrder]:
    """Read how the entity numbers, what it does with invoices of nothing, and with coupons."""
    numbering, zero_invoices, coupon_order = "", "", ""
    with faults.gathered():
        numbering = parse_choice(
            message.numbering, tenant_service_pb2.Numbering, f"{at}.numbering", "NUMBERING_"
        )
    with faults.gathered():
        zero_invoices = parse_choice(
            message.zero_invoices,
            tenant_service_pb2.ZeroInvoices,
            f"{at}.zero_invoices",
            "ZERO_INVOICES_",
        )
    with faults.gathered():
        coupon_order = parse_choice(
            message.coupon_order,
            tenant_service_pb2.CouponOrder,
            f"{at}.coupon_order",
            "COUPON_ORDER_",
        )
    return (
        Numbering(numbering or Numbering.PER_ENTITY),
        ZeroInvoices(zero_invoices or ZeroInvoices.FINALIZE),
        CouponOrder(coupon_order or CouponOrder.SCOPE_THEN_AGE),
    )


def parse_dating(
    message: tenant_service_pb2.BillingEntity | customer_service_pb2.Customer,
    at: str,
    faults: Faults,
) -> tuple[IssueAnchor | None, IssueAdjustment | None]:
    """Read how subscription invoices are dated; None where nothing is said."""
    anchor, adjustment = "", ""
    with faults.gathered():
        anchor = parse_choice(
            message.issue_anchor,
            tenant_service_pb2.IssueAnchor,
            f"{at}.issue_anchor",
            "ISSUE_ANCHOR_",
        )
    with faults.gathered():
        adjustment = parse_choice(
            message.issue_adjustment,
            tenant_service_pb2.IssueAdjustment,
            f"{at}.issue_adjustment",
            "ISSUE_ADJUSTMENT_",
        )
    return (
        IssueAnchor(anchor) if anchor else None,
        IssueAdjustment(adjustment) if adjustment else None,
    )


def parse_choice(value: int, enum: EnumType, field: str, prefix: str) -> str:
    """Read an enum whose UNSPECIFIED stands for a default: that gives ""."""
    return parse_enum(value, enum, field, prefix=prefix) if value else ""


def parse_tax(message: tax_service_pb2.Tax) -> Tax:
    """Read a tax.

    Raises:
        FieldInvalid, FieldsInvalid: every field that cannot be read.
    """
    faults = Faults()
    rate = Decimal(0)
    with faults.gathered():
        parse_code(message.code, "tax.code")
    with faults.gathered():
        parse_text(message.name, "tax.name", required=False)
    with faults.gathered():
        rate = parse_decimal(message.rate_percent, "tax.rate_percent", at_least=Decimal(0))
        if rate > RATE_MAX:
            raise FieldInvalid("tax.rate_percent", f"{rate} is above {RATE_MAX}")
    faults.check()
    return Tax(message.code, message.name, rate)


def parse_address(message: tenant_service_pb2.Address, at: str, faults: Faults) -> Address:
    """Read an address; its faults are added to `faults`."""
    if len(message.lines) > ADDRESS_LINES_MAX:
        faults.add(f"{at}.lines", f"{len(message.lines)} lines, at most {ADDRESS_LINES_MAX}")
    for place, line in enumerate(message.lines[:ADDRESS_LINES_MAX]):
        with faults.gathered():
            parse_text(line, f"{at}.lines[{place}]")
    for name in ("city", "postal_code", "region"):
        with faults.gathered():
            parse_text(getattr(message, name), f"{at}.{name}", required=False)
    if message.country_code and not COUNTRY.fullmatch(message.country_code):
        faults.add(f"{at}.country_code", f"{message.country_code[:20]!r} is not of two letters")
    return Address(
        lines=tuple(message.lines),
        city=message.city,
        postal_code=message.postal_code,
        region=message.region,
        country_code=message.country_code,
    )


def check_metadata(metadata: Mapping[str, str]) -> None:
    """Check the client's own labels.

    Raises:
        FieldInvalid: too many, or one too long.
    """
    field = "customer.metadata"
    if len(metadata) > METADATA_MAX:
        raise FieldInvalid(field, f"{len(metadata)} labels, at most {METADATA_MAX}")
    for key, value in metadata.items():
        parse_text(key, field, bytes_max=METADATA_KEY_BYTES_MAX)
        parse_text(value, f"{field}[{key}]", bytes_max=METADATA_VALUE_BYTES_MAX, required=False)


def check_between(value: int, most: int, field: str, faults: Faults) -> None:
    """Check that `value` is from 0 to `most`."""
    if not 0 <= value <= most:
        faults.add(field, f"is {value}, must be 0 to {most}")
