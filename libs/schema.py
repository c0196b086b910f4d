"""What the schemas of the services share: tables that each has, and ways to write a column."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, MetaData

from libs.clock import clock
from libs.inbox import dead_letter, inbox_head
from libs.outbox import outbox
from libs.requests import requests

TENANT_TABLES = ("requests", "outbox", "dead_letter")  # Those that row-level security guards.


def shared_tables(metadata: MetaData) -> None:
    """Add request ids, outbox, inbox cursor, dead letters and the test clock to `metadata`."""
    for table in (requests, outbox, inbox_head, dead_letter, clock):
        table.to_metadata(metadata)


def required(name: str, kind: Any, *, default: str | None = None) -> Column[Any]:
    """Return a column that is never null."""
    return Column(name, kind, nullable=False, server_default=default)
