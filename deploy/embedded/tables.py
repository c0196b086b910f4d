"""The tables in the databases: migrated, or copied from a suite that was migrated before."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from deploy.embedded.databases import (
    SERVICES,
    create_databases,
    database_name,
    role_name,
)
from deploy.embedded.postgres import Postgres

BLANK = "blank"  # The suite that the others of a cluster are copies of.

_migrated: set[Path] = set()  # The clusters whose blank suite this process has migrated.
_migrating = threading.Lock()


def load_alembic() -> None:
    """Import what migrates, which takes longer than PostgreSQL takes to start.

    Not at the top of the module: `tally status` does without it.
    """
    import_module("libs.migrations")


def upgrade(service: str, owner_url: str) -> None:
    """Bring the database of a service to the newest revision."""
    from libs import migrations

    migrations.upgrade(service, owner_url)


def create_copies(postgres: Postgres, *, suite: str, services: Sequence[str]) -> list[str]:
    """Create the databases of a suite with their tables; return the services that had none."""
    with _migrating:
        if postgres.folder not in _migrated:
            create_databases(postgres, suite=BLANK)
            for name in SERVICES:
                owner = postgres.url(role_name(name, "owner"), database_name(name, BLANK))
                upgrade(name, owner)
            _migrated.add(postgres.folder)
    return create_databases(postgres, suite=suite, template=BLANK, services=services)
