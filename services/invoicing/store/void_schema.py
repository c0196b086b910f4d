"""Tables of what was voided, and of what was billed again."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    DateTime,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.types import Text

from libs.schema import required
from services.invoicing.store.schema_base import of_invoice

# credits_returned_at is null until the wallets have taken back what they paid.
voidings = of_invoice(
    "voidings",
    required("reason", Text),
    Column("voided_at", DateTime(timezone=True), nullable=False),
    Column("credits_returned_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("tenant", "invoice_id"),
    Index("voidings_unreturned", "voided_at", postgresql_where=text("credits_returned_at IS NULL")),
)

# The invoice that bills again what a voided one billed; there is at most one.
reissues = of_invoice(
    "reissues",
    required("voided_invoice_id", Uuid),
    PrimaryKeyConstraint("tenant", "invoice_id"),
    UniqueConstraint("tenant", "voided_invoice_id"),
    ForeignKeyConstraint(
        ["tenant", "voided_invoice_id"], ["voidings.tenant", "voidings.invoice_id"]
    ),
)
