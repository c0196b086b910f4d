"""Tables of webhooks: where facts are sent, and each fact that is or was sent there."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from libs.schema import required
from services.invoicing.store.schema_base import metadata

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("tenant", Integer),
    Column("endpoint_id", Uuid),
    Column("ordinal", BigInteger, Identity(), nullable=False),  # Order of creation; has gaps.
    required("url", Text),
    Column("fact_types", ARRAY(Text), nullable=False),  # Empty: all.
    required("disabled", Boolean, default="false"),
    required("secret", Text),
    required("previous_secret", Text, default=""),
    Column("previous_secret_until", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("tenant", "endpoint_id"),
    CheckConstraint(
        "secret <> '' AND (previous_secret = '') = (previous_secret_until IS NULL)",
        name="webhook_secrets",
    ),
    Index("webhook_endpoints_newest", "tenant", "ordinal"),
)

# A fact is kept with its delivery, whatever becomes of the outbox. Who sends it claims it until
# `claimed_until`, by the clock on the wall: a process that is killed holds up nothing for long.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("tenant", Integer),
    Column("delivery_id", Uuid),
    Column("ordinal", BigInteger, Identity(), nullable=False),  # Order of creation; has gaps.
    Column("endpoint_id", Uuid, nullable=False),
    Column("event_id", Uuid, nullable=False),
    required("fact_type", Text),
    required("payload", LargeBinary),
    required("status", Text),
    required("attempts", Integer, default="0"),
    required("last_status_code", Integer, default="0"),
    required("last_error", Text, default=""),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("give_up_at", DateTime(timezone=True), nullable=False),
    Column("next_attempt_at", DateTime(timezone=True)),
    Column("claimed_until", DateTime(timezone=True)),
    PrimaryKeyConstraint("tenant", "delivery_id"),
    UniqueConstraint("tenant", "endpoint_id", "event_id"),
    ForeignKeyConstraint(
        ["tenant", "endpoint_id"],
        ["webhook_endpoints.tenant", "webhook_endpoints.endpoint_id"],
        ondelete="CASCADE",
    ),
    CheckConstraint(
        "status IN ('pending', 'succeeded', 'failed')"
        " AND (status = 'pending') = (next_attempt_at IS NOT NULL) AND attempts >= 0",
        name="delivery_status_consistent",
    ),
    Index("webhook_deliveries_newest", "tenant", "ordinal"),
    Index("webhook_deliveries_of_endpoint", "tenant", "endpoint_id", "ordinal"),
    Index(
        "webhook_deliveries_due_of_endpoint",
        "tenant",
        "endpoint_id",
        "next_attempt_at",
        postgresql_where=text("next_attempt_at IS NOT NULL"),
    ),
    Index(
        "webhook_deliveries_due",
        "next_attempt_at",
        postgresql_where=text("next_attempt_at IS NOT NULL"),
    ),
)
