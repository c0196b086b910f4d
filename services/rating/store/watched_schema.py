"""Tables of watched subscriptions, and of the notes that their usage changed."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from libs.schema import required
from services.rating.store.base import metadata

PURPOSES = "purpose IN ('alerts', 'thresholds', 'following')"

# Customers of whom each change of usage is announced. The catalog is held while one is added.
followed_customers = Table(
    "followed_customers",
    metadata,
    Column("tenant", Integer),
    Column("customer_id", Text),
    PrimaryKeyConstraint("tenant", "customer_id"),
)

# Subscription ids whose changes of usage are noted, by what for. All lives of an id are meant.
watches = Table(
    "watches",
    metadata,
    Column("tenant", Integer),
    Column("subscription_id", Text),
    Column("purpose", Text),
    PrimaryKeyConstraint("tenant", "subscription_id", "purpose"),
    CheckConstraint(PURPOSES, name="purpose_is_known"),
)

# Changes of usage that nobody has looked at yet. Rows are added and deleted, never updated: a fold
# waits for nobody who looks at them.
watch_notes = Table(
    "watch_notes",
    metadata,
    Column("tenant", Integer),
    Column("note_id", BigInteger, Identity()),  # Not in the order of commits.
    required("subscription_id", Text),
    required("purpose", Text),
    PrimaryKeyConstraint("tenant", "note_id"),
    CheckConstraint(PURPOSES, name="purpose_is_known"),
    Index("watch_notes_by_purpose", "purpose", "note_id"),
)
