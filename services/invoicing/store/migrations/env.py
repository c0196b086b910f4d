"""Where alembic enters: see `libs.migrations`."""

from libs.migrations import run_env
from services.invoicing.store.schema import metadata

run_env(metadata)
