"""Table of changes of the units of fixed charges."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    Date,
    ForeignKeyConstraint,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
)

from libs.schema import required
from services.rating.store.base import INSTANT, metadata

# Written once: a later change has the next number, whatever its day.
fixed_unit_changes = Table(
    "fixed_unit_changes",
    metadata,
    Column("tenant", Integer),
    Column("subscription_uid", Uuid),
    Column("charge_code", Text),
    Column("number", Integer),  # 1, 2, 3, … of the charge.
    required("term_id", Uuid),  # On another plan they do not count.
    required("from_day", Date),
    required("units", Numeric),
    required("changed_at", INSTANT),
    PrimaryKeyConstraint("tenant", "subscription_uid", "charge_code", "number"),
    ForeignKeyConstraint(
        ["tenant", "subscription_uid"],
        ["subscriptions.tenant", "subscriptions.subscription_uid"],
    ),
    CheckConstraint("number > 0", name="numbers_start_with_1"),
    CheckConstraint("units >= 0", name="units_are_not_negative"),
)
