"""Tables of features, and of who has them."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from libs.schema import required
from services.rating.store.base import INSTANT, metadata

FEATURE = ["features.tenant", "features.code"]

features = Table(
    "features",
    metadata,
    Column("tenant", Integer),
    Column("code", Text),
    required("name", Text),
    required("privileges", JSONB),  # [{code, name, type, options}, …]
    Column("meter_code", Text),
    required("created_at", INSTANT),
    Column("archived_at", INSTANT),
    PrimaryKeyConstraint("tenant", "code"),
    ForeignKeyConstraint(["tenant", "meter_code"], ["meters.tenant", "meters.code"]),
)

# The features of all versions of a plan.
plan_entitlements = Table(
    "plan_entitlements",
    metadata,
    Column("tenant", Integer),
    Column("plan_code", Text),
    Column("feature_code", Text),
    required("privileges", JSONB),  # Values by privilege code; decimals as text.
    # {units, kind, reset, minimum, maximum}; null: unlimited.
    Column("usage_limit", JSONB(none_as_null=True)),
    PrimaryKeyConstraint("tenant", "plan_code", "feature_code"),
    ForeignKeyConstraint(["tenant", "plan_code"], ["plans.tenant", "plans.code"]),
    ForeignKeyConstraint(["tenant", "feature_code"], FEATURE),
)

# In what subscriptions differ from their plans.
subscription_entitlements = Table(
    "subscription_entitlements",
    metadata,
    Column("tenant", Integer),
    Column("subscription_uid", Uuid),
    Column("feature_code", Text),
    required("removed", Boolean),
    required("privileges", JSONB),
    Column("usage_limit", JSONB(none_as_null=True)),  # Null: as in the plan.
    required("unlimited", Boolean),
    PrimaryKeyConstraint("tenant", "subscription_uid", "feature_code"),
    ForeignKeyConstraint(
        ["tenant", "subscription_uid"],
        ["subscriptions.tenant", "subscriptions.subscription_uid"],
    ),
    ForeignKeyConstraint(["tenant", "feature_code"], FEATURE),
    CheckConstraint(
        "NOT removed OR (privileges = '{}' AND usage_limit IS NULL AND NOT unlimited)",
        name="what_is_removed_has_nothing",
    ),
    CheckConstraint("NOT unlimited OR usage_limit IS NULL", name="unlimited_has_no_limit"),
)
