"""Tables of credit notes: what they give back of an invoice, and what they pay of others."""

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
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from libs.schema import required
from services.invoicing.store.schema_base import metadata, of_invoice

# What is given back of a finalized invoice; all but status, balance and voided_at stands.
credit_notes = Table(
    "credit_notes",
    metadata,
    Column("tenant", Integer),
    Column("credit_note_id", Uuid),
    Column("ordinal", BigInteger, Identity(), nullable=False),  # Order of creation; has gaps.
    required("status", Text),
    required("invoice_id", Uuid),
    required("customer_id", Text),
    required("currency", Text),
    required("reason", Text),
    Column("period_id", Uuid),  # The adjustment that it gives back, if it does.
    required("adjustment_sequence", Integer),
    Column("crediting_invoice_id", Uuid),  # It had no room for this part of a progressive one.
    required("items_minor", BigInteger),
    required("subtotal_minor", BigInteger),
    required("tax_minor", BigInteger),
    required("total_minor", BigInteger),
    required("balance_minor", BigInteger),
    required("number", Text),
    required("entity_code", Text),
    Column("entity_sequence", BigInteger),  # Null of self-billed ones.
    required("customer_sequence", BigInteger),
    required("issue_date", Date),
    Column("issued_at", DateTime(timezone=True), nullable=False),
    Column("voided_at", DateTime(timezone=True)),
    required("trace_id", Text),
    PrimaryKeyConstraint("tenant", "credit_note_id"),
    UniqueConstraint("tenant", "credit_note_id", "invoice_id"),
    UniqueConstraint("tenant", "number"),
    UniqueConstraint("tenant", "entity_code", "entity_sequence"),
    UniqueConstraint("tenant", "entity_code", "customer_id", "customer_sequence"),
    UniqueConstraint("tenant", "period_id", "adjustment_sequence", "invoice_id"),
    UniqueConstraint("tenant", "crediting_invoice_id", "invoice_id"),
    ForeignKeyConstraint(["tenant", "invoice_id"], ["invoices.tenant", "invoices.invoice_id"]),
    ForeignKeyConstraint(
        ["tenant", "crediting_invoice_id"], ["invoices.tenant", "invoices.invoice_id"]
    ),
    CheckConstraint("status IN ('available', 'consumed', 'voided')", name="note_status_known"),
    CheckConstraint("(period_id IS NULL) = (adjustment_sequence = 0)", name="adjustment_named"),
    CheckConstraint(
        "total_minor = subtotal_minor + tax_minor AND subtotal_minor BETWEEN 0 AND items_minor"
        " AND tax_minor >= 0 AND total_minor > 0",
        name="note_adds_up",
    ),
    CheckConstraint(
        "balance_minor BETWEEN 0 AND total_minor AND (balance_minor > 0) = (status = 'available')",
        name="available_while_left",
    ),
    CheckConstraint("(voided_at IS NULL) = (status <> 'voided')", name="voided_at_an_instant"),
    Index("credit_notes_newest", "tenant", "ordinal"),
    Index("credit_notes_newest_of_customer", "tenant", "customer_id", "ordinal"),
    Index("credit_notes_of_invoice", "tenant", "invoice_id", "ordinal"),
    Index(
        "credit_notes_available",
        "tenant",
        "customer_id",
        "ordinal",
        postgresql_where=text("status = 'available'"),
    ),
)

credit_note_items = Table(
    "credit_note_items",
    metadata,
    Column("tenant", Integer),
    Column("credit_note_id", Uuid),
    Column("line_id", Uuid),
    required("position", Integer),
    required("invoice_id", Uuid),
    required("amount_minor", BigInteger),
    PrimaryKeyConstraint("tenant", "credit_note_id", "line_id"),
    ForeignKeyConstraint(
        ["tenant", "credit_note_id", "invoice_id"],
        ["credit_notes.tenant", "credit_notes.credit_note_id", "credit_notes.invoice_id"],
    ),
    ForeignKeyConstraint(
        ["tenant", "invoice_id", "line_id"],
        ["invoice_lines.tenant", "invoice_lines.invoice_id", "invoice_lines.line_id"],
    ),
    CheckConstraint("amount_minor > 0", name="item_above_zero"),
    Index("credit_note_items_of_line", "tenant", "invoice_id", "line_id"),
)

# What credit notes paid of an invoice, never of the one that they are on.
credit_note_applications = of_invoice(
    "credit_note_applications",
    Column("position", Integer),
    required("credit_note_id", Uuid),
    required("note_invoice_id", Uuid),
    required("amount_minor", BigInteger),
    required("returned", Boolean, default="false"),  # The invoice was voided.
    PrimaryKeyConstraint("tenant", "invoice_id", "position"),
    UniqueConstraint("tenant", "credit_note_id", "invoice_id"),
    ForeignKeyConstraint(
        ["tenant", "credit_note_id", "note_invoice_id"],
        ["credit_notes.tenant", "credit_notes.credit_note_id", "credit_notes.invoice_id"],
    ),
    CheckConstraint("note_invoice_id <> invoice_id", name="never_its_own_invoice"),
    CheckConstraint("amount_minor > 0", name="application_above_zero"),
)
