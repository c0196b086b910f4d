"""What all tables of invoicing belong to."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKeyConstraint, Integer, MetaData, Table, Uuid
from sqlalchemy.schema import SchemaItem

metadata = MetaData()


def of_invoice(name: str, *columns: SchemaItem) -> Table:
    """Return a table whose rows are parts of an invoice."""
    return Table(
        name,
        metadata,
        Column("tenant", Integer),
        Column("invoice_id", Uuid),
        *columns,
        ForeignKeyConstraint(["tenant", "invoice_id"], ["invoices.tenant", "invoices.invoice_id"]),
    )
