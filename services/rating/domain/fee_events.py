"""The events behind a fee: those of its charge's meter, bucket and group in its period."""

from __future__ import annotations

from collections.abc import Iterable

from libs.errors import FieldInvalid
from libs.period import Period
from services.rating.domain.attribution import Catalog
from services.rating.domain.event import UsageEvent
from services.rating.domain.fee import FeeKey
from services.rating.domain.meter import Meter
from services.rating.domain.period import BillingPeriod, PeriodKind
from services.rating.domain.plan import Charge, PlanVersion
from services.rating.domain.single_events import SingleEvent, single_events
from services.rating.domain.usage_fees import parts_of

CARRIED = "The meter carries units: what earlier periods left counts, too, and is not listed."
EARLY = "Its events were priced as they came: ListInstantFees lists them."
NO_USAGE = "The period bills no usage, so there are no events."
WHOLE = "These are all events as of the adjustment: its units are what changed in them."


def charge_of(version: PlanVersion, code: str) -> Charge:
    """Return the charge of that code.

    Raises:
        FieldInvalid: the plan version has none.
    """
    for charge in version.charges:
        if charge.code == code:
            return charge
    raise FieldInvalid("charge_code", f"the plan version has no charge {code!r}")


def fee_note(period: BillingPeriod, sequence: int, meter: Meter | None) -> str:
    """Return why a fee has no events, or what they leave out; "" if they are all there is."""
    match period.kind:
        case PeriodKind.USAGE:
            notes = [WHOLE] if sequence else []
            notes += [CARRIED] if meter is not None and meter.recurring else []
            return " ".join(notes)
        case PeriodKind.INSTANT:
            return EARLY
        case _:
            return NO_USAGE


def fee_events(
    events: Iterable[UsageEvent],
    catalog: Catalog,
    charge: Charge,
    meter: Meter,
    key: FeeKey,
    *,
    period: BillingPeriod,
) -> list[tuple[UsageEvent, SingleEvent]]:
    """Return those of a customer's `events` that the fee `key` of a period counts, with what.

    They are in the order given. It is what folding adds to the cells that the fee is priced from.
    """
    found = list(events)
    by_place = {event.moment: event for event in found}
    window: Period = period.usage
    counted = single_events(found, catalog, [meter], term_id=period.term_id, window=window)
    return [
        (by_place[one.moment], one)
        for one in parts_of(charge, meter, counted[meter.code]).get(key, ())
    ]
