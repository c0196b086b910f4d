"""Subscribing and terminating, and reading subscriptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import outbox, requests
from libs.db import begin
from libs.period import local_day
from libs.requests import Request
from libs.tenant import Tenant
from libs.wire import Page, page_token, parse_page_token, timestamp
from services.rating.domain.calendar import BillingTime
from services.rating.domain.life import Leg, ended_legs, first_leg
from services.rating.domain.overrides import NOTHING_OTHER, Overrides
from services.rating.domain.phases import Phase, check_phases, phase_legs
from services.rating.domain.plan import Plan, PlanVersion
from services.rating.domain.plan_changing import check_currency, period_end, present_leg
from services.rating.domain.subscription import (
    Subscription,
    SubscriptionStatus,
    UnusedFee,
    acting_end,
    check_etag,
    check_stretch,
    choose_end,
    status_at,
)
from services.rating.operations.crossing import watch_thresholds
from services.rating.operations.fixed_units import load_history
from services.rating.operations.following import watch_followed
from services.rating.operations.messages import (
    billing_period_message,
    subscription_message,
    version_message,
)
from services.rating.operations.overriding import store_own_prices
from services.rating.operations.plan_changes import load_legs_of, load_terms
from services.rating.operations.reattributing import reattribute_from
from services.rating.operations.reconciling import reconcile, store_change
from services.rating.operations.schedule import Unwritten, write_periods
from services.rating.operations.trials import load_trials
from services.rating.store import periods as period_store
from services.rating.store import plans as plan_store
from services.rating.store import subscriptions as store
from services.rating.store.catalog import change_catalog
from services.rating.store.crossings import set_historical
from services.rating.store.meters import load_meters
from services.rating.store.reattributions import find_early_usage, has_history
from services.rating.store.renewals import find_charged_before
from tally.rating.v1 import events_pb2
from tally.rating.v1 import subscription_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for when subscribing. `plan_version` 0 is the newest, `start` None is now."""

    subscription_id: str
    customer_id: str
    plan_code: str
    plan_version: int
    start: datetime | None
    end: datetime | None
    time_zone: str
    default_for_usage: bool
    collection_delay_s: int
    billing_time: BillingTime = BillingTime.CALENDAR
    anchor_day: date | None = None  # None: the local day of the start.
    metadata: tuple[tuple[str, str], ...] = ()
    billing_entity_code: str = ""  # Who sells it; empty: as the customer has.
    phases: tuple[Phase, ...] = ()  # Plans that follow.
    overrides: Overrides = NOTHING_OTHER
    historical_usage: Decimal | None = None
    backfill: bool = True  # Whether periods that have ended already are billed.


class TerminationTime(StrEnum):
    """When a subscription ends; values are those of the contract, in lower case."""

    UNSPECIFIED = "unspecified"  # At an end that is given, else now.
    NOW = "now"
    AT = "at"
    PERIOD_END = "period_end"


@dataclass(frozen=True, slots=True)
class Termination:
    """How a subscription is to end; `when` without an end is now."""

    when: TerminationTime = TerminationTime.UNSPECIFIED
    final_invoice: bool = True
    unused_fee: UnusedFee = UnusedFee.CREDIT
    etag: str = ""


PLAINLY = Termination()


