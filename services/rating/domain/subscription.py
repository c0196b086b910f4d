"""Subscriptions: customers on plan versions, from an instant on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from libs.errors import AlreadyExists, Conflict, FieldInvalid, NotFound, Refused
from libs.period import local_day, local_midnight
from services.rating.domain.calendar import BillingTime, Calendar
from services.rating.domain.monthly_usage import MONTH
from services.rating.domain.plan import Interval, PlanVersion

COLLECTION_DELAY_S = 600
COLLECTION_DELAY_S_MAX = 30 * 86_400
YEAR_MAX = 9_000  # Far from where dates end, in whatever zone.
YEARS_BACK_MAX = 30  # A start this far back makes some three thousand weekly periods at once.


class SubscriptionNotFound(NotFound):
    """The tenant has no such subscription."""

    reason = "SUBSCRIPTION_NOT_FOUND"


class SubscriptionIdTaken(AlreadyExists):
    """A pending or active subscription has the id."""

    reason = "SUBSCRIPTION_ID_TAKEN"


class SubscriptionTerminated(Refused):
    """The subscription has an end already."""

    reason = "SUBSCRIPTION_TERMINATED"


class SubscriptionPaused(Refused):
    """The subscription is paused."""

    reason = "SUBSCRIPTION_PAUSED"


class EtagMismatch(Conflict):
    """The subscription has changed since the caller read it."""

    reason = "ETAG_MISMATCH"


class SubscriptionStatus(StrEnum):
    """Where a subscription stands; values are those of the contract, in lower case."""

    PENDING = "pending"
    ACTIVE = "active"
    TERMINATED = "terminated"
    PAUSED = "paused"  # Its events count nowhere, and its days are not billed.
    CANCELED = "canceled"  # It was terminated before it started.


ENDED = (SubscriptionStatus.TERMINATED, SubscriptionStatus.CANCELED)


class UnusedFee(StrEnum):
    """What becomes of base fees in advance that are paid for days behind the end."""

    CREDIT = "credit"
    REFUND = "refund"
    OFFSET = "offset"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Subscription:
    """One life of a `subscription_id`, from `start` to before `end` (None: open)."""

    subscription_uid: UUID
    subscription_id: str
    customer_id: str
    plan_version_id: UUID
    plan_code: str
    plan_version: int
    currency: str
    start: datetime
    end: datetime | None
    time_zone: str
    status: SubscriptionStatus
    default_for_usage: bool
    collection_delay_s: int
    created_at: datetime
    billing_time: BillingTime
    anchor_day: date  # In its zone; periods are counted from it, also after a change of plan.
    revision: int = 1  # Raised by every command.
    unused_fee: UnusedFee = UnusedFee.CREDIT  # On its termination.
    final_invoice: bool = True  # False: it ended without one.
    metadata: tuple[tuple[str, str], ...] = ()  # By key.
    billing_entity_code: str = ""  # Who sells it; empty: as the customer has.
    billed_from: datetime | None = None  # Periods that ended by then are not billed; None: all are.

    @property
    def etag(self) -> str:
        """What stands for it as it is."""
        return str(self.revision)

    def calendar(self, interval: Interval) -> Calendar:
        """Return the periods of `interval` that it would be billed by."""
        zone = ZoneInfo(self.time_zone)
        return Calendar(interval, zone, self.billing_time, self.anchor_day)

    def months(self, version: PlanVersion) -> Calendar | None:
        """Return the months by which usage is billed; None: by the periods of `version`."""
        return self.calendar(MONTH) if version.bill_usage_monthly else None


def status_at(start: datetime, end: datetime | None, now: datetime) -> SubscriptionStatus:
    """Return where a subscription stands at `now`."""
    if end is not None and end <= now:
        return SubscriptionStatus.TERMINATED
    return SubscriptionStatus.PENDING if now < start else SubscriptionStatus.ACTIVE


def check_stretch(start: datetime, end: datetime | None, now: datetime) -> None:
    """Check a new subscription's start and end.

    Raises:
        FieldInvalid: the start is too far back or ahead, or the end not after it.
    """
    if now.year - start.year > YEARS_BACK_MAX:
        problem = f"{start.isoformat()} is more than {YEARS_BACK_MAX} years back"
        raise FieldInvalid("subscription.start", problem)
    if start.year > YEAR_MAX:
        raise FieldInvalid("subscription.start", f"{start.isoformat()} is too far ahead")
    if end is not None and end <= start:
        problem = f"{end.isoformat()} is not after the start {start.isoformat()}"
        raise FieldInvalid("subscription.end", problem)


def check_etag(subscription: Subscription, etag: str) -> None:
    """Check that `subscription` is as the caller knows it; without an etag it always is.

    Raises:
        EtagMismatch: it has changed.
    """
    if etag and etag != subscription.etag:
        problem = f"{subscription.subscription_id} has the etag {subscription.etag}, not {etag}"
        raise EtagMismatch(problem, metadata={"etag": subscription.etag})


def check_not_paused(subscription: Subscription) -> None:
    """Check that `subscription` is not paused.

    Raises:
        SubscriptionPaused: it is.
    """
    if subscription.status is SubscriptionStatus.PAUSED:
        raise SubscriptionPaused(f"{subscription.subscription_id} is paused")


def acting_end(asked: datetime, start: datetime, zone: ZoneInfo) -> datetime:
    """Return when an end that is set ahead acts: at the first instant of its local day.

    Where the subscription starts on that day, at the end itself.
    """
    if asked.year > YEAR_MAX:  # Nobody will see it.
        return asked
    midnight = local_midnight(local_day(asked, zone), zone)
    return midnight if midnight > start else asked


def check_not_ended(subscription: Subscription, now: datetime) -> None:
    """Check that `subscription` may still change at `now`.

    Raises:
        SubscriptionTerminated: it has ended.
    """
    end = subscription.end
    if end is not None and end <= now or subscription.status in ENDED:
        raise SubscriptionTerminated(f"{subscription.subscription_id} has ended")


def choose_end(subscription: Subscription, asked: datetime | None, now: datetime) -> datetime:
    """Return the instant at which a termination asked for at `now` ends `subscription`.

    One that is asked for ahead acts at the first instant of its local day. One that has not started
    ends, empty, at its start, unless a later end is asked for.

    Raises:
        SubscriptionTerminated: it has an end already.
        FieldInvalid: the end asked for has passed.
    """
    if subscription.end is not None:
        raise SubscriptionTerminated(
            f"{subscription.subscription_id} ends at {subscription.end.isoformat()}",
            metadata={"end": subscription.end.isoformat()},
        )
    if asked is not None and asked < now:
        raise FieldInvalid("end", f"{asked.isoformat()} is before now, {now.isoformat()}")
    if asked is None or asked <= subscription.start:
        return max(now, subscription.start)
    if asked.year > YEAR_MAX:
        raise FieldInvalid("end", f"{asked.isoformat()} is too far ahead")
    return max(acting_end(asked, subscription.start, ZoneInfo(subscription.time_zone)), now)
