"""What a story does: each verb as calls of the public API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from libs.wire import timestamp
from tally.ingest.v1.event_pb2 import Event, PropertyValue, Verdict
from tally.ingest.v1.ingest_service_pb2 import RecordEventsRequest
from tally.rating.v1.plan_service_pb2 import CreatePlanVersionRequest, GetPlanRequest
from tally.rating.v1.subscription_changes_pb2 import (
    ChangePlanRequest,
    FinalInvoice,
    MigrateSubscriptionsRequest,
    UnusedFee,
)
from tally.rating.v1.subscription_service_pb2 import TerminateSubscriptionRequest
from tests.vectors.given import Given
from tests.vectors.stories import wallets
from tests.vectors.stories.plans import thresholds_of
from tests.vectors.stories.world import World, instant, request_id

UNUSED_FEES = {
    "credit": UnusedFee.UNUSED_FEE_CREDIT,
    "refund": UnusedFee.UNUSED_FEE_REFUND,
    "skip": UnusedFee.UNUSED_FEE_SKIP,
}
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
    at = instant(action.text("time")) if action.has("time") else world.now
    count = int(action.value("count")) if action.has("count") else 1
    events = [
        Event(
            id=request_id(),
            type=meter,
            time=timestamp(at),
            customer_id=world.customers[subscription_id],
            subscription_id=subscription_id,
            properties=properties,
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
    """Do nothing: drafts were finalized when their grace was over."""
    if action.value("due") is not True:
        raise ValueError("a draft is finalized when its grace is over")


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
    "create_wallet": wallets.create_wallet,
    "top_up": wallets.top_up,
    "void_credits": wallets.void_credits,
    "terminate_wallet": wallets.terminate_wallet,
}
