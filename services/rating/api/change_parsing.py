"""Reading what is asked for of a subscription that changes or ends."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from libs.wire import Faults, parse_code, parse_enum, parse_text, parse_zone
from services.rating.api.subscription_parsing import parse_metadata, parse_optional_instant
from services.rating.domain.migrating import MigrationMode
from services.rating.domain.plan_changing import Change, PlanEffective
from services.rating.domain.subscription import UnusedFee
from services.rating.operations.migrating import Migration
from services.rating.operations.plan_changes import Named, WantedPlan
from services.rating.operations.settings_changes import Settings
from services.rating.operations.subscriptions import Termination, TerminationTime
from tally.rating.v1 import subscription_service_pb2 as pb


class NamesSubscription(Protocol):
    """A request for a change of a subscription."""

    @property
    def subscription_id(self) -> str: ...
    @property
    def etag(self) -> str: ...


def parse_named(request: NamesSubscription) -> Named:
    """Read which subscription is to change.

    Raises:
        FieldInvalid, FieldsInvalid: with every fault.
    """
    faults = Faults()
    with faults.gathered():
        subscription_id = parse_text(request.subscription_id, "subscription_id")
    with faults.gathered():
        etag = parse_text(request.etag, "etag", required=False)
    faults.check()
    return Named(subscription_id, etag)


def parse_settings(request: pb.UpdateSubscriptionRequest) -> Settings:
    """Read what is to change of a subscription.

    Raises:
        FieldInvalid, FieldsInvalid: with every fault.
    """
    faults = Faults()
    zone = None
    if request.time_zone:
        with faults.gathered():
            zone = parse_zone(request.time_zone, "time_zone")
    metadata = None
    if request.HasField("metadata"):
        with faults.gathered():
            metadata = parse_metadata(request.metadata.entries, "metadata.entries")
    faults.check()
    default = request.default_for_usage if request.HasField("default_for_usage") else None
    return Settings(zone, default, metadata)


def parse_wanted_plan(request: pb.ChangePlanRequest) -> WantedPlan:
    """Read which plan is asked for, and when.

    Raises:
        FieldInvalid, FieldsInvalid: with every fault.
    """
    faults = Faults()
    with faults.gathered():
        named = parse_named(request)
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
    faults.check()
    return WantedPlan(named, plan_code, request.plan_version, Change(effective, at))


def parse_migration(request: pb.MigrateSubscriptionsRequest) -> Migration:
    """Read which subscriptions are to be migrated, and how.

    Raises:
        FieldInvalid, FieldsInvalid: with every fault.
    """
    faults = Faults()
    with faults.gathered():
        plan_code = parse_code(request.plan_code, "plan_code")
    for name in ("from_version", "to_version"):
        if getattr(request, name) < 0:
            faults.add(name, f"is {getattr(request, name)}, must not be negative")
    effective = PlanEffective.NOW
    if request.effective:
        with faults.gathered():
            named = parse_enum(
                request.effective, pb.PlanEffective, "effective", prefix="PLAN_EFFECTIVE_"
            )
            effective = PlanEffective(named)
    if effective is PlanEffective.AT:
        faults.add("effective", "must be PLAN_EFFECTIVE_NOW or PLAN_EFFECTIVE_PERIOD_END")
    mode = MigrationMode.REPRICE
    if request.mode:
        with faults.gathered():
            mode = MigrationMode(
                parse_enum(request.mode, pb.MigrationMode, "mode", prefix="MIGRATION_MODE_")
            )
    faults.check()
    return Migration(
        plan_code,
        request.from_version,
        request.to_version,
        at_period_end=effective is PlanEffective.PERIOD_END,
        mode=mode,
    )


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
