"""Invoices to look at and to test with: numbers that can be checked in the head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from libs.money import round_minor
from libs.period import DayPeriod
from services.invoicing.domain.coupon import OpenCoupon, use_coupons
from services.invoicing.domain.invoice import (
    Content,
    Invoice,
    Status,
    compose,
    with_coupons,
    with_taxes,
)
from services.invoicing.domain.line import BreakdownRow, Fee, FeeKind, RatedPeriod
from services.invoicing.domain.party import Address, Party
from services.invoicing.domain.tax import Tax, TaxTerms

ZONE = "Australia/Melbourne"
INVOICE_ID = UUID("0193d1a0-0000-7000-8000-000000000001")
FINALIZED_AT = datetime(2014, 1, 31, 13, 10, 0, 123_456, tzinfo=UTC)
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
GST = Tax("gst", "GST", Decimal(10))

SELLER = Party(
    name="Tally Energy Pty Ltd",
    address=Address(
        lines=("Level 12", "101 Collins Street"),
        city="Melbourne",
        postal_code="3000",
        region="VIC",
        country_code="AU",
    ),
    tax_id="51 824 753 556",
)
BUYER = Party(
    name="Yarra Manufacturing & Sons",
    address=Address(
        lines=("88 Smith Street",),
        city="Fitzroy",
        postal_code="3065",
        region="VIC",
        country_code="AU",
    ),
    tax_id="33 102 417 032",
    email="accounts@yarra.example",
)


def row(
    units: str, unit_amount: str, *, label: str = "units", up_to: str = "", flat: str = "0"
) -> BreakdownRow:
    """A step of a price that adds units x unit_amount + flat."""
    amount = Decimal(units) * Decimal(unit_amount) + Decimal(flat)
    bound = Decimal(up_to) if up_to else None
    return BreakdownRow(label, Decimal(units), Decimal(unit_amount), Decimal(flat), amount, bound)


def usage_fee(
    code: str,
    rows: Sequence[BreakdownRow],
    *,
    description: str,
    filter_code: str = "",
    currency: str = "AUD",
) -> Fee:
    """A fee of usage, of the sum of `rows`."""
    exact = sum((one.amount for one in rows), Decimal(0))
    return Fee(
        kind=FeeKind.USAGE,
        charge_code=code,
        filter_code=filter_code,
        meter_code=code,
        description=description,
        units=sum((one.units for one in rows), Decimal(0)),
        event_count=1_486,
        exact_amount=exact,
        amount_minor=round_minor(exact, currency),
        breakdown=tuple(rows),
    )


def base_fee(amount: str, *, currency: str = "AUD") -> Fee:
    """A base fee."""
    exact = Decimal(amount)
    return Fee(
        kind=FeeKind.BASE,
        charge_code="",
        filter_code="",
        meter_code="",
        description="Network access",
        units=Decimal(1),
        event_count=0,
        exact_amount=exact,
        amount_minor=round_minor(exact, currency),
        breakdown=(row("1", amount),),
    )


def rated(
    fees: Sequence[Fee],
    *,
    period: int = 1,
    sequence: int = 0,
    subscription: str = "meter-3065-01",
    first_day: date = date(2014, 1, 1),
    end_day: date = date(2014, 2, 1),
    late_version: int = 0,
) -> RatedPeriod:
    """The fees of a period; `period` numbers it."""
    return RatedPeriod(
        period_id=UUID(int=period),
        late_version=late_version,
        sequence=sequence,
        subscription_id=subscription,
        plan_code="electricity",
        plan_name="Electricity",
        plan_version=1,
        period=DayPeriod(first_day, end_day).instants(ZoneInfo(ZONE)),
        first_day=first_day,
        end_day=end_day,
        time_zone=ZONE,
        fees=tuple(fees),
        usage_traceparents=(),
        trace_id=TRACE_ID,
    )


def amount_fee(amount_minor: int, *, code: str = "calls") -> Fee:
    """A fee of so many cents."""
    exact = Decimal(amount_minor).scaleb(-2)
    return replace(
        usage_fee(code, [row("1", "0")], description="Calls"),
        exact_amount=exact,
        amount_minor=amount_minor,
    )


def draft(currency: str = "AUD") -> Invoice:
    """A draft without lines."""
    return Invoice(
        invoice_id=INVOICE_ID,
        status=Status.DRAFT,
        customer_id="yarra-manufacturing",
        currency=currency,
        group_day=date(2014, 2, 1),
        time_zone=ZONE,
        finalize_at=FINALIZED_AT,
        created_at=FINALIZED_AT - timedelta(minutes=1),
        trace_headers={},
        seller=SELLER,
        buyer=BUYER,
    )


def composed(
    invoice_id: UUID,
    periods: Iterable[RatedPeriod],
    taxes: Sequence[Tax] = (),
    early_minor: Mapping[UUID, int] | None = None,
    *,
    coupons: Sequence[OpenCoupon] = (),
    currency: str = "AUD",
) -> Content:
    """What an invoice of these periods bills, where fees that name no tax bear `taxes`."""
    content = compose(invoice_id, periods, early_minor)
    content = with_coupons(content, use_coupons(content.lines, currency, coupons))
    codes = tuple(tax.code for tax in taxes)
    return with_taxes(content, TaxTerms(codes, {tax.code: tax for tax in taxes}))


def billed(periods: Sequence[RatedPeriod], *, taxes: Sequence[Tax] = (GST,)) -> Invoice:
    """A draft that bills `periods`."""
    content = composed(INVOICE_ID, periods, taxes)
    return replace(
        draft(),
        lines=content.lines,
        taxes=content.taxes,
        subtotal_minor=content.subtotal_minor,
        tax_minor=content.tax_minor,
        total_minor=content.gross_minor,
    )


def finalized(invoice: Invoice, *, credits_minor: int = 0) -> Invoice:
    """The same, numbered and dated."""
    return replace(
        invoice,
        status=Status.FINALIZED,
        number="INV-201402-007",
        issue_date=date(2014, 2, 1),
        due_date=date(2014, 2, 15),
        finalized_at=FINALIZED_AT,
        trace_id=TRACE_ID,
        credits_minor=credits_minor,
        total_minor=invoice.total_minor - credits_minor,
    )


def electricity() -> list[RatedPeriod]:
    """A month of electricity, with an adjustment of the month before."""
    workday = [
        row("1500", "92.5", label="tier", up_to="1500"),
        row("820.4375", "78.125", label="tier", flat="25"),
    ]
    weekend = [row("611.03125", "54")]
    month = rated(
        [
            base_fee("180"),
            usage_fee("energy_mwh", workday, description="Energy", filter_code="workday"),
            usage_fee("energy_mwh", weekend, description="Energy", filter_code="weekend"),
            usage_fee("peak_gw", [row("8.71", "1200.50")], description="Peak demand"),
            usage_fee("readings", [row("1486", "0")], description="Meter readings"),
        ],
        period=2,
    )
    late = rated(
        [
            usage_fee(
                "energy_mwh",
                [row("-12.5", "54")],
                description="Energy",
                filter_code="weekend",
            )
        ],
        period=1,
        sequence=1,
        first_day=date(2013, 12, 1),
        end_day=date(2014, 1, 1),
    )
    return [month, late]
