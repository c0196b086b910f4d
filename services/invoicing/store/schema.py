"""Tables of the invoicing database. Every key leads with the tenant.

The first migration also forces row-level security on them, and guards with triggers what no CHECK
can see: a closed invoice never changes, and its parts sum up to it.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from libs.schema import TENANT_TABLES, required, shared_tables
from services.invoicing.store import (
    coupon_schema,
    note_schema,
    party_schema,
    payment_schema,
    schema_base,
    unbilled_schema,
    void_schema,
    webhook_schema,
)
from services.invoicing.store.schema_base import of_invoice

metadata = schema_base.metadata

invoices = Table(
    "invoices",
    metadata,
    Column("tenant", Integer),
    Column("invoice_id", Uuid),
    Column("ordinal", BigInteger, Identity(), nullable=False),  # Order of creation; has gaps.
    required("kind", Text),
    required("status", Text),
    required("customer_id", Text),
    required("currency", Text),
    required("entity_code", Text),
    required("group_day", Date),
    Column("alone", Uuid),  # Its one period, that has an invoice to itself; or itself, without any.
    required("time_zone", Text),
    Column("finalize_at", DateTime(timezone=True), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    required("coupons_minor", BigInteger, default="0"),
    required("progressive_credit_minor", BigInteger, default="0"),
    required("subtotal_minor", BigInteger, default="0"),
    required("tax_minor", BigInteger, default="0"),
    required("credit_notes_minor", BigInteger, default="0"),
    required("credits_minor", BigInteger, default="0"),
    required("total_minor", BigInteger, default="0"),
    Column("period_start", DateTime(timezone=True)),
    Column("period_end", DateTime(timezone=True)),
    required("revision", BigInteger, default="1"),
    required("refreshed_revision", BigInteger, default="0"),
    required("requires_payment", Boolean, default="false"),
    required("trace_headers", JSONB),
    required("trace_id", Text, default=""),
    Column("content_hash", LargeBinary),
    Column("default_tax_codes", ARRAY(Text)),  # Of lines that name none; null: it bears no tax.
    Column("seller", JSONB),  # Seller and buyer are frozen with the lines.
    Column("buyer", JSONB),
    Column("number", Text),
    Column("entity_sequence", BigInteger),
    Column("customer_sequence", BigInteger),
    Column("issue_date", Date),
    Column("due_date", Date),
    Column("finalized_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("tenant", "invoice_id"),
    UniqueConstraint("tenant", "number"),
    UniqueConstraint("tenant", "entity_code", "entity_sequence"),
    UniqueConstraint("tenant", "entity_code", "customer_id", "customer_sequence"),
    ForeignKeyConstraint(["tenant", "customer_id"], ["customers.tenant", "customers.customer_id"]),
    CheckConstraint(
        "status IN ('draft', 'finalizing', 'open', 'finalized', 'skipped', 'voided')",
        name="status_known",
    ),
    CheckConstraint(
        "kind IN ('subscription', 'instant', 'progressive', 'one_off', 'credit_purchase')",
        name="kind_known",
    ),
    CheckConstraint(
        "total_minor = subtotal_minor + tax_minor - credit_notes_minor - credits_minor",
        name="total_adds_up",
    ),
    CheckConstraint(
        "progressive_credit_minor >= 0 AND coupons_minor >= 0 AND subtotal_minor >= 0"
        " AND tax_minor >= 0"
        " AND credit_notes_minor >= 0 AND credits_minor >= 0 AND total_minor >= 0",
        name="amounts_not_negative",
    ),
    CheckConstraint(
        "(status IN ('finalized', 'voided')) = (number IS NOT NULL)"
        " AND (number IS NOT NULL OR entity_sequence IS NULL)"
        " AND (number IS NULL) = (customer_sequence IS NULL)",
        name="numbered_when_finalized",
    ),
    CheckConstraint(
        "(finalized_at IS NOT NULL) = (status IN ('finalized', 'skipped', 'voided'))"
        " AND (finalized_at IS NULL) = (issue_date IS NULL)"
        " AND (finalized_at IS NULL) = (due_date IS NULL)",
        name="dated_when_closed",
    ),
    CheckConstraint(
        "status = 'draft' OR (octet_length(content_hash) = 32"
        " AND seller IS NOT NULL AND buyer IS NOT NULL)",
        name="frozen_when_no_draft",
    ),
    CheckConstraint("refreshed_revision <= revision", name="refreshed_to_a_revision"),
    Index(
        "invoices_one_draft_a_group",
        "tenant",
        "customer_id",
        "currency",
        "entity_code",
        "group_day",
        "alone",
        "kind",
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where=text("status = 'draft'"),
    ),
    Index("invoices_newest", "tenant", "ordinal"),
    Index(
        "invoices_progressive_unfinished",
        "tenant",
        "invoice_id",
        postgresql_where=text("kind = 'progressive' AND status IN ('draft', 'finalizing')"),
    ),
    Index("invoices_newest_of_customer", "tenant", "customer_id", "ordinal"),
    Index(
        "invoices_unfinished",
        "finalize_at",
        postgresql_where=text("status IN ('draft', 'finalizing')"),
    ),
)

invoice_lines = of_invoice(
    "invoice_lines",
    Column("line_id", Uuid),
    required("position", Integer),
    required("fee_kind", Text),
    required("adjustment_sequence", Integer),
    required("charge_code", Text),
    required("filter_code", Text),
    required("meter_code", Text),
    required("description", Text),
    required("units", Numeric),
    required("event_count", BigInteger),
    required("exact_amount", Numeric),
    required("amount_minor", BigInteger),
    required("coupons_minor", BigInteger),
    Column("tax_codes", ARRAY(Text), nullable=False),  # What the line bears.
    required("progressive_credit_minor", BigInteger),
    required("tax_share_minor", BigInteger),
    required("credit_notes_minor", BigInteger),
    required("credits_minor", BigInteger),
    required("period_id", Uuid),
    Column("period_start", DateTime(timezone=True), nullable=False),
    Column("period_end", DateTime(timezone=True), nullable=False),
    required("first_day", Date),
    required("end_day", Date),
    required("time_zone", Text),
    required("subscription_id", Text),
    required("plan_code", Text),
    required("plan_version", Integer),
    required("breakdown", JSONB),
    required("group_values", JSONB),  # [[key, value], …]
    required("trace_id", Text),
    PrimaryKeyConstraint("tenant", "invoice_id", "line_id"),
    UniqueConstraint("tenant", "invoice_id", "position"),
    CheckConstraint(
        "amount_minor >= 0 OR adjustment_sequence > 0 OR fee_kind = 'correction'",
        name="negative_only_in_differences",
    ),
    CheckConstraint(
        "credit_notes_minor >= 0 AND credits_minor >= 0 AND (credit_notes_minor + credits_minor = 0"
        " OR credit_notes_minor + credits_minor"
        " <= amount_minor - progressive_credit_minor - coupons_minor + tax_share_minor)",
        name="credits_within_line",
    ),
    CheckConstraint(
        "progressive_credit_minor >= 0 AND coupons_minor >= 0"
        " AND progressive_credit_minor + coupons_minor <= greatest(amount_minor, 0)",
        name="taken_off_within_line",
    ),
)

# What an invoice bills by hand, without a period.
add_ons = of_invoice(
    "add_ons",
    Column("position", Integer),
    required("code", Text),
    required("name", Text),
    required("units", Numeric),
    required("unit_amount", Numeric),
    Column("tax_codes", ARRAY(Text), nullable=False),
    PrimaryKeyConstraint("tenant", "invoice_id", "position"),
    UniqueConstraint("tenant", "invoice_id", "code"),
    CheckConstraint("units > 0 AND unit_amount >= 0", name="add_on_not_negative"),
)

# What somebody set on a draft in place of what was rated.
adjusted_fees = of_invoice(
    "adjusted_fees",
    Column("line_id", Uuid),
    required("name", Text),
    Column("units", Numeric),
    Column("unit_amount", Numeric),
    PrimaryKeyConstraint("tenant", "invoice_id", "line_id"),
    CheckConstraint(
        "(units IS NULL) = (unit_amount IS NULL) AND units >= 0 AND unit_amount >= 0",
        name="adjusted_to_a_price",
    ),
)

invoice_taxes = of_invoice(
    "invoice_taxes",
    Column("position", Integer),
    required("tax_code", Text),
    required("name", Text),
    required("rate_percent", Numeric),
    required("base_minor", BigInteger),
    required("amount_minor", BigInteger),
    PrimaryKeyConstraint("tenant", "invoice_id", "position"),
    CheckConstraint(
        "amount_minor BETWEEN least(0, base_minor) AND greatest(0, base_minor)",
        name="tax_within_base",
    ),
)

# What wallets answered: each row is a part of a line that one grant paid.
invoice_credits = of_invoice(
    "invoice_credits",
    Column("position", Integer),
    required("line_id", Uuid),
    required("wallet_id", Uuid),
    required("grant_id", Uuid),
    required("amount_minor", BigInteger),
    required("captured", Boolean),
    PrimaryKeyConstraint("tenant", "invoice_id", "position"),
    ForeignKeyConstraint(
        ["tenant", "invoice_id", "line_id"],
        ["invoice_lines.tenant", "invoice_lines.invoice_id", "invoice_lines.line_id"],
    ),
    CheckConstraint("amount_minor > 0", name="credit_above_zero"),
)

# Progressive invoices whose amounts an invoice takes off its lines, as it bills the same usage.
progressive_credits = of_invoice(
    "progressive_credits",
    Column("position", Integer),
    required("credited_invoice_id", Uuid),
    required("amount_minor", BigInteger),
    PrimaryKeyConstraint("tenant", "invoice_id", "position"),
    UniqueConstraint("tenant", "invoice_id", "credited_invoice_id"),
    ForeignKeyConstraint(
        ["tenant", "credited_invoice_id"], ["invoices.tenant", "invoices.invoice_id"]
    ),
    CheckConstraint("credited_invoice_id <> invoice_id", name="credits_another_invoice"),
    CheckConstraint("amount_minor > 0", name="progressive_credit_above_zero"),
)

# purpose is "close", "progressive N" or "adjustment N": what of a period the invoice bills.
invoice_periods = of_invoice(
    "invoice_periods",
    Column("period_id", Uuid),
    Column("purpose", Text),
    required("live", Boolean, default="true"),  # False once the invoice is voided.
    # Whose time a closed period settles; null until the invoice is frozen, in
    # adjustments, and where more of that time is billed later.
    Column("subscription_id", Text),
    Column("period_start", DateTime(timezone=True)),
    Column("period_end", DateTime(timezone=True)),
    PrimaryKeyConstraint("tenant", "invoice_id", "period_id", "purpose"),
    Index(
        "invoice_periods_one_live",
        "tenant",
        "period_id",
        "purpose",
        unique=True,
        postgresql_where=text("live"),
    ),
)

# Closed periods whose usage changed since: late_version is what rating announced, adjusted_version
# what the adjustments up to last_sequence cover. The next one is asked for at due_at, or earlier
# by an invoice.
late_periods = Table(
    "late_periods",
    metadata,
    Column("tenant", Integer),
    Column("period_id", Uuid),
    required("customer_id", Text),
    required("currency", Text),
    required("entity_code", Text),  # Who billed it; empty: nobody did.
    required("late_version", BigInteger),
    required("adjusted_version", BigInteger, default="0"),
    required("last_sequence", Integer, default="0"),
    Column("due_at", DateTime(timezone=True)),
    Column("gathered_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("tenant", "period_id"),
    Index("late_periods_of_customer", "tenant", "customer_id", "currency"),
    Index("late_periods_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
)

# An adjustment is written before rating is asked for it, with the invoice that asks if one does.
# Its answer waits here until it is lines of an invoice, or a note (outcome).
adjustments = Table(
    "adjustments",
    metadata,
    Column("tenant", Integer),
    Column("period_id", Uuid),
    Column("sequence", Integer),
    required("customer_id", Text),
    required("currency", Text),
    Column("invoice_id", Uuid),
    Column("rated", JSONB),
    Column("outcome", Text),
    required("covered_minor", BigInteger, default="0"),  # Given back before, by hand.
    PrimaryKeyConstraint("tenant", "period_id", "sequence"),
    ForeignKeyConstraint(
        ["tenant", "period_id"], ["late_periods.tenant", "late_periods.period_id"]
    ),
    ForeignKeyConstraint(["tenant", "invoice_id"], ["invoices.tenant", "invoices.invoice_id"]),
    CheckConstraint("sequence > 0", name="sequence_from_one"),
    CheckConstraint("outcome IN ('line', 'note')", name="outcome_known"),
    CheckConstraint("outcome IS NULL OR rated IS NOT NULL", name="decided_when_answered"),
    CheckConstraint(
        "covered_minor >= 0 AND (covered_minor = 0 OR outcome = 'note')", name="covered_by_hand"
    ),
    Index("adjustments_of_customer", "tenant", "customer_id", "currency"),
    Index(
        "adjustments_undecided",
        "tenant",
        "customer_id",
        "currency",
        postgresql_where=text("outcome IS NULL AND invoice_id IS NULL"),
    ),
)

# Their tables are among these.
assert coupon_schema.coupons.metadata is party_schema.customers.metadata is metadata
assert unbilled_schema.unbilled_periods.metadata is metadata
assert note_schema.credit_notes.metadata is metadata
assert void_schema.voidings.metadata is metadata
assert payment_schema.payments.metadata is metadata
assert webhook_schema.webhook_endpoints.metadata is metadata
own_tables = tuple(metadata.tables)
shared_tables(metadata)
TENANT_TABLE_NAMES = (*own_tables, *TENANT_TABLES)
