"""Tables of the rating database. Every key of a tenant's table leads with the tenant.

The first migration also forces row-level security on them, and guards with triggers what is
written once: plan versions, closes and their fees.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from libs.schema import required, shared_tables
from services.rating.store.alert_schema import alert_firings, alert_states, alerts
from services.rating.store.base import INSTANT
from services.rating.store.base import metadata as metadata
from services.rating.store.entitlement_schema import (
    features,
    plan_entitlements,
    subscription_entitlements,
)
from services.rating.store.fixed_schema import fixed_unit_changes
from services.rating.store.instant_schema import (
    instant_bills,
    instant_fees,
    instant_slices,
    instant_states,
)
from services.rating.store.meter_schema import meters as meters
from services.rating.store.threshold_schema import threshold_crossings
from services.rating.store.usage_schema import (
    ambiguous,
    cell_counts,
    cell_levels,
    cell_values,
    cells,
    reattributions,
    unattributed,
    valueless_days,
)
from services.rating.store.watched_schema import followed_customers, watch_notes, watches

# Raised by every command that changes which cells an event counts in: a fold holds it shared.
catalog_versions = Table(
    "catalog_versions",
    metadata,
    Column("tenant", Integer),
    required("version", BigInteger),
    PrimaryKeyConstraint("tenant"),
)

plans = Table(
    "plans",
    metadata,
    Column("tenant", Integer),
    Column("code", Text),
    required("plan_id", Uuid),
    required("name", Text),
    required("currency", Text),
    required("created_at", INSTANT),
    Column("archived_at", INSTANT),
    PrimaryKeyConstraint("tenant", "code"),
    UniqueConstraint("tenant", "plan_id"),
    CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_is_a_code"),
)

plan_versions = Table(
    "plan_versions",
    metadata,
    Column("tenant", Integer),
    Column("plan_version_id", Uuid),
    required("plan_code", Text),
    required("version", Integer),
    required("meter_codes", ARRAY(Text)),  # Those that its charges price.
    required(
        "instant_meter_codes", ARRAY(Text), default="{}"
    ),  # Of them, those of instant charges.
    required("body", JSONB),  # See plan_body.py.
    required("created_at", INSTANT),
    # Whose prices these are in place of those of the version of that number; null: everyone's.
    Column("subscription_uid", Uuid),
    PrimaryKeyConstraint("tenant", "plan_version_id"),
    Index(
        "plan_versions_by_number",
        "tenant",
        "plan_code",
        "version",
        unique=True,
        postgresql_where=text("subscription_uid IS NULL"),
    ),
    ForeignKeyConstraint(["tenant", "plan_code"], ["plans.tenant", "plans.code"]),
    CheckConstraint("version > 0", name="versions_start_with_1"),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("tenant", Integer),
    Column("subscription_uid", Uuid),
    required("subscription_id", Text),
    required("customer_id", Text),
    required("plan_version_id", Uuid),
    required("currency", Text),
    required("starts_at", INSTANT),
    Column("ends_at", INSTANT),
    required("time_zone", Text),
    required("status", Text),
    required("default_for_usage", Boolean),
    required("collection_delay_s", Integer),
    required("created_at", INSTANT),
    # When the next billing periods must be written, and the week or month written last; null:
    # none is left to write, or none was written.
    Column("extend_at", INSTANT),
    Column("written_day", Date),
    required("billing_time", Text),
    required("anchor_day", Date),  # In its zone.
    required("revision", BigInteger, default="1"),  # Raised by every command; the etag.
    Column("changes_at", INSTANT),  # When its next leg starts; null: none lies ahead.
    required("unused_fee", Text, default="credit"),  # On its termination.
    required("final_invoice", Boolean, default="true"),  # False: it ended without one.
    required("metadata", JSONB, default="{}"),  # Texts by key, of the client's.
    required("billing_entity_code", Text, default=""),  # Who sells it; empty: as the customer has.
    Column("historical_usage", Numeric),  # What its id had used elsewhere; currency units.
    Column("billed_from", INSTANT),  # Periods that ended by then are not billed; null: all are.
    PrimaryKeyConstraint("tenant", "subscription_uid"),
    ForeignKeyConstraint(
        ["tenant", "plan_version_id"],
        ["plan_versions.tenant", "plan_versions.plan_version_id"],
    ),
    CheckConstraint(
        "status IN ('pending', 'active', 'paused', 'terminated', 'canceled')",
        name="status_is_known",
    ),
    CheckConstraint("starts_at <= ends_at", name="ends_after_it_starts"),
    CheckConstraint("historical_usage >= 0", name="history_is_not_negative"),
    CheckConstraint(
        "status NOT IN ('terminated', 'canceled') OR ends_at IS NOT NULL",
        name="terminated_has_an_end",
    ),
    CheckConstraint(
        "unused_fee IN ('credit', 'refund', 'offset', 'skip')", name="unused_fee_is_known"
    ),
    CheckConstraint("collection_delay_s >= 0", name="delay_is_not_negative"),
    CheckConstraint("billing_time IN ('calendar', 'anniversary')", name="billing_time_is_known"),
    Index(
        "subscriptions_live_id",
        "tenant",
        "subscription_id",
        unique=True,
        postgresql_where=text("status IN ('pending', 'active', 'paused')"),
    ),
    Index("subscriptions_by_id", "tenant", "subscription_id", "starts_at", "subscription_uid"),
    Index("subscriptions_by_customer", "tenant", "customer_id", "subscription_id", "starts_at"),
    Index("subscriptions_to_start", "starts_at", postgresql_where=text("status = 'pending'")),
    Index(
        "subscriptions_to_end",
        "ends_at",
        postgresql_where=text("status NOT IN ('terminated', 'canceled') AND ends_at IS NOT NULL"),
    ),
    Index("subscriptions_to_change", "changes_at", postgresql_where=text("changes_at IS NOT NULL")),
    Index("subscriptions_to_extend", "extend_at", postgresql_where=text("extend_at IS NOT NULL")),
)

# A row is a leg: a stretch of a term in one zone, on one plan version. Those of one term differ in
# them, or lie apart by a pause; they share the term's cells and billing periods.
terms = Table(
    "terms",
    metadata,
    Column("tenant", Integer),
    Column("term_id", Uuid),
    required("subscription_uid", Uuid),
    required("plan_version_id", Uuid),
    required("time_zone", Text),
    Column("starts_at", INSTANT),
    Column("ends_at", INSTANT),
    # No event in it counts on an earlier day: after a change of zone days do not go back.
    required("first_day", Date),
    required("first_leg", Boolean, default="true"),  # Of its term.
    required("default_for_usage", Boolean, default="false"),
    # All time before the subscription starts: events that name it are carried by recurring meters.
    required("early", Boolean),
    PrimaryKeyConstraint("tenant", "term_id", "starts_at"),
    UniqueConstraint("tenant", "subscription_uid", "starts_at"),
    ForeignKeyConstraint(
        ["tenant", "subscription_uid"],
        ["subscriptions.tenant", "subscriptions.subscription_uid"],
    ),
    ForeignKeyConstraint(
        ["tenant", "plan_version_id"],
        ["plan_versions.tenant", "plan_versions.plan_version_id"],
    ),
    CheckConstraint("starts_at <= ends_at", name="ends_after_it_starts"),
)


billing_periods = Table(
    "billing_periods",
    metadata,
    Column("tenant", Integer),
    Column("period_id", Uuid),
    required("kind", Text),
    required("subscription_uid", Uuid),
    required("subscription_id", Text),
    required("customer_id", Text),
    required("term_id", Uuid),
    required("plan_version_id", Uuid),
    required("currency", Text),
    required("billing_entity_code", Text, default=""),
    required("time_zone", Text),
    required("whole_first_day", Date),  # The week or month that proration divides by.
    required("whole_end_day", Date),
    required("fee_first_day", Date),
    required("fee_end_day", Date),
    required("usage_end_day", Date),  # Behind the fee days where the plan changes on a day.
    # First and end days, in turn, of stretches of the fee days that are not billed.
    required("paused_days", ARRAY(Date), default="{}"),
    required("usage_start", INSTANT),
    required("usage_end", INSTANT),
    required("due_at", INSTANT),
    required("status", Text),
    required("late_version", BigInteger, default="0"),
    required("bills", Text, default=""),  # Which instant fees of a charge; of INSTANT alone.
    # When what it carries of seats is to be charged; null: nothing is, or it was.
    Column("renews_at", INSTANT),
    # Of meters whose carried units another plan has charged for the rest of the week or month.
    required("held_codes", ARRAY(Text), default="{}"),
    PrimaryKeyConstraint("tenant", "period_id"),
    UniqueConstraint("tenant", "term_id", "kind", "whole_first_day", "bills"),
    ForeignKeyConstraint(
        ["tenant", "subscription_uid"],
        ["subscriptions.tenant", "subscriptions.subscription_uid"],
    ),
    ForeignKeyConstraint(
        ["tenant", "plan_version_id"],
        ["plan_versions.tenant", "plan_versions.plan_version_id"],
    ),
    CheckConstraint("kind IN ('base', 'usage', 'fixed', 'instant')", name="kind_is_known"),
    CheckConstraint("(kind = 'instant') = (bills <> '')", name="instant_bills_something"),
    CheckConstraint("status IN ('open', 'due', 'closed', 'skipped')", name="status_is_known"),
    CheckConstraint("renews_at IS NULL OR status = 'open'", name="renewed_before_it_is_due"),
    CheckConstraint(
        "whole_first_day <= fee_first_day AND fee_first_day <= fee_end_day"
        " AND fee_end_day <= whole_end_day",
        name="fee_days_within_whole",
    ),
    CheckConstraint(
        "fee_end_day <= usage_end_day AND usage_end_day <= whole_end_day",
        name="usage_days_within_whole",
    ),
    CheckConstraint("usage_start <= usage_end", name="usage_ends_after_it_starts"),
    Index("billing_periods_by_day", "tenant", "term_id", "fee_first_day"),
    Index("billing_periods_by_subscription", "tenant", "subscription_uid"),
    Index("billing_periods_by_id", "tenant", "subscription_id", "due_at", "kind", "period_id"),
    Index(
        "billing_periods_open",
        "due_at",
        "tenant",
        "customer_id",
        "currency",
        postgresql_where=text("status = 'open'"),
    ),
    Index("billing_periods_to_renew", "renews_at", postgresql_where=text("renews_at IS NOT NULL")),
    Index(
        "billing_periods_renewed_by_customer",
        "tenant",
        "customer_id",
        "renews_at",
        postgresql_where=text("renews_at IS NOT NULL"),
    ),
)

# What was frozen of a period: 0 its close, 1 and up its adjustments. Written once.
closes = Table(
    "closes",
    metadata,
    Column("tenant", Integer),
    Column("period_id", Uuid),
    Column("sequence", Integer),
    required("closed_at", INSTANT),
    required("late_version", BigInteger),
    required("applied", JSONB),  # [[shard, partition, number], …]: what was in the cells.
    required("usage_traceparents", ARRAY(Text)),
    required("high_cardinality_codes", ARRAY(Text)),  # Of meters that were read from the log.
    PrimaryKeyConstraint("tenant", "period_id", "sequence"),
    ForeignKeyConstraint(
        ["tenant", "period_id"], ["billing_periods.tenant", "billing_periods.period_id"]
    ),
    CheckConstraint("sequence >= 0", name="sequence_is_not_negative"),
)

closed_fees = Table(
    "closed_fees",
    metadata,
    Column("tenant", Integer),
    Column("period_id", Uuid),
    Column("sequence", Integer),
    Column("kind", Text),
    Column("charge_code", Text),
    Column("filter_code", Text),
    Column("group_key", LargeBinary),  # 128 bits for the values; empty for none.
    required("group_values", JSONB),  # [[key, value], …]
    required("place", Integer),
    required("meter_code", Text),
    required("display_name", Text),
    required("units", Numeric),
    required("event_count", BigInteger),
    required("exact_amount", Numeric),
    required("amount_minor", BigInteger),
    required("breakdown", JSONB),
    required("tax_codes", ARRAY(Text)),
    PrimaryKeyConstraint(
        "tenant", "period_id", "sequence", "kind", "charge_code", "filter_code", "group_key"
    ),
    ForeignKeyConstraint(
        ["tenant", "period_id", "sequence"],
        ["closes.tenant", "closes.period_id", "closes.sequence"],
    ),
)

OWN_TENANT_TABLES = (
    catalog_versions,
    meters,
    plans,
    plan_versions,
    subscriptions,
    terms,
    fixed_unit_changes,
    cells,
    cell_values,
    cell_levels,
    cell_counts,
    unattributed,
    ambiguous,
    valueless_days,
    reattributions,
    billing_periods,
    closes,
    closed_fees,
    instant_slices,
    instant_states,
    instant_fees,
    instant_bills,
    watches,
    watch_notes,
    followed_customers,
    alerts,
    alert_states,
    alert_firings,
    features,
    plan_entitlements,
    subscription_entitlements,
    threshold_crossings,
)
WRITTEN_ONCE = (plan_versions, fixed_unit_changes, closes, closed_fees, threshold_crossings)

shared_tables(metadata)
