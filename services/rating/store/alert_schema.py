"""Tables of alerts: what is looked for, how it stood at the last look, and what was told."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from libs.schema import required
from services.rating.store.base import INSTANT, metadata

alerts = Table(
    "alerts",
    metadata,
    Column("tenant", Integer),
    Column("alert_id", Uuid),
    required("subscription_id", Text),
    required("code", Text),
    required("name", Text),
    required("measure", Text),
    Column("meter_code", Text),
    required("direction", Text),
    required("thresholds", JSONB),  # [[code, value], …], by value; values are decimals as text.
    Column("repeating_step", Numeric),
    required("created_at", INSTANT),
    # When its subscription's next period starts, which may carry usage; null: that is not known.
    Column("looks_at", INSTANT),
    PrimaryKeyConstraint("tenant", "alert_id"),
    UniqueConstraint("tenant", "subscription_id", "code"),
    CheckConstraint("measure IN ('units', 'amount', 'current_amount')", name="measure_is_known"),
    CheckConstraint(
        "(measure = 'current_amount') = (meter_code IS NULL)", name="parts_are_of_a_meter"
    ),
    CheckConstraint("direction IN ('rising', 'falling')", name="direction_is_known"),
    CheckConstraint(
        "repeating_step IS NULL OR (repeating_step > 0 AND direction = 'rising')",
        name="steps_rise",
    ),
    Index("alerts_to_look", "looks_at", postgresql_where=text("looks_at IS NOT NULL")),
)

# What the usage of a period had come to at the last look. Its revision rises with each: who stores
# a later one must have seen this. No foreign key: periods that are not billed may vanish.
alert_states = Table(
    "alert_states",
    metadata,
    Column("tenant", Integer),
    Column("alert_id", Uuid),
    Column("period_id", Uuid),
    required("value", Numeric),
    required("revision", BigInteger),
    PrimaryKeyConstraint("tenant", "alert_id", "period_id"),
    ForeignKeyConstraint(["tenant", "alert_id"], ["alerts.tenant", "alerts.alert_id"]),
)

# What was told: each threshold and step of a period once, and anew after it was crossed back.
alert_firings = Table(
    "alert_firings",
    metadata,
    Column("tenant", Integer),
    Column("alert_id", Uuid),
    Column("period_id", Uuid),
    Column("threshold_code", Text),
    Column("step", BigInteger),
    Column("earlier_count", Integer),
    required("threshold_value", Numeric),
    required("value", Numeric),
    required("usage_start", INSTANT),
    required("usage_end", INSTANT),
    required("triggered_at", INSTANT),
    PrimaryKeyConstraint(
        "tenant", "alert_id", "period_id", "threshold_code", "step", "earlier_count"
    ),
    ForeignKeyConstraint(["tenant", "alert_id"], ["alerts.tenant", "alerts.alert_id"]),
    Index("alert_firings_by_time", "tenant", "alert_id", "triggered_at"),
)
