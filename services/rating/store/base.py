"""What the table definitions of rating share."""

from __future__ import annotations

from sqlalchemy import DateTime, MetaData

metadata = MetaData()

INSTANT = DateTime(timezone=True)