async def create_subscription(
    engine: AsyncEngine, tenant: Tenant, request: Request, wish: Wish, *, now: datetime
) -> pb.CreateSubscriptionResponse:
    """Put a customer on a plan; a repeat gets the first answer.

    Raises what `subscribe` does, and:
        RequestIdReused: the request came before with other content.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.CreateSubscriptionResponse)
        if earlier is not None:
            return earlier
        subscription = await subscribe(conn, tenant, wish, now=now)
        message = subscription_message(subscription)
        await outbox.append(conn, tenant, events_pb2.SubscriptionActivated(subscription=message))
        if subscription.status is SubscriptionStatus.TERMINATED:  # It lies wholly in the past.
            ended = events_pb2.SubscriptionTerminated(subscription=message)
            await outbox.append(conn, tenant, ended)
        answer = pb.CreateSubscriptionResponse(subscription=message)
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def subscribe(
    conn: AsyncConnection, tenant: Tenant, wish: Wish, *, now: datetime
) -> Subscription:
    """Store a subscription with its terms and first billing periods, and tell nobody.

    Raises:
        FieldInvalid: the start or end cannot be.
        PlanNotFound, PlanVersionNotFound: there is no such plan or version.
        PlanArchived: the plan takes no new subscriptions.
        SubscriptionIdTaken: a pending or active subscription has the id.
        FieldsInvalid: the overrides do not fit the version.
    """
    plan, version = await plan_store.load_plan(
        conn, tenant, wish.plan_code, wish.plan_version, hold=True
    )
    plan.check_open()
    subscription = _granted(wish, plan, version, now)
    if wish.overrides:
        version = await store_own_prices(
            conn, tenant, subscription, version, wish.overrides, now=now
        )
        subscription = replace(subscription, plan_version_id=version.plan_version_id)
    check_phases(subscription, wish.phases)
    leg = first_leg(subscription, uuid4())
    legs = await _phased(conn, tenant, subscription, leg, wish.phases)
    await change_catalog(conn, tenant)
    present = replace(subscription, plan_version_id=present_leg(legs, now).plan_version_id)
    await store.insert_subscription(conn, tenant, present, legs)
    held_codes = await find_charged_before(conn, tenant, subscription)
    if wish.phases:
        await reconcile(conn, tenant, present, legs, now=now, held_codes=held_codes)
        uid = subscription.subscription_uid
        subscription = await store.load_subscription(conn, tenant, uid)
    else:
        unwritten = Unwritten(tenant, subscription, version, leg.term_id, held_codes, is_new=True)
        await write_periods(conn, [unwritten], now=now)
    await _count_from(conn, tenant, subscription, wish, version, legs=legs)
    early = await _carry_early_usage(conn, tenant, subscription, version)
    if await has_history(conn, tenant, subscription.customer_id):
        from_at = min(early or subscription.start, subscription.start)
        await reattribute_from(conn, tenant, subscription.customer_id, from_at)
    return subscription


async def terminate_subscription(
    engine: AsyncEngine,
    tenant: Tenant,
    request: Request,
    *,
    subscription_id: str,
    end: datetime | None,
    now: datetime,
    how: Termination = PLAINLY,
) -> pb.TerminateSubscriptionResponse:
    """End the newest life of a subscription at `end`, None for now, and cut its periods there.

    Raises:
        SubscriptionNotFound: there is none of that id.
        SubscriptionTerminated: it has an end already.
        EtagMismatch: the subscription is not as the caller knows it.
        FieldInvalid: the end has passed.
        RequestIdReused: the request came before with other content.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.TerminateSubscriptionResponse)
        if earlier is not None:
            return earlier
        await change_catalog(conn, tenant)
        found = await store.load_newest(conn, tenant, subscription_id, lock=True)
        check_etag(found, how.etag)
        legs = await load_legs_of(conn, tenant, found)
        last = choose_end(found, end, now)
        if how.when is TerminationTime.PERIOD_END:
            last = await _period_end(conn, tenant, found, legs, now)
        ended = replace(found, end=last, final_invoice=how.final_invoice, unused_fee=how.unused_fee)
        if now < found.start and last <= found.start:
            ended = replace(ended, status=SubscriptionStatus.CANCELED)
        kept = ended_legs(legs, last)
        stored = await store_change(conn, tenant, ended, kept, now=now, from_at=last)
        message = subscription_message(stored)
        await outbox.append(conn, tenant, events_pb2.SubscriptionTerminated(subscription=message))
        answer = pb.TerminateSubscriptionResponse(subscription=message)
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def get_subscription(
    engine: AsyncEngine, tenant: Tenant, subscription_id: str
) -> pb.GetSubscriptionResponse:
    """Return the newest life of an id, and what a list of many leaves out."""
    async with begin(engine, tenant) as conn:
        found = await store.load_newest(conn, tenant, subscription_id)
        units = await load_history(conn, tenant, found)
        own = await plan_store.find_own_prices(conn, tenant, found.plan_version_id)
        terms = await load_terms(conn, tenant, found)
        version = await plan_store.load_version(conn, tenant, found.plan_version_id)
        trial = (await load_trials(conn, [(tenant, found, version)])).get(found.subscription_uid)
    return pb.GetSubscriptionResponse(
        subscription=subscription_message(found),
        fixed_units=units,
        own_prices=None if own is None else version_message(own),
        terms=terms,
        trial_end=None if trial is None else timestamp(trial.end),
    )


async def list_subscriptions(
    engine: AsyncEngine, tenant: Tenant, *, customer_id: str, page: Page
) -> pb.ListSubscriptionsResponse:
    """Return a page of subscriptions, of one customer if one is named, by id and start."""
    keys = parse_page_token(page.token, str, datetime, UUID)
    after: tuple[str, datetime, UUID] | None = keys or None  # type: ignore[assignment]
    async with begin(engine, tenant) as conn:
        found = await store.list_subscriptions(
            conn, tenant, customer_id=customer_id, after=after, limit=page.size + 1
        )
    shown = found[: page.size]
    more = len(found) > page.size
    return pb.ListSubscriptionsResponse(
        subscriptions=[subscription_message(each) for each in shown],
        next_page_token=page_token(
            shown[-1].subscription_id, shown[-1].start, shown[-1].subscription_uid
        )
        if more
        else "",
    )


