"""What a story consists of: a seller, a customer, a plan, and usage that falls into periods."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from google.protobuf.timestamp_pb2 import Timestamp

from libs.period import local_midnight
from tally.ingest.v1.event_pb2 import Event, PropertyValue
from tally.invoicing.v1.customer_service_pb2 import Customer
from tally.invoicing.v1.tax_service_pb2 import Tax
from tally.invoicing.v1.tenant_service_pb2 import BillingEntity
from tally.rating.v1.meter_service_pb2 import Meter
from tally.rating.v1.plan_service_pb2 import Charge, Plan, PlanVersion, Price, StandardPrice
from tally.rating.v1.subscription_service_pb2 import Subscription
from tally.wallet.v1.wallet_service_pb2 import Grant, Wallet

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Window:
    """The events of one billing period, which ends at `end`."""

    end: datetime
    events: list[Event]


@dataclass(frozen=True, slots=True)
class Pack:
    """Credit that the customer bought before the story begins."""

    wallet: Wallet
    grant: Grant


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One tenant with one customer, from its first instant to its last invoice."""

    name: str
    about: str  # One sentence for people.
    tenant: int
    start: datetime
    seller: BillingEntity
    customer: Customer
    meters: Sequence[Meter]
    plan: Plan
    version: PlanVersion
    subscription: Subscription
    windows: Sequence[Window]  # Each becomes one invoice.
    taxes: Sequence[Tax] = ()
    pack: Pack | None = None
    open_events: Sequence[Event] = ()  # They fall into the period after the last window.

    @property
    def event_count(self) -> int:
        return sum(len(window.events) for window in self.windows) + len(self.open_events)


def parse_time(text: str) -> datetime:
    """Read an instant like "2014-01-01T00:00:00Z"."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def stamp(instant: datetime) -> Timestamp:
    """Return `instant` as a message."""
    message = Timestamp()
    message.FromDatetime(instant)
    return message


def event(
    kind: str,
    customer_id: str,
    time: datetime,
    *,
    place: int = 0,
    decimals: Mapping[str, str] | None = None,
    texts: Mapping[str, str] | None = None,
) -> Event:
    """Return a usage event with an id that is the same in every run.

    `place` tells events of one customer, type and time apart.
    """
    properties = {name: PropertyValue(decimal=value) for name, value in (decimals or {}).items()}
    properties |= {name: PropertyValue(text=value) for name, value in (texts or {}).items()}
    return Event(
        id=_ordered_id(time, f"{customer_id} {kind} {time.isoformat()} {place}"),
        type=kind,
        time=stamp(time),
        customer_id=customer_id,
        properties=properties,
    )


def windows(events: Iterable[tuple[datetime, Event]], fences: Sequence[datetime]) -> list[Window]:
    """Return the events by period; `fences` are the periods' ends, ascending.

    Events at or after the last fence are left out.
    """
    found = [Window(end, []) for end in fences]
    for time, usage in events:
        place = next((n for n, end in enumerate(fences) if time < end), None)
        if place is not None:
            found[place].events.append(usage)
    return found


def month_ends(first: date, months: int, zone: str) -> list[datetime]:
    """Return the ends of `months` calendar months from `first` on, in `zone`."""
    count = [first.year * 12 + first.month + n for n in range(months)]
    return [local_midnight(date(n // 12, n % 12 + 1, 1), ZoneInfo(zone)) for n in count]


def week_ends(monday: date, weeks: int, zone: str) -> list[datetime]:
    """Return the ends of `weeks` weeks from `monday` on, in `zone`."""
    days = (monday + timedelta(weeks=n + 1) for n in range(weeks))
    return [local_midnight(day, ZoneInfo(zone)) for day in days]


def flat_charge(code: str, unit_amount: str, display_name: str) -> Charge:
    """Return a charge on the meter of the same code, with one price a unit."""
    price = Price(standard=StandardPrice(unit_amount=unit_amount))
    return Charge(code=code, meter_code=code, display_name=display_name, price=price)


def _ordered_id(time: datetime, identity: str) -> str:
    """Return a UUIDv7 of the time and, in place of chance, a digest of the identity."""
    millis = (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    tail = hashlib.sha256(identity.encode()).hexdigest()
    digits = f"{millis:012x}7{tail[:3]}8{tail[3:18]}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
