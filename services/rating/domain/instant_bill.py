"""Bills of instant fees before their usage period ends, and the correction when it does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from libs.money import EXACT, Money, exact_sum, round_minor, to_decimal
from services.rating.domain.fee import Fee, FeeKey, FeeKind
from services.rating.domain.instant_charge import Settle
from services.rating.domain.instant_fee import InstantFee
from services.rating.domain.instant_state import Unbilled
from services.rating.domain.plan import Charge, PlanVersion
from services.rating.domain.price import ZERO, Row, amount_of, flat_row

RENEWAL = "renewal"


@dataclass(frozen=True, slots=True)
class Bill:
    """What is billed of the instant fees of a bucket and group: whole minor units.

    `rated` is what its events cost exactly; the rest of `amount_minor` is carried from before. That
    is None for fees that go on no invoice: each is paid by itself.
    """

    key: FeeKey
    meter_code: str
    display_name: str
    units: Decimal
    event_count: int
    rated: Decimal
    amount_minor: int | None

    def billed(self, currency: str) -> Decimal:
        """Return what need not be billed again, in currency units."""
        if self.amount_minor is None:
            return self.rated
        return to_decimal(Money(currency, self.amount_minor))


def is_due(charge: Charge, unbilled: Sequence[Unbilled]) -> bool:
    """Tell whether what is `unbilled` of all buckets and groups of a charge is to be billed."""
    assert charge.instant is not None
    if charge.instant.settle is not Settle.AMOUNT:
        return charge.instant.bills_early
    total = exact_sum(one.exact for one in unbilled)
    assert charge.instant.settle_amount is not None
    return total >= charge.instant.settle_amount


def settle(
    charge: Charge,
    meter_name: str,
    fees: Sequence[InstantFee],
    unbilled: Mapping[FeeKey, Unbilled],
    *,
    currency: str,
) -> tuple[list[tuple[str, list[Bill]]], dict[FeeKey, Unbilled]]:
    """Return what is billed now that a slice's `fees` have come, and what is left unbilled.

    Bills go by name: one for each event, or for the slice, or for all that a period renews; "" for
    the one of the day. `unbilled` is that of all buckets and groups of the charge, before these
    fees.
    """
    assert charge.instant is not None
    left = dict(unbilled)

    def take(keys: Iterable[FeeKey]) -> list[Bill]:
        made = [bill_of(charge, meter_name, key, left[key], currency) for key in keys]
        bills = [bill for bill in made if bill is not None]
        for bill in bills:
            left[bill.key] = left[bill.key].rest(currency)
        return bills

    found: list[tuple[str, list[Bill]]] = []
    for fee in fees:
        left[fee.key] = left.get(fee.key, Unbilled()).plus(fee)
        if charge.instant.settle is Settle.EVENT:
            found.append((_named(charge, fee, *fee.moment[1:]), take([fee.key])))
    if fees and charge.instant.settle is not Settle.EVENT and is_due(charge, list(left.values())):
        by_amount = charge.instant.settle is Settle.AMOUNT
        name = _named(charge, fees[0], *fees[0].moment[1:3]) if by_amount else ""
        found.append((name, take(sorted(left, key=str))))
    return [(name, bills) for name, bills in found if bills], left


def _named(charge: Charge, fee: InstantFee, *place: int) -> str:
    return f"{charge.code}/{RENEWAL if fee.is_renewal else '-'.join(map(str, place))}"


def bill_of(
    charge: Charge, meter_name: str, key: FeeKey, unbilled: Unbilled, currency: str
) -> Bill | None:
    """Return the bill of what is `unbilled`; None if it is below a minor unit."""
    minor = unbilled.whole_minor(currency)
    if not minor:
        return None
    return Bill(
        key=key,
        meter_code=charge.meter_code,
        display_name=charge.display_name or meter_name,
        units=unbilled.units,
        event_count=unbilled.event_count,
        rated=EXACT.subtract(unbilled.exact, unbilled.carried),
        amount_minor=minor,
    )


def bill_fee(bill: Bill, currency: str) -> Fee:
    """Return the fee that shows a bill: what its events cost, and what is carried."""
    assert bill.amount_minor is not None, "fees that are paid alone are on no bill"
    exact = bill.billed(currency)
    carried = flat_row("carried", EXACT.subtract(exact, bill.rated))
    rows = (flat_row("instant", bill.rated), carried)
    return Fee(
        key=bill.key,
        meter_code=bill.meter_code,
        display_name=bill.display_name,
        units=bill.units,
        event_count=bill.event_count,
        exact_amount=exact,
        amount_minor=bill.amount_minor,
        rows=tuple(row for row in rows if row.amount),
    )


def settled(
    version: PlanVersion, fees: Sequence[Fee], bills: Sequence[Bill], currency: str
) -> list[Fee]:
    """Return what the end of a usage period bills of its `fees`, after those `bills`.

    Of charges that were billed early, or go on no invoice, the difference is a correction of either
    sign: 5.00 after bills of 5.30 are -0.30.
    """
    charges = {charge.code: charge for charge in version.charges}
    billed: dict[FeeKey, list[Bill]] = {}
    for bill in bills:
        billed.setdefault(bill.key, []).append(bill)
    found = []
    for fee in fees:
        instant = charges[fee.key.charge_code].instant
        if instant is None or not instant.is_corrected:
            found.append(fee)
        else:
            found.append(_correction(fee, billed.pop(fee.key, ()), currency))
    for key, of_key in billed.items():
        found.append(_correction(_nothing(of_key[0], charges[key.charge_code]), of_key, currency))
    return [
        fee
        for fee in found
        if fee.key.kind is not FeeKind.CORRECTION or fee.exact_amount or fee.amount_minor
    ]


def without_refunds(fees: Sequence[Fee]) -> tuple[Fee, ...]:
    """Return `fees`, without negative corrections if these exceed all else.

    What a close leaves out so is for an adjustment, which waits for an invoice that can hold it.
    """
    if sum(fee.amount_minor for fee in fees) >= 0:
        return tuple(fees)
    return tuple(fee for fee in fees if fee.amount_minor >= 0)


def _correction(fee: Fee, bills: Sequence[Bill], currency: str) -> Fee:
    units = EXACT.subtract(fee.units, exact_sum(bill.units for bill in bills))
    taken = EXACT.minus(exact_sum(bill.billed(currency) for bill in bills))
    rows: tuple[Row, ...] = (*fee.rows, flat_row("billed", taken)) if taken else fee.rows
    exact = amount_of(rows)
    return replace(
        fee,
        key=_as_correction(fee.key),
        units=units,
        event_count=fee.event_count - sum(bill.event_count for bill in bills),
        exact_amount=exact,
        amount_minor=round_minor(exact, currency),
        rows=rows,
    )


def _as_correction(key: FeeKey) -> FeeKey:
    return replace(key, kind=FeeKind.CORRECTION)


def _nothing(bill: Bill, charge: Charge) -> Fee:
    return Fee(
        key=bill.key,
        meter_code=charge.meter_code,
        display_name=bill.display_name or charge.display_name or charge.code,
        units=ZERO,
        event_count=0,
        exact_amount=ZERO,
        amount_minor=0,
        rows=(),
    )


def fees_of(bills: Sequence[Bill], version: PlanVersion, currency: str) -> list[Fee]:
    """Return the fees of a period that bills instant fees, in the plan's order of charges."""
    order: Mapping[str, int] = {one.code: place for place, one in enumerate(version.charges)}
    ordered = sorted(bills, key=lambda bill: order[bill.key.charge_code])
    return [bill_fee(bill, currency) for bill in ordered]
