"""Entry point of alembic for the ingest database."""

from libs.migrations import run_env
from services.ingest.store.schema import metadata

run_env(metadata)
