"""What a story does: each verb as calls of the public API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, timedelta
from zoneinfo import ZoneInfo

from libs.wire import timestamp
from tally.ingest.v1.event_pb2 import Event, PropertyValue, Verdict
from tally.ingest.v1.ingest_service_pb2 import RecordEventsRequest
from tally.invoicing.v1.billing_service_pb2 import AdjustedFee, AdjustFeeRequest
from tally.invoicing.v1.invoice_service_pb2 import InvoiceStatus, LineKind
from tally.rating.v1.plan_service_pb2 import CreatePlanVersionRequest, GetPlanRequest
from tally.rating.v1.subscription_changes_pb2 import (
    ChangePlanRequest,
    FinalInvoice,
    MigrateSubscriptionsRequest,
    UnusedFee,
    UpdateSubscriptionRequest,
)
from tally.rating.v1.subscription_service_pb2 import TerminateSubscriptionRequest
from tests.vectors.given import Given
from tests.vectors.stories import paying, wallets
from tests.vectors.stories.plans import thresholds_of
from tests.vectors.stories.world import (
    GRACE,
    GRACE_DAYS_MAX,
    NUMBERINGS,
    World,
    instant,
    request_id,
)

UNUSED_FEES = {
    "credit": UnusedFee.UNUSED_FEE_CREDIT,
    "refund": UnusedFee.UNUSED_FEE_REFUND,
    "skip": UnusedFee.UNUSED_FEE_SKIP,
}
FEE_TYPES = {"subscription": LineKind.LINE_KIND_BASE, "charge": LineKind.LINE_KIND_USAGE}
FINAL_INVOICES = {"skip": FinalInvoice.FINAL_INVOICE_SKIP}

Verb = Callable[[World, Given], Awaitable[None]]


async def subscribe(world: World, action: Given) -> None:
    """Start a subscription; an instant in the past is its anchor, and it starts now."""
    at = instant(action.text("subscription_at")) if action.has("subscription_at") else world.now
    await world.subscribe(
        action.text("subscription"),
        action.text("customer"),
        action.text("plan"),
        action.text("billing_time"),
        start=max(at, world.now),
        anchor=at,
        end=instant(action.text("ending_at")) if action.has("ending_at") else None,
        entity_code=action.text("billing_entity") if action.has("billing_entity") else "",
    )


async def terminate(world: World, action: Given) -> None:
    """End a subscription now."""
    asked = TerminateSubscriptionRequest(
        request_id=request_id(), subscription_id=action.text("subscription")
    )
    if action.has("on_termination_credit_note"):
        asked.unused_fee = UNUSED_FEES[action.text("on_termination_credit_note")]
    if action.has("on_termination_invoice"):
        asked.final_invoice = FINAL_INVOICES[action.text("on_termination_invoice")]
    await world.client.subscriptions.TerminateSubscription(asked)


async def change_plan(world: World, action: Given) -> None:
    """Put a subscription on another plan: when it is said to be best."""
    subscription_id, plan_code = action.text("subscription"), action.text("plan")
    asked = ChangePlanRequest(
        request_id=request_id(), subscription_id=subscription_id, plan_code=plan_code
    )
    await world.client.subscriptions.ChangePlan(asked)
    world.plans[subscription_id].append(plan_code)


async def event(world: World, action: Given) -> None:
    """Record usage, `count` times."""
    subscription_id, meter = action.text("subscription"), action.text("meter")
    properties = {}
    if action.has("value"):
        value, counted = action.text("value"), world.meters[meter] == "unique_count"
        properties["value"] = PropertyValue(text=value) if counted else PropertyValue(decimal=value)
    if action.has("properties"):
        given: Mapping[str, str] = action.value("properties")
        properties |= {key: PropertyValue(text=value) for key, value in given.items()}
    amount = ""
    if action.has("precise_total_amount_cents"):
        amount = str(action.decimal("precise_total_amount_cents") / 100)
    at = instant(action.text("time")) if action.has("time") else world.events_at or world.now
    count = int(action.value("count")) if action.has("count") else 1
    events = [
        Event(
            id=request_id(),
            type=meter,
            time=timestamp(at),
            customer_id=world.customers[subscription_id],
            subscription_id=subscription_id,
            properties=properties,
            amount=amount,
        )
        for _ in range(count)
    ]
    answer = await world.client.ingest.RecordEvents(RecordEventsRequest(events=events))
    if any(one.verdict != Verdict.VERDICT_ACCEPTED for one in answer.verdicts):
        raise ValueError(f"refused: {answer.verdicts}")


async def update_plan(world: World, action: Given) -> None:
    """Give a plan usage thresholds, for its running subscriptions, too."""
    code = action.text("plan")
    found = await world.client.plans.GetPlan(GetPlanRequest(code=code))
    version = found.version
    version.usage_thresholds.CopyFrom(thresholds_of(action.inner("thresholds")))
    await world.client.plans.CreatePlanVersion(
        CreatePlanVersionRequest(request_id=request_id(), plan_code=code, version=version)
    )
    moved = world.client.subscriptions.MigrateSubscriptions(
        MigrateSubscriptionsRequest(plan_code=code)
    )
    problems = [one.problem async for one in moved if one.problem]
    if problems:
        raise ValueError(f"not migrated: {problems}")


async def run_billing(world: World, action: Given) -> None:
    """Do nothing: what was due when the clock came here was billed then."""
    jobs = action.value("jobs") if action.has("jobs") else ()
    strange = {*jobs} - {"periodic", "trial_end", "end_of_subscription"}
    if strange:
        raise ValueError(f"the jobs {strange} are unknown")


async def refresh(world: World, action: Given) -> None:
    """Do nothing: drafts and usage are refreshed whenever something changes them."""
    for key in ("invoice", "subscription"):
        if action.has(key):
            action.value(key)


async def finalize(world: World, action: Given) -> None:
    """Finalize a draft, or those whose grace is over."""
    if action.has("invoice"):
        await world.finalize((await world.find(action.value("invoice"))).invoice_id)
        return
    if action.value("due") is not True:
        raise ValueError("neither an invoice nor what is due")
    for one in await world.list_invoices():
        made, grace = one.created_at.ToDatetime(UTC), world.graces[one.customer_id]
        if one.status == InvoiceStatus.INVOICE_STATUS_DRAFT and made + grace <= world.now:
            await world.finalize(one.invoice_id)


async def adjust_fee(world: World, action: Given) -> None:
    """Set the draft's one fee of a type by hand."""
    invoice = await world.find(action.value("invoice"))
    kind = FEE_TYPES[action.text("fee_type")]
    [line] = [one for one in invoice.lines if one.kind == kind]
    adjusted = AdjustedFee(
        line_id=line.line_id, units=action.text("units"), unit_amount=action.text("unit_amount")
    )
    await world.client.billing.AdjustFee(
        AdjustFeeRequest(
            request_id=request_id(), invoice_id=invoice.invoice_id, adjusted_fee=adjusted
        )
    )


