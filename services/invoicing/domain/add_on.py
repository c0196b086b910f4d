"""What somebody bills by hand, without a billing period: units of something at a price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from libs.money import EXACT, round_minor
from libs.period import Period, local_day
from services.invoicing.domain.line import BreakdownRow, Fee, FeeKind, RatedPeriod


@dataclass(frozen=True, slots=True)
class AddOn:
    """`units` at `unit_amount` currency units each; `code` tells it from others of its invoice."""

    code: str
    name: str
    units: Decimal
    unit_amount: Decimal
    tax_codes: tuple[str, ...] = ()  # None: those of the customer.


def given(
    invoice_id: UUID, currency: str, add_ons: Sequence[AddOn], *, at: datetime, zone: str
) -> list[RatedPeriod]:
    """Return what add-ons cost as if rating had answered, or nothing if there are none.

    Their period is the invoice itself, and has no length: it is the instant `at` which the invoice
    was made. 2.5 hours at 80.00 are one fee of 200.00.
    """
    if not add_ons:
        return []
    day = local_day(at, ZoneInfo(zone))
    billed = RatedPeriod(
        period_id=invoice_id,
        late_version=0,
        sequence=0,
        subscription_id="",
        plan_code="",
        plan_name="",
        plan_version=0,
        period=Period(at, at),
        first_day=day,
        end_day=day,
        time_zone=zone,
        fees=tuple(fee_of(add_on, currency) for add_on in add_ons),
        usage_traceparents=(),
        trace_id="",
    )
    return [billed]


def fee_of(add_on: AddOn, currency: str) -> Fee:
    """Return the fee of an add-on, rounded once."""
    exact = EXACT.multiply(add_on.units, add_on.unit_amount)
    step = BreakdownRow("units", add_on.units, add_on.unit_amount, Decimal(0), exact, None)
    return Fee(
        kind=FeeKind.ADD_ON,
        charge_code=add_on.code,
        filter_code="",
        meter_code="",
        description=add_on.name,
        units=add_on.units,
        event_count=0,
        exact_amount=exact,
        amount_minor=round_minor(exact, currency),
        breakdown=(step,),
        tax_codes=add_on.tax_codes,
    )
