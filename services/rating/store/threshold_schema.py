"""The table of what usage thresholds announced, each with what the period cost then."""

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
)
from sqlalchemy.dialects.postgresql import JSONB

from libs.schema import required
from services.rating.store.base import INSTANT, metadata

# One for each time that usage of a period crossed any: the second of a period counts from what the
# first one told. Written once. No foreign key to periods: those that are not billed may vanish.
threshold_crossings = Table(
    "threshold_crossings",
    metadata,
    Column("tenant", Integer),
    Column("period_id", Uuid),
    Column("sequence", Integer),  # Of its period, from 1.
    required("crossing_id", Uuid),
    required("subscription_id", Text),
    required("currency", Text),
    required("plan_version_id", Uuid),
    required("crossed_at", INSTANT),
    required("crossed", JSONB),  # [[amount, whether it repeats], …]; amounts are texts.
    required("lifetime_amount", Numeric),  # Currency units.
    required("amount_minor", BigInteger),  # Of all usage of the period then.
    required("fees", JSONB),
    PrimaryKeyConstraint("tenant", "period_id", "sequence"),
    UniqueConstraint("tenant", "crossing_id"),
    Index("threshold_crossings_in_order", "tenant", "crossed_at", "crossing_id"),
    ForeignKeyConstraint(
        ["tenant", "plan_version_id"],
        ["plan_versions.tenant", "plan_versions.plan_version_id"],
    ),
    CheckConstraint("sequence > 0", name="sequence_begins_with_1"),
)
