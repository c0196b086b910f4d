"""Tables of payments. They stand beside the invoice, whose document never changes."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from libs.schema import required
from services.invoicing.store.schema_base import metadata, of_invoice

# What an invoice asks for: written when it is finalized, or left open, and with each payment.
# Whoever changes it holds the lock of the invoice.
receivables = of_invoice(
    "receivables",
    required("status", Text),
    required("total_minor", BigInteger),
    required("paid_minor", BigInteger, default="0"),
    required("offset_minor", BigInteger, default="0"),
    required("charging_minor", BigInteger, default="0"),
    Column(
        "due_minor",
        BigInteger,
        Computed("greatest(0, total_minor - paid_minor - offset_minor)", persisted=True),
        nullable=False,
    ),
    required("last_failed", Boolean, default="false"),
    Column("overdue_at", DateTime(timezone=True)),
    required("overdue", Boolean, default="false"),
    required("disputed", Boolean, default="false"),
    required("attempts", Integer, default="0"),
    Column("charge_at", DateTime(timezone=True)),
    required("dunning_step", Integer, default="0"),
    Column("dun_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("tenant", "invoice_id"),
    CheckConstraint(
        "status IN ('pending', 'processing', 'partially_paid', 'succeeded', 'failed')"
        " AND (status = 'succeeded') = (due_minor = 0)",
        name="payment_status_known",
    ),
    CheckConstraint(
        "total_minor >= 0 AND paid_minor >= 0 AND offset_minor >= 0 AND charging_minor >= 0",
        name="receivable_not_negative",
    ),
    CheckConstraint("NOT overdue OR overdue_at IS NOT NULL", name="overdue_since"),
    Index(
        "receivables_falling_overdue",
        "overdue_at",
        postgresql_where=text("NOT overdue AND due_minor > 0 AND overdue_at IS NOT NULL"),
    ),
    Index("receivables_to_charge", "charge_at", postgresql_where=text("charge_at IS NOT NULL")),
    Index("receivables_to_dun", "dun_at", postgresql_where=text("dun_at IS NOT NULL")),
)

payments = of_invoice(
    "payments",
    Column("payment_id", Uuid),
    Column("ordinal", BigInteger, Identity(), nullable=False),  # Order of creation; has gaps.
    required("customer_id", Text),
    required("currency", Text),
    required("amount_minor", BigInteger),
    required("status", Text),
    required("provider", Text),
    required("reference", Text),
    Column("received_at", DateTime(timezone=True)),
    required("attempt", Integer),
    required("provider_customer_id", Text),  # What was charged, whatever the customer has now.
    required("provider_method_id", Text),
    required("failure_code", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    required("disputed", Boolean, default="false"),
    Column("dispute_told_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("tenant", "payment_id"),
    CheckConstraint("amount_minor > 0", name="payment_above_zero"),
    CheckConstraint(
        "status IN ('processing', 'succeeded', 'failed')"
        " AND (status = 'succeeded') = (received_at IS NOT NULL)"
        " AND (status = 'failed') = (failure_code <> '')",
        name="payment_status_consistent",
    ),
    CheckConstraint(
        "attempt >= 0 AND (attempt = 0) = (provider = 'manual')", name="attempts_of_providers"
    ),
    Index("payments_by_reference", "provider", "reference"),
    Index(
        "payments_unanswered",
        "ordinal",
        postgresql_where=text("status = 'processing' AND reference = ''"),
    ),
    Index("payments_newest", "tenant", "ordinal"),
    Index("payments_newest_of_customer", "tenant", "customer_id", "ordinal"),
    Index("payments_of_invoice", "tenant", "invoice_id", "ordinal"),
    Index(
        "payments_one_an_attempt",
        "tenant",
        "invoice_id",
        "attempt",
        unique=True,
        postgresql_where=text("attempt > 0"),
    ),
)

# How a customer pays without being asked.
payment_methods = Table(
    "payment_methods",
    metadata,
    Column("tenant", Integer),
    Column("customer_id", Text),
    required("provider", Text),
    required("provider_customer_id", Text),
    required("provider_method_id", Text),
    PrimaryKeyConstraint("tenant", "customer_id"),
    ForeignKeyConstraint(["tenant", "customer_id"], ["customers.tenant", "customers.customer_id"]),
)

# How customers are asked again; one a tenant.
dunning_campaigns = Table(
    "dunning_campaigns",
    metadata,
    Column("tenant", Integer),
    Column("step_days", ARRAY(Integer), nullable=False),
    required("thresholds", JSONB),  # {currency: minor units}
    PrimaryKeyConstraint("tenant"),
)

payment_requests = Table(
    "payment_requests",
    metadata,
    Column("tenant", Integer),
    Column("payment_request_id", Uuid),
    Column("ordinal", BigInteger, Identity(), nullable=False),  # Order of creation; has gaps.
    required("customer_id", Text),
    required("currency", Text),
    required("amount_minor", BigInteger),
    required("step", Integer),
    Column("created_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("tenant", "payment_request_id"),
    CheckConstraint("amount_minor > 0 AND step >= 0", name="something_requested"),
    Index("payment_requests_newest", "tenant", "ordinal"),
    Index("payment_requests_newest_of_customer", "tenant", "customer_id", "ordinal"),
)

payment_request_invoices = of_invoice(
    "payment_request_invoices",
    Column("payment_request_id", Uuid),
    required("position", Integer),
    required("requested_minor", BigInteger),
    PrimaryKeyConstraint("tenant", "payment_request_id", "invoice_id"),
    ForeignKeyConstraint(
        ["tenant", "payment_request_id"],
        ["payment_requests.tenant", "payment_requests.payment_request_id"],
    ),
    CheckConstraint("requested_minor > 0", name="requested_above_zero"),
)