async def list_billing_periods(
    engine: AsyncEngine, tenant: Tenant, *, subscription_id: str, page: Page
) -> pb.ListBillingPeriodsResponse:
    """Return a page of the billing periods of all lives of an id, by due time and kind."""
    keys = parse_page_token(page.token, datetime, str, UUID)
    after: tuple[datetime, str, UUID] | None = keys or None  # type: ignore[assignment]
    async with begin(engine, tenant) as conn:
        await store.load_newest(conn, tenant, subscription_id)
        found = await period_store.list_periods(
            conn, tenant, subscription_id, after=after, limit=page.size + 1
        )
    shown = found[: page.size]
    more = len(found) > page.size
    return pb.ListBillingPeriodsResponse(
        periods=[billing_period_message(period) for period in shown],
        next_page_token=page_token(shown[-1].due_at, shown[-1].kind, shown[-1].period_id)
        if more
        else "",
    )


async def _count_from(
    conn: AsyncConnection,
    tenant: Tenant,
    subscription: Subscription,
    wish: Wish,
    version: PlanVersion,
    *,
    legs: Sequence[Leg],
) -> None:
    """Have usage looked at from now on, for thresholds from what was used before."""
    if wish.historical_usage is not None:
        uid = subscription.subscription_uid
        await set_historical(conn, tenant, uid, wish.historical_usage)
    ids = {leg.plan_version_id for leg in legs} - {version.plan_version_id}
    versions = await plan_store.load_versions(conn, [tenant], ids) if ids else {}
    versions[version.plan_version_id] = version
    await watch_thresholds(conn, tenant, subscription.subscription_id, versions.values())
    await watch_followed(conn, tenant, subscription.customer_id, subscription.subscription_id)


async def _carry_early_usage(
    conn: AsyncConnection, tenant: Tenant, subscription: Subscription, version: PlanVersion
) -> datetime | None:
    """Let recurring meters carry what events that name the subscription left before its start.

    Return an instant from which on such events may have been folded; None: there are none.
    """
    codes = {charge.meter_code for charge in version.charges}
    meters = (await load_meters(conn, tenant, codes)).values() if codes else ()
    event_types = {meter.event_type for meter in meters if meter.recurring}
    if not event_types:
        return None
    await store.insert_early_term(conn, tenant, subscription, term_id=uuid4())
    return await find_early_usage(conn, tenant, subscription, event_types)


def _granted(wish: Wish, plan: Plan, version: PlanVersion, now: datetime) -> Subscription:
    start, end = now if wish.start is None else wish.start, wish.end
    check_stretch(start, end, now)
    if end is not None and end > now:
        end = acting_end(end, start, ZoneInfo(wish.time_zone))
    return Subscription(
        subscription_uid=uuid4(),
        subscription_id=wish.subscription_id,
        customer_id=wish.customer_id,
        plan_version_id=version.plan_version_id,
        plan_code=plan.code,
        plan_version=version.version,
        currency=plan.currency,
        start=start,
        end=end,
        time_zone=wish.time_zone,
        status=status_at(start, end, now),
        default_for_usage=wish.default_for_usage,
        collection_delay_s=wish.collection_delay_s,
        created_at=now,
        billing_time=wish.billing_time,
        anchor_day=wish.anchor_day or local_day(start, ZoneInfo(wish.time_zone)),
        metadata=wish.metadata,
        billing_entity_code=wish.billing_entity_code,
        billed_from=None if wish.backfill else now,
    )


async def _phased(
    conn: AsyncConnection,
    tenant: Tenant,
    subscription: Subscription,
    first: Leg,
    phases: Sequence[Phase],
) -> list[Leg]:
    """Return the legs of a new subscription that goes through `phases`."""
    found = []
    for phase in phases:
        plan, version = await plan_store.load_plan(
            conn, tenant, phase.plan_code, phase.plan_version, hold=True
        )
        plan.check_open()
        check_currency(subscription, plan.currency)
        found.append((uuid4(), version.plan_version_id, phase.start))
    return phase_legs(first, found)


async def _period_end(
    conn: AsyncConnection,
    tenant: Tenant,
    subscription: Subscription,
    legs: list[Leg],
    now: datetime,
) -> datetime:
    version_id = present_leg(legs, now).plan_version_id
    version = await plan_store.load_version(conn, tenant, version_id)
    return period_end(subscription, legs, version, now)
