"""What the table definitions of rating share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, DateTime, MetaData

metadata = MetaData()

INSTANT = DateTime(timezone=True)


def required(name: str, kind: Any, *, default: str | None = None) -> Column[Any]:
    """Return a column that is never null."""
    return Column(name, kind, nullable=False, server_default=default)
