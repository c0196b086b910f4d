"""Reading what is asked for of a subscription that changes or ends."""

from __future__ import annotations

from datetime import datetime

from libs.wire import Faults, parse_code, parse_enum, parse_text
from services.rating.api.subscription_parsing import parse_optional_instant
from services.rating.domain.plan_changing import Change, PlanEffective
from services.rating.domain.subscription import UnusedFee
from services.rating.operations.plan_changes import WantedPlan
from services.rating.operations.subscriptions import Termination, TerminationTime
from tally.rating.v1 import subscription_service_pb2 as pb


def parse_wanted_plan(request: pb.ChangePlanRequest) -> WantedPlan:
    """Read which plan is asked for, and when.

    Raises:
        FieldInvalid, FieldsInvalid: with every fault.
    """
    faults = Faults()
    with faults.gathered():
        subscription_id = parse_text(request.subscription_id, "subscription_id")
    with faults.gathered():
        plan_code = parse_code(request.plan_code, "plan_code")
    if request.plan_version < 0:
        faults.add("plan_version", f"is {request.plan_version}, must not be negative")
    effective = PlanEffective.UNSPECIFIED
    if request.effective:
        with faults.gathered():
            effective = PlanEffective(
                parse_enum(
                    request.effective, pb.PlanEffective, "effective", prefix="PLAN_EFFECTIVE_"
                )
            )
    at = None
    with faults.gathered():
        at = parse_optional_instant(request, "at", "at")
    if request.HasField("at") is not (effective is PlanEffective.AT):
        faults.add("at", "goes with PLAN_EFFECTIVE_AT, and only with it")
    with faults.gathered():
        etag = parse_text(request.etag, "etag", required=False)
    faults.check()
    change = Change(effective, at)
    return WantedPlan(subscription_id, plan_code, request.plan_version, change, etag)


def parse_termination(
    request: pb.TerminateSubscriptionRequest,
) -> tuple[str, datetime | None, Termination]:
    """Read which subscription is to end, at which instant if one is given, and how.

    Raises:
        FieldInvalid, FieldsInvalid: with every fault.
    """
    faults = Faults()
    with faults.gathered():
        subscription_id = parse_text(request.subscription_id, "subscription_id")
    end = None
    with faults.gathered():
        end = parse_optional_instant(request, "end", "end")
    when = TerminationTime.UNSPECIFIED
    if request.when:
        with faults.gathered():
            when = TerminationTime(
                parse_enum(request.when, pb.TerminationTime, "when", prefix="TERMINATION_TIME_")
            )
    given = request.HasField("end")
    if when is TerminationTime.AT and not given:
        faults.add("end", "is missing")
    if given and when in (TerminationTime.NOW, TerminationTime.PERIOD_END):
        faults.add("end", "goes with TERMINATION_TIME_AT only")
    final_invoice = pb.FINAL_INVOICE_GENERATE
    if request.final_invoice:
        with faults.gathered():
            parse_enum(
                request.final_invoice, pb.FinalInvoice, "final_invoice", prefix="FINAL_INVOICE_"
            )
            final_invoice = request.final_invoice
    unused_fee = UnusedFee.CREDIT
    if request.unused_fee:
        with faults.gathered():
            unused_fee = UnusedFee(
                parse_enum(request.unused_fee, pb.UnusedFee, "unused_fee", prefix="UNUSED_FEE_")
            )
    with faults.gathered():
        etag = parse_text(request.etag, "etag", required=False)
    faults.check()
    how = Termination(
        when=when,
        final_invoice=final_invoice != pb.FINAL_INVOICE_SKIP,
        unused_fee=unused_fee,
        etag=etag,
    )
    return subscription_id, end, how
