"""Tables of usage: cells, and how far the log is in them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Integer,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from libs.schema import required
from services.rating.store.base import INSTANT, metadata


def cell_key() -> tuple[Column[Any], ...]:
    """Return the columns that say what a cell is about. Rows are locked in their order."""
    return (
        Column("tenant", Integer),
        Column("term_id", Uuid),
        Column("meter_id", Uuid),
        Column("day", Date),
        Column("dimensions_key", LargeBinary),  # 128-bit hash of the dimension values.
    )


CELL_KEY = ("tenant", "term_id", "meter_id", "day", "dimensions_key")

# No foreign key: it would cost a look-up for each cell that a fold touches.
cells = Table(
    "cells",
    metadata,
    *cell_key(),
    required("dimensions", ARRAY(Text)),
    required("event_count", BigInteger),
    required("last_time_us", BigInteger),  # Of its events; microseconds since 1970.
    Column("total", Numeric),
    Column("greatest", Numeric),
    Column("latest", Numeric),
    # The moment of the latest event: microseconds since 1970, then its place in the log.
    Column("latest_time_us", BigInteger),
    Column("latest_shard", Integer),
    Column("latest_number", BigInteger),
    Column("latest_place", Integer),
    Column("least", Numeric),
    Column("weighted", Numeric),  # Sum of value x time, in microseconds since 1970.
    Column("amount", Numeric),  # Sum of the events' own amounts, in currency units.
    required("slice_number", BigInteger),  # Of the latest slice that changed it.
    required("traceparent", Text),  # Of that slice.
    # In the place of all cells of a term, meter and day with too many combinations of values; it
    # has none of them itself, and no number but the count of events: the rest is in the log.
    required("in_log", Boolean, default="false"),
    PrimaryKeyConstraint(*CELL_KEY),
    CheckConstraint("event_count > 0", name="has_events"),
    CheckConstraint("octet_length(dimensions_key) = 16", name="key_has_16_bytes"),
    CheckConstraint("NOT in_log OR dimensions = '{}'", name="in_log_is_of_no_dimensions"),
)

# The distinct values of a UNIQUE_COUNT cell: the last operation on each; of a recurring meter also
# the first one that added it.
cell_values = Table(
    "cell_values",
    metadata,
    *cell_key(),
    Column("value_key", LargeBinary),  # 128-bit hash of the value.
    required("present", Boolean),
    required("time_us", BigInteger),
    required("shard", Integer),
    required("number", BigInteger),
    required("place", Integer),
    Column("added_time_us", BigInteger),
    Column("added_shard", Integer),
    Column("added_number", BigInteger),
    Column("added_place", Integer),
    PrimaryKeyConstraint(*CELL_KEY, "value_key"),
    CheckConstraint("octet_length(value_key) = 16", name="key_has_16_bytes"),
)

# The levels of a WEIGHTED_SUM cell whose events set them: of each instant the last in the log.
cell_levels = Table(
    "cell_levels",
    metadata,
    *cell_key(),
    Column("time_us", BigInteger),
    required("shard", Integer),
    required("number", BigInteger),
    required("place", Integer),
    required("value", Numeric),
    PrimaryKeyConstraint(*CELL_KEY, "time_us"),
)

# How many events of a PERCENTILE cell have a value.
cell_counts = Table(
    "cell_counts",
    metadata,
    *cell_key(),
    Column("value", Numeric),
    required("event_count", BigInteger),
    PrimaryKeyConstraint(*CELL_KEY, "value"),
    CheckConstraint("event_count > 0", name="has_events"),
)

# Events that no plan charged when they were folded, so that operators can see them.
unattributed = Table(
    "unattributed",
    metadata,
    Column("tenant", Integer),
    Column("customer_id", Text),
    Column("event_type", Text),
    Column("day", Date),  # In UTC.
    required("event_count", BigInteger),
    PrimaryKeyConstraint("tenant", "customer_id", "event_type", "day"),
)

# Events that a subscription took and others could have taken, so that operators can see them.
ambiguous = Table(
    "ambiguous",
    metadata,
    Column("tenant", Integer),
    Column("customer_id", Text),
    Column("event_type", Text),
    Column("day", Date),  # In UTC.
    Column("subscription_id", Text),  # That took them.
    required("event_count", BigInteger),
    PrimaryKeyConstraint("tenant", "customer_id", "event_type", "day", "subscription_id"),
)

# Days on which a customer has events that somebody took and that may be in no cell, for want of a
# value: another subscription could take them, or nobody any more.
valueless_days = Table(
    "valueless_days",
    metadata,
    Column("tenant", Integer),
    Column("customer_id", Text),
    Column("day", Date),  # In UTC.
    PrimaryKeyConstraint("tenant", "customer_id", "day"),
)

# How far the log is in the cells. Not of a tenant: slices hold many.
applied = Table(
    "applied",
    metadata,
    Column("shard", Integer),
    Column("partition", Integer),
    required("number", BigInteger),
    PrimaryKeyConstraint("shard", "partition"),
    CheckConstraint("number >= 0", name="number_is_not_negative"),
)

# Customers whose usage is being computed again from the log, since a command changed which cells
# their past events count in.
reattributions = Table(
    "reattributions",
    metadata,
    Column("tenant", Integer),
    Column("customer_id", Text),
    required("job_id", Uuid),
    required("from_at", INSTANT),  # Usage of earlier days stays as it is.
    # [[shard, partition, number], …]: later slices are folded by the changed catalog.
    required("applied", JSONB),
    PrimaryKeyConstraint("tenant", "customer_id"),
)
