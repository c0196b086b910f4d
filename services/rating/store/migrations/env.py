"""Run by alembic, for `tally migrate rating`."""

from libs.migrations import run_env
from services.rating.store.schema import metadata

run_env(metadata)
