"""All tables of rating, guarded by tenant, and the rows that are written once."""

from alembic import op

from libs.migrations import force_row_security
from libs.schema import TENANT_TABLES
from services.rating.store.schema import OWN_TENANT_TABLES, WRITTEN_ONCE, metadata

revision = "0001"
down_revision = None

REFUSE_CHANGE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is written once: % refused', TG_TABLE_NAME, TG_OP;
END $$
"""

# Per cent of each page that inserts fill. The rest is room for the next version of its rows: an
# update that stays on its page writes no index, and cells are updated at every fold.
FILL_FACTORS = {"cells": 50, "cell_values": 70, "cell_counts": 70}


def upgrade() -> None:
    metadata.create_all(op.get_bind())
    for name, percent in FILL_FACTORS.items():
        op.execute(f"ALTER TABLE {name} SET (fillfactor = {percent})")
    for name in (*(table.name for table in OWN_TENANT_TABLES), *TENANT_TABLES):
        force_row_security(op, name)
    op.execute(REFUSE_CHANGE)
    for table in WRITTEN_ONCE:
        op.execute(
            f"CREATE TRIGGER written_once BEFORE UPDATE OR DELETE ON {table.name}"
            " FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
