"""The rows of an invoice: what was rated, frozen as it was rated."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from uuid import UUID, uuid5

from libs.period import Period


class FeeKind(StrEnum):
    """What a fee is for; wallets choose by it what they pay."""

    BASE = "base"
    USAGE = "usage"
    MINIMUM = "minimum"  # What the usage of a charge lacks of its minimum.
    FIXED = "fixed"  # Units of an add-on, whatever the usage.
    CORRECTION = "correction"  # What usage costs, less instant fees that were billed before.
    COMMITMENT = "commitment"  # What all fees of a period lack of the plan's minimum commitment.
    ADD_ON = "add_on"  # Given by hand, without a period.


# What wallets know a fee as: credits for usage pay its minimum and corrections, too, and those for
# base fees what else is due whatever the usage.
PAID_AS = {
    FeeKind.BASE: FeeKind.BASE,
    FeeKind.USAGE: FeeKind.USAGE,
    FeeKind.MINIMUM: FeeKind.USAGE,
    FeeKind.FIXED: FeeKind.BASE,
    FeeKind.CORRECTION: FeeKind.USAGE,
    FeeKind.COMMITMENT: FeeKind.BASE,
    FeeKind.ADD_ON: FeeKind.BASE,
}


@dataclass(frozen=True, slots=True)
class BreakdownRow:
    """One step of a price; `up_to` None is open or no tier.

    Amounts are in currency units, or in those of the custom `pricing_unit`.
    """

    label: str
    units: Decimal
    unit_amount: Decimal
    flat_amount: Decimal
    amount: Decimal
    up_to: Decimal | None
    pricing_unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fee:
    """The rated result of one charge, and bucket, for one period; in an adjustment a difference.

    `amount_minor` is `exact_amount` rounded once by rating, and only negative in an adjustment or a
    correction.
    """

    kind: FeeKind
    charge_code: str
    filter_code: str
    meter_code: str
    description: str
    units: Decimal
    event_count: int
    exact_amount: Decimal
    amount_minor: int
    breakdown: tuple[BreakdownRow, ...]
    group_values: tuple[tuple[str, str], ...] = ()  # Key and value of what its usage has in common.
    tax_codes: tuple[str, ...] = ()  # Of its charge or its plan; none: those of the customer.


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedPeriod:
    """A billing period with its fees, as one answer of rating gave them.

    `late_version` tells how much late usage is in them; `sequence` is 0, or that of an adjustment.
    `usage_traceparents` name the folds that brought the usage, `trace_id` the trace that rated it.
    """

    period_id: UUID
    late_version: int
    sequence: int
    subscription_id: str
    plan_code: str
    plan_name: str
    plan_version: int
    period: Period
    first_day: date
    end_day: date
    time_zone: str
    fees: tuple[Fee, ...]
    usage_traceparents: tuple[str, ...]
    trace_id: str
    settles: bool = True  # False: more of its time is billed later, as of instant fees.

    @property
    def amount_minor(self) -> int:
        return sum(fee.amount_minor for fee in self.fees)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A row of an invoice. Its id follows from what it shows, so a refresh keeps it."""

    line_id: UUID
    fee: Fee
    period_id: UUID
    adjustment_sequence: int  # 0, or 1 for the period's first adjustment, 2 for its second, …
    subscription_id: str
    plan_code: str
    plan_version: int
    period: Period
    first_day: date
    end_day: date
    time_zone: str
    trace_id: str
    progressive_credit_minor: int = 0  # What progressive invoices billed of it before.
    coupons_minor: int = 0
    tax_codes: tuple[str, ...] = ()  # What it bears.
    tax_share_minor: int = 0
    credit_notes_minor: int = 0
    credits_minor: int = 0
    folded_lines: int = 0  # How many lines this one stands for; 0: for itself, as all stored ones.

    @property
    def charged_minor(self) -> int:
        """What the line bills that was not billed before; coupons may be taken off of it."""
        return self.fee.amount_minor - self.progressive_credit_minor

    @property
    def net_minor(self) -> int:
        """What is to pay for the line, before tax."""
        return self.charged_minor - self.coupons_minor

    @property
    def gross_minor(self) -> int:
        """What is to pay for the line, its tax included."""
        return self.net_minor + self.tax_share_minor

    @property
    def payable_minor(self) -> int:
        """What credit notes leave of that for wallets to pay."""
        return self.gross_minor - self.credit_notes_minor


def lines_of(invoice_id: UUID, rated: Iterable[RatedPeriod]) -> list[Line]:
    """Return the lines of an invoice: by subscription, then time; adjustments come last.

    Of equal times base fees come first, then fixed charges; fees of a period keep the plan's order.
    """
    return [
        line_of(invoice_id, period, fee)
        for period in sorted(rated, key=place)
        for fee in period.fees
    ]


def place(rated: RatedPeriod) -> tuple[object, ...]:
    """Return where a period stands on an invoice."""
    kinds = {fee.kind for fee in rated.fees}
    last = (FeeKind.USAGE in kinds, FeeKind.FIXED in kinds)
    start = rated.period.start
    return rated.sequence > 0, rated.subscription_id, start, last, rated.sequence, rated.period_id


def line_id_of(invoice_id: UUID, period_id: UUID, sequence: int, fee: Fee) -> UUID:
    """Return the id of the line that shows `fee` of a period: whatever it costs."""
    shown = [period_id, sequence, fee.kind, fee.charge_code, fee.filter_code]
    if fee.group_values:
        shown.append(json.dumps(fee.group_values))
    return uuid5(invoice_id, "/".join(map(str, shown)))


def line_of(invoice_id: UUID, rated: RatedPeriod, fee: Fee) -> Line:
    """Return the line that shows `fee`."""
    return Line(
        line_id=line_id_of(invoice_id, rated.period_id, rated.sequence, fee),
        fee=fee,
        period_id=rated.period_id,
        adjustment_sequence=rated.sequence,
        subscription_id=rated.subscription_id,
        plan_code=rated.plan_code,
        plan_version=rated.plan_version,
        period=rated.period,
        first_day=rated.first_day,
        end_day=rated.end_day,
        time_zone=rated.time_zone,
        trace_id=rated.trace_id,
    )


def with_credits(lines: Sequence[Line], shares_minor: Mapping[UUID, int]) -> list[Line]:
    """Return `lines` less what progressive invoices billed of them, given by their ids."""
    return [
        replace(line, progressive_credit_minor=shares_minor.get(line.line_id, 0)) for line in lines
    ]
