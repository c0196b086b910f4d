"""The tables that every service has besides its own."""

from __future__ import annotations

from sqlalchemy import MetaData

from libs.clock import clock
from libs.inbox import dead_letter, inbox_head
from libs.outbox import outbox
from libs.requests import requests

TENANT_TABLES = ("requests", "outbox", "dead_letter")  # Those that row-level security guards.


def shared_tables(metadata: MetaData) -> None:
    """Add request ids, outbox, inbox cursor, dead letters and the test clock to `metadata`."""
    for table in (requests, outbox, inbox_head, dead_letter, clock):
        table.to_metadata(metadata)
