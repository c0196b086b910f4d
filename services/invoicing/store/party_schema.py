"""Tables of who sells and who buys, of the taxes between them, and of series of numbers."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from libs.schema import required
from services.invoicing.store.schema_base import metadata

billing_entities = Table(
    "billing_entities",
    metadata,
    Column("tenant", Integer),
    Column("code", Text),
    required("name", Text),
    required("address", JSONB),
    required("tax_id", Text),
    required("number_prefix", Text),
    required("numbering", Text),
    required("time_zone", Text),
    Column("default_tax_codes", ARRAY(Text), nullable=False),
    required("grace_days", Integer),
    required("net_terms_days", Integer),
    required("zero_invoices", Text),
    required("coupon_order", Text),
    required("issue_anchor", Text),
    required("issue_adjustment", Text),
    required("payment_details", Text),
    required("footer", Text),
    required("is_default", Boolean),
    PrimaryKeyConstraint("tenant", "code"),
    CheckConstraint("number_prefix ~ '^[A-Z0-9][A-Z0-9-]{0,11}$'", name="prefix_is_short"),
    CheckConstraint("grace_days BETWEEN 0 AND 60", name="grace_within_bounds"),
    CheckConstraint("net_terms_days BETWEEN 0 AND 365", name="terms_within_bounds"),
    Index(
        "billing_entities_one_default",
        "tenant",
        unique=True,
        postgresql_where=text("is_default"),
    ),
)

# Every prefix that numbers ever had, and whose: two billing entities never number alike.
number_prefixes = Table(
    "number_prefixes",
    metadata,
    Column("tenant", Integer),
    Column("prefix", Text),
    required("entity_code", Text),
    PrimaryKeyConstraint("tenant", "prefix"),
    ForeignKeyConstraint(
        ["tenant", "entity_code"], ["billing_entities.tenant", "billing_entities.code"]
    ),
)

customers = Table(
    "customers",
    metadata,
    Column("tenant", Integer),
    Column("customer_id", Text),
    required("number", BigInteger),
    required("name", Text),
    required("email", Text),
    required("address", JSONB),
    required("tax_id", Text),
    Column("tax_codes", ARRAY(Text), nullable=False),
    required("tax_exempt", Boolean),
    required("tax_exempt_reason", Text),
    required("reverse_charge", Boolean),
    required("time_zone", Text),
    required("metadata", JSONB),
    required("stub", Boolean),
    required("entity_code", Text),  # Empty: the default.
    Column("grace_days", Integer),  # Null, here and below: as the entity has it.
    Column("net_terms_days", Integer),
    Column("issue_anchor", Text),
    Column("issue_adjustment", Text),
    required("self_billed", Boolean),
    Column("late_usage_days", Integer),  # Null: late usage always counts.
    Column("created_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("tenant", "customer_id"),
    UniqueConstraint("tenant", "number"),
    CheckConstraint("grace_days BETWEEN 0 AND 60", name="grace_within_bounds"),
    CheckConstraint("net_terms_days BETWEEN 0 AND 365", name="terms_within_bounds"),
    CheckConstraint("late_usage_days BETWEEN 0 AND 366", name="late_usage_within_bounds"),
)

taxes = Table(
    "taxes",
    metadata,
    Column("tenant", Integer),
    Column("code", Text),
    required("name", Text),
    required("rate_percent", Numeric),
    Column("created_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("tenant", "code"),
    CheckConstraint("rate_percent BETWEEN 0 AND 100", name="rate_within_bounds"),
)

# Counters without gaps: a number is taken and used in one transaction, as its last step.
number_series = Table(
    "number_series",
    metadata,
    Column("tenant", Integer),
    Column("kind", Text),  # customers, invoices, credit_notes, or customer_… of the last two.
    Column("key", Text),  # The billing entity, and for customer_… after a slash the customer.
    required("last", BigInteger),
    PrimaryKeyConstraint("tenant", "kind", "key"),
)
