"""What the schemas of the services share: tables that each has, ways to write and ask a column."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ARRAY, Column, ColumnElement, MetaData, any_, literal

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


def among(column: ColumnElement[Any], values: Iterable[Any]) -> ColumnElement[bool]:
    """Return whether `column` is one of `values`, as one array: one statement for any number."""
    return column == any_(literal(list(values), ARRAY(column.type)))
