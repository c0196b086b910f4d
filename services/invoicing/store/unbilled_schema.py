"""Tables of usage that no invoice bills yet, as wallets are told of it."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from libs.schema import required
from services.invoicing.store.schema_base import metadata

# Customers with a wallet; rating announces their usage once it was asked to follow them.
wallet_customers = Table(
    "wallet_customers",
    metadata,
    Column("tenant", Integer),
    Column("customer_id", Text),
    required("followed", Boolean, default="false"),
    PrimaryKeyConstraint("tenant", "customer_id"),
    Index("wallet_customers_unfollowed", "tenant", postgresql_where=text("NOT followed")),
)

# What was told of a usage period last. `changes` counts what rating said and what was billed since,
# `told_changes` how much of that `lines` know.
unbilled_periods = Table(
    "unbilled_periods",
    metadata,
    Column("tenant", Integer),
    Column("period_id", Uuid),
    required("customer_id", Text),
    required("currency", Text),
    required("subscription_id", Text),
    required("changes", BigInteger, default="1"),
    required("told_changes", BigInteger, default="0"),
    required("revision", BigInteger, default="0"),
    required("lines", JSONB, default="[]"),
    PrimaryKeyConstraint("tenant", "period_id"),
    CheckConstraint("told_changes BETWEEN 0 AND changes", name="told_what_changed"),
    Index(
        "unbilled_periods_waiting",
        "tenant",
        "period_id",
        postgresql_where=text("told_changes < changes"),
    ),
)
