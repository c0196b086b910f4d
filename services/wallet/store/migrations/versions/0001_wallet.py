"""Wallets, their ledger, grants and holds, with their guards and row-level security."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

from libs.migrations import force_row_security
from libs.schema import TENANT_TABLES as SHARED_TENANT_TABLES
from services.wallet.store import guards
from services.wallet.store.schema import OWN_TABLES, metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create everything."""
    metadata.create_all(op.get_bind())
    for statement in guards.statements():
        op.execute(text(statement))
    for table in (*OWN_TABLES, *SHARED_TENANT_TABLES):
        force_row_security(op, table)
