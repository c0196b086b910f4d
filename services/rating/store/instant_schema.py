"""Tables of instant charges: slices to be priced, what single events cost, what is billed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from libs.schema import required
from services.rating.store.base import INSTANT, metadata

PERIODS = ["billing_periods.tenant", "billing_periods.period_id"]


def part_of_charge() -> tuple[Column[Any], ...]:
    """Return the columns that name a bucket and group of a charge."""
    return (
        Column("charge_code", Text),
        Column("filter_code", Text),
        Column("group_key", LargeBinary),  # 128 bits for the values; empty for none.
        required("group_values", JSONB),  # [[key, value], …]
    )


PART = ("charge_code", "filter_code", "group_key")

# Slices of the log that have events of instant charges and were folded, but are not priced yet.
instant_slices = Table(
    "instant_slices",
    metadata,
    Column("tenant", Integer),
    Column("shard", Integer),
    Column("partition", Integer),
    Column("number", BigInteger),
    required("first_time_us", BigInteger),  # Of the tenant's events; microseconds since 1970.
    PrimaryKeyConstraint("tenant", "shard", "partition", "number"),
)

# What the events that were priced come to, by usage period, charge, bucket and group.
instant_states = Table(
    "instant_states",
    metadata,
    Column("tenant", Integer),
    Column("period_id", Uuid),
    *part_of_charge(),
    required("last_time_us", BigInteger),  # The moment of the latest of them.
    required("last_shard", Integer),
    required("last_number", BigInteger),
    required("last_place", Integer),
    required("event_count", BigInteger),
    required("units", Numeric),
    required("amount", Numeric),  # Of the events' own.
    required("freed", Numeric),
    required("free_events", BigInteger),
    required("alone", Numeric),
    required("paid", Numeric),  # The most that they have cost; currency units.
    required("unbilled", Numeric),  # Of their fees, where they are billed early; currency units.
    required("unbilled_units", Numeric),
    required("unbilled_count", BigInteger),
    required("unbilled_carried", Numeric),  # What earlier bills left; currency units.
    PrimaryKeyConstraint("tenant", "period_id", *PART),
    ForeignKeyConstraint(["tenant", "period_id"], PERIODS),
    CheckConstraint("unbilled >= 0", name="unbilled_is_not_negative"),
)

instant_fees = Table(
    "instant_fees",
    metadata,
    Column("tenant", Integer),
    Column("fee_id", Uuid),
    required("period_id", Uuid),  # Of usage.
    *part_of_charge(),
    required("time_us", BigInteger),  # The moment of its event.
    required("shard", Integer),  # -1: it has none, the period renews what it carries.
    required("number", BigInteger),
    required("place", Integer),
    required("units", Numeric),
    required("exact_amount", Numeric),
    Column("payment_status", Text),  # Null: invoices bill it.
    required("rated_at", INSTANT),
    PrimaryKeyConstraint("tenant", "fee_id"),
    ForeignKeyConstraint(["tenant", "period_id"], PERIODS),
    CheckConstraint("exact_amount > 0", name="costs_something"),
    CheckConstraint(
        "payment_status IN ('pending', 'succeeded', 'failed')", name="payment_status_is_known"
    ),
    Index(
        "instant_fees_once_an_event",
        "tenant",
        "shard",
        "number",
        "place",
        "charge_code",
        "period_id",
        unique=True,
        postgresql_where=text("shard >= 0"),
    ),
    Index(
        "instant_fees_renewed_once",
        "tenant",
        "period_id",
        *PART,
        unique=True,
        postgresql_where=text("shard < 0"),
    ),
    Index("instant_fees_by_period", "tenant", "period_id"),
)

# What of instant fees is billed by a period of the kind INSTANT; whole minor units.
instant_bills = Table(
    "instant_bills",
    metadata,
    Column("tenant", Integer),
    Column("period_id", Uuid),
    required("usage_period_id", Uuid),
    *part_of_charge(),
    required("meter_code", Text),
    required("display_name", Text),
    required("units", Numeric),
    required("event_count", BigInteger),
    required("rated", Numeric),  # What the events cost exactly; currency units.
    required("amount_minor", BigInteger),
    PrimaryKeyConstraint("tenant", "period_id", *PART),
    ForeignKeyConstraint(["tenant", "period_id"], PERIODS),
    ForeignKeyConstraint(["tenant", "usage_period_id"], PERIODS),
    CheckConstraint("amount_minor > 0", name="bills_something"),
    Index("instant_bills_by_usage_period", "tenant", "usage_period_id"),
)
