"""Tables of who sells and who buys, and of the taxes between them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
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
    PrimaryKeyConstraint("tenant", "code"),
    CheckConstraint("number_prefix ~ '^[A-Z0-9]{1,12}$'", name="prefix_is_short"),
    CheckConstraint("grace_days BETWEEN 0 AND 60", name="grace_within_bounds"),
    CheckConstraint("net_terms_days BETWEEN 0 AND 365", name="terms_within_bounds"),
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
    Column("created_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("tenant", "customer_id"),
    UniqueConstraint("tenant", "number"),
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
