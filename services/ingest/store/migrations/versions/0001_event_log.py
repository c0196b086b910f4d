"""The event log, its keys, and what stands beside it."""

from alembic import op

from libs.migrations import force_row_security
from libs.schema import TENANT_TABLES as SHARED_TENANT_TABLES
from services.ingest.store.schema import TENANT_TABLES, metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table; those of tenants are guarded by row-level security."""
    metadata.create_all(op.get_bind())
    for table in (*TENANT_TABLES, *SHARED_TENANT_TABLES):
        force_row_security(op, table)
    # Compressed before it comes: stored as it is, and its length known without reading it.
    op.execute("ALTER TABLE slice ALTER COLUMN content SET STORAGE EXTERNAL")
