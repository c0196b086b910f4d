"""Tables of top-ups, and of the rules that make them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from libs.schema import required
from services.wallet.store.schema_base import AT, OF_WALLET, metadata

top_up_rules = Table(
    "top_up_rules",
    metadata,
    Column("tenant", Integer),
    Column("rule_id", Uuid),
    Column("number", BigInteger, Identity(), nullable=False),  # Grows with age.
    required("wallet_id", Uuid),
    required("name", Text),
    # Either a threshold or an interval.
    Column("threshold_minor", BigInteger),
    Column("cool_down_s", Integer),
    Column("interval", Text),
    Column("first_day", Date),
    # Either fixed amounts or a target.
    Column("paid_minor", BigInteger),
    Column("granted_minor", BigInteger),
    Column("target_minor", BigInteger),
    Column("gives_target", Boolean),
    required("time_zone", Text),
    required("requires_payment", Boolean),
    required("ignores_limits", Boolean),
    Column("monthly_cap_minor", BigInteger),
    Column("expires_at", AT),
    required("created_at", AT),
    Column("archived_at", AT),
    required("done_through", Date),  # No day up to it is an occasion any more.
    required("fired", BigInteger, default="0"),
    Column("fired_at", AT),
    Column("look_at", AT),  # When to look at it; null: when the balance has changed.
    PrimaryKeyConstraint("tenant", "rule_id"),
    ForeignKeyConstraint(["tenant", "wallet_id"], OF_WALLET),
    CheckConstraint(
        "num_nonnulls(threshold_minor, cool_down_s) = 2 AND num_nulls(interval, first_day) = 2"
        " OR num_nulls(threshold_minor, cool_down_s) = 2 AND num_nonnulls(interval, first_day) = 2",
        name="one_trigger",
    ),
    CheckConstraint(
        "num_nonnulls(paid_minor, granted_minor) = 2 AND num_nulls(target_minor, gives_target) = 2"
        " AND paid_minor >= 0 AND granted_minor >= 0 AND paid_minor + granted_minor > 0"
        " OR num_nulls(paid_minor, granted_minor) = 2"
        " AND num_nonnulls(target_minor, gives_target) = 2 AND target_minor > 0",
        name="one_amount",
    ),
    CheckConstraint("monthly_cap_minor > 0", name="cap_above_zero"),
    CheckConstraint("archived_at IS NULL OR look_at IS NULL", name="archived_rules_rest"),
    Index("top_up_rules_of_wallet", "tenant", "wallet_id", "number"),
    # Read over all tenants, by the worker.
    Index("top_up_rules_due", "look_at", postgresql_where=text("look_at IS NOT NULL")),
)

# What is bought is billed by an invoice of the same id, and becomes a grant of the same id: so it
# cannot be put in twice.
top_ups = Table(
    "top_ups",
    metadata,
    Column("tenant", Integer),
    Column("top_up_id", Uuid),
    Column("number", BigInteger, Identity(), nullable=False),  # Grows with age.
    required("wallet_id", Uuid),
    required("currency", Text),
    required("paid_minor", BigInteger),
    required("granted_minor", BigInteger),
    required("requires_payment", Boolean),
    required("status", Text),
    Column("rule_id", Uuid),  # Null: somebody asked for it.
    Column("occasion", Text),
    required("created_at", AT),
    Column("closed_at", AT),
    PrimaryKeyConstraint("tenant", "top_up_id"),
    UniqueConstraint("tenant", "rule_id", "occasion", name="each_occasion_once"),
    ForeignKeyConstraint(["tenant", "wallet_id"], OF_WALLET),
    ForeignKeyConstraint(["tenant", "rule_id"], ["top_up_rules.tenant", "top_up_rules.rule_id"]),
    CheckConstraint(
        "status IN ('pending', 'settled', 'failed', 'cancelled')", name="top_up_status"
    ),
    CheckConstraint(
        "paid_minor >= 0 AND granted_minor >= 0 AND paid_minor + granted_minor > 0"
        " AND (paid_minor > 0 OR status = 'settled')",
        name="top_up_above_zero",
    ),
    CheckConstraint("(closed_at IS NULL) = (status = 'pending')", name="closed_when_resolved"),
    CheckConstraint("(rule_id IS NULL) = (occasion IS NULL)", name="rules_name_occasions"),
    Index("top_ups_of_wallet", "tenant", "wallet_id", "number"),
    Index(
        "one_outstanding_of_rule",
        "tenant",
        "rule_id",
        unique=True,
        postgresql_where=text("status = 'pending' AND rule_id IS NOT NULL"),
    ),
)
