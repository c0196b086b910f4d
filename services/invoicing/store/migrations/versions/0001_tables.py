"""The first tables, their guards and their row-level security."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

from libs.migrations import force_row_security
from services.invoicing.store import guards, note_guards
from services.invoicing.store.schema import TENANT_TABLE_NAMES, metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create everything."""
    metadata.create_all(op.get_bind())
    for statement in [*guards.statements(), *note_guards.statements()]:
        op.execute(text(statement))
    for table in TENANT_TABLE_NAMES:
        force_row_security(op, table)
