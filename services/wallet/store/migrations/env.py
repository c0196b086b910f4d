"""Run by alembic, for `tally migrate wallet`."""

from libs.migrations import run_env
from services.wallet.store.schema import metadata

run_env(metadata)
