"""Tables of coupons: which there are, which customers have some, what they took off of invoices."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from libs.schema import required
from services.invoicing.store.schema_base import metadata, of_invoice

# Their terms never change.
coupons = Table(
    "coupons",
    metadata,
    Column("tenant", Integer),
    Column("code", Text),
    required("name", Text),
    Column("percent", Numeric),  # A percentage, or else an amount in a currency.
    Column("amount_off_minor", BigInteger),
    required("currency", Text),
    required("frequency", Text),
    required("periods", Integer),
    Column("meter_codes", ARRAY(Text), nullable=False),
    Column("plan_codes", ARRAY(Text), nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("archived_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("tenant", "code"),
    CheckConstraint(
        "(percent IS NULL) <> (amount_off_minor IS NULL)"
        " AND (amount_off_minor IS NULL) = (currency = '')",
        name="percent_or_amount",
    ),
    CheckConstraint(
        "percent > 0 AND percent <= 100 OR amount_off_minor > 0", name="takes_something"
    ),
    CheckConstraint(
        "cardinality(meter_codes) = 0 OR cardinality(plan_codes) = 0", name="one_scope"
    ),
    CheckConstraint(
        "frequency IN ('once', 'periods', 'forever') AND periods >= 0"
        " AND (periods > 0) = (frequency = 'periods')",
        name="frequency_known",
    ),
)

# A coupon of a customer: what it took off of how many invoices so far, and the most of both.
applied_coupons = Table(
    "applied_coupons",
    metadata,
    Column("tenant", Integer),
    Column("applied_coupon_id", Uuid),
    Column("ordinal", BigInteger, Identity(), nullable=False),  # Its age; has gaps.
    required("customer_id", Text),
    required("coupon_code", Text),
    required("status", Text),
    required("used_minor", BigInteger, default="0"),
    required("used_count", Integer, default="0"),
    Column("most_minor", BigInteger),
    Column("most_count", Integer),
    Column("applied_at", DateTime(timezone=True), nullable=False),
    Column("removed_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("tenant", "applied_coupon_id"),
    ForeignKeyConstraint(["tenant", "customer_id"], ["customers.tenant", "customers.customer_id"]),
    ForeignKeyConstraint(["tenant", "coupon_code"], ["coupons.tenant", "coupons.code"]),
    CheckConstraint("status IN ('active', 'used', 'removed')", name="coupon_status_known"),
    CheckConstraint("(removed_at IS NULL) = (status <> 'removed')", name="removed_at_an_instant"),
    CheckConstraint(
        "used_minor >= 0 AND used_count >= 0"
        " AND used_minor <= coalesce(most_minor, used_minor)"
        " AND used_count <= coalesce(most_count, used_count)",
        name="used_no_more_than_it_may",
    ),
    Index("applied_coupons_newest", "tenant", "ordinal"),
    Index("applied_coupons_newest_of_customer", "tenant", "customer_id", "ordinal"),
    Index(
        "applied_coupons_active",
        "tenant",
        "customer_id",
        "ordinal",
        postgresql_where=text("status = 'active'"),
    ),
)

# What coupons take off of an invoice, in their order.
invoice_coupons = of_invoice(
    "invoice_coupons",
    Column("position", Integer),
    required("applied_coupon_id", Uuid),
    Column("left_minor", BigInteger),  # Of an amount, before it.
    required("amount_minor", BigInteger),
    PrimaryKeyConstraint("tenant", "invoice_id", "position"),
    ForeignKeyConstraint(
        ["tenant", "applied_coupon_id"],
        ["applied_coupons.tenant", "applied_coupons.applied_coupon_id"],
    ),
    CheckConstraint(
        "amount_minor > 0 AND amount_minor <= coalesce(left_minor, amount_minor)",
        name="use_within_what_is_left",
    ),
    Index("invoice_coupons_of_coupon", "tenant", "applied_coupon_id"),
)