async def update_customer(world: World, action: Given) -> None:
    """Change a customer; its subscriptions move with it to another zone."""
    profile = world.profiles[action.text("customer")]
    if action.has(GRACE):
        world.graces[profile.customer_id] = timedelta(days=int(action.value(GRACE)))
        profile.grace_days = GRACE_DAYS_MAX
    if action.has("timezone"):
        profile.time_zone = action.text("timezone")
        world.zones[profile.customer_id] = ZoneInfo(profile.time_zone)
    await world.save_customer(profile)
    for subscription_id, customer_id in world.customers.items():
        if customer_id == profile.customer_id and action.has("timezone"):
            asked = UpdateSubscriptionRequest(
                request_id=request_id(),
                subscription_id=subscription_id,
                time_zone=profile.time_zone,
            )
            await world.client.subscriptions.UpdateSubscription(asked)


async def set_numbering(world: World, action: Given) -> None:
    """Change how a billing entity numbers."""
    entity = world.entities[action.text("billing_entity")]
    entity.numbering = NUMBERINGS[action.text("numbering")]
    if action.has("prefix"):
        entity.number_prefix = action.text("prefix")
    await world.save_entity(entity)


async def refresh_wallets(world: World, action: Given) -> None:
    """Do nothing: what usage will take of wallets follows it."""
    action.text("customer")


VERBS: Mapping[str, Verb] = {
    "subscribe": subscribe,
    "terminate": terminate,
    "change_plan": change_plan,
    "event": event,
    "run_billing": run_billing,
    "update_plan": update_plan,
    "refresh_draft": refresh,
    "refresh_usage": refresh,
    "refresh_wallets": refresh_wallets,
    "finalize": finalize,
    "adjust_fee": adjust_fee,
    "update_customer": update_customer,
    "set_numbering": set_numbering,
    "create_wallet": wallets.create_wallet,
    "top_up": wallets.top_up,
    "pay": wallets.pay,
    "decline": paying.decline,
    "void_credits": wallets.void_credits,
    "terminate_wallet": wallets.terminate_wallet,
}
