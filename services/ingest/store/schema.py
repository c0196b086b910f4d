"""Tables of the ingest database.

The log (shard, segment, slice, relay_position, trimmed_slice) is one for all tenants: its keys
lead with the shard, and who reads it for a tenant chooses that tenant's events. What belongs to
one tenant (event_key, event_version, rejected_event, tenant_limits, trimmed_tenant) is guarded by
row-level security.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from libs.schema import shared_tables

metadata = MetaData()
shared_tables(metadata)

TENANT_TABLES = (
    "event_key",
    "event_version",
    "rejected_event",
    "tenant_limits",
    "trimmed_tenant",
)

# Joins a key to its segment before the segment has its number. It has gaps.
segment_id = Sequence("segment_id", metadata=metadata)

# How the log is divided, and the secret of its keys: written once, never changed.
topology = Table(
    "topology",
    metadata,
    Column("shards", Integer, nullable=False),
    Column("partitions", Integer, nullable=False),
    Column("key_secret", LargeBinary, nullable=False),
    Column("only", SmallInteger, nullable=False, server_default="1"),
    PrimaryKeyConstraint("only"),
    CheckConstraint('"only" = 1', name="topology_has_one_row"),
    CheckConstraint("shards > 0 AND partitions > 0", name="topology_is_not_empty"),
)

shard = Table(
    "shard",
    metadata,
    Column("shard", Integer),
    Column("number", BigInteger, nullable=False, server_default="0"),  # Of its newest segment.
    Column("time_floor", DateTime(timezone=True)),  # Older events are rejected. Never moves back.
    # The keys of older events of the segments up to this one are gone, and of the log itself
    # the segments up to that one.
    Column("pruned_number", BigInteger, nullable=False, server_default="0"),
    Column("trimmed_number", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("shard"),
    CheckConstraint("number >= 0", name="shard_number_from_zero"),
    CheckConstraint("pruned_number BETWEEN 0 AND number", name="shard_prunes_what_it_has"),
    CheckConstraint("trimmed_number BETWEEN 0 AND number", name="shard_trims_what_it_has"),
)

segment = Table(
    "segment",
    metadata,
    Column("shard", Integer),
    Column("number", BigInteger),
    Column("segment_id", BigInteger, nullable=False),
    Column("event_count", Integer, nullable=False),
    Column("sealed_at", DateTime(timezone=True), nullable=False),
    Column("traceparent", Text, nullable=False),
    PrimaryKeyConstraint("shard", "number"),
    UniqueConstraint("shard", "segment_id"),
    ForeignKeyConstraint(["shard"], ["shard.shard"]),
    # Without events it holds corrections.
    CheckConstraint("number > 0 AND event_count >= 0", name="segment_is_numbered"),
)

slice_ = Table(
    "slice",
    metadata,
    Column("shard", Integer),
    Column("partition", Integer),
    Column("number", BigInteger),
    Column("previous_number", BigInteger, nullable=False),
    Column("event_count", Integer, nullable=False),
    Column("time_min", DateTime(timezone=True), nullable=False),
    Column("time_max", DateTime(timezone=True), nullable=False),
    Column("correction_count", Integer, nullable=False),
    Column("tenants", ARRAY(Integer), nullable=False),  # Whose events it holds.
    Column("content", LargeBinary, nullable=False),  # A SliceContent, compressed with zstd.
    PrimaryKeyConstraint("shard", "partition", "number"),
    UniqueConstraint("shard", "partition", "previous_number"),  # A chain: it never forks.
    ForeignKeyConstraint(["shard", "number"], ["segment.shard", "segment.number"]),
    CheckConstraint("0 <= previous_number AND previous_number < number", name="slice_chain"),
    CheckConstraint("event_count + correction_count > 0", name="slice_is_not_empty"),
    Index("slice_by_number", "shard", "number"),
    Index(
        "slice_with_corrections",
        "shard",
        "partition",
        "number",
        postgresql_where=text("correction_count > 0"),
    ),
)

# Where the chain of a partition goes on when all of its older slices are gone.
trimmed_slice = Table(
    "trimmed_slice",
    metadata,
    Column("shard", Integer),
    Column("partition", Integer),
    Column("number", BigInteger, nullable=False),  # Of the newest slice that is gone.
    PrimaryKeyConstraint("shard", "partition"),
    ForeignKeyConstraint(["shard"], ["shard.shard"]),
    CheckConstraint("number > 0", name="trimmed_slice_is_numbered"),
)

# Up to when events of a tenant may have happened that are no longer in the log.
trimmed_tenant = Table(
    "trimmed_tenant",
    metadata,
    Column("tenant", Integer),
    Column("shard", Integer),
    Column("partition", Integer),
    Column("time_max", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("tenant", "shard", "partition"),
)

relay_position = Table(
    "relay_position",
    metadata,
    Column("shard", Integer),
    Column("number", BigInteger, nullable=False, server_default="0"),  # The last one published.
    PrimaryKeyConstraint("shard"),
    ForeignKeyConstraint(["shard"], ["shard.shard"]),
)

event_key = Table(
    "event_key",
    metadata,
    # Wide columns first: no padding, 64 bytes a row with its header.
    Column("segment_id", BigInteger, nullable=False),
    Column("digest", BigInteger, nullable=False),
    Column("tenant", Integer),
    Column("digest_version", SmallInteger, nullable=False),
    Column("key", LargeBinary),
    PrimaryKeyConstraint("tenant", "key"),
    CheckConstraint("octet_length(key) = 16", name="event_key_is_16_bytes"),
)

# What events were corrected to; as they were recorded, version 1, they lie in the log. The newest
# one counts, and any of them tells a repeat from a conflict.
event_version = Table(
    "event_version",
    metadata,
    Column("tenant", Integer),
    Column("key", LargeBinary),
    Column("version", Integer),
    Column("number", BigInteger, nullable=False),  # Of the segment that holds the correction.
    Column("superseded_number", BigInteger),  # Of the segment that holds the next one.
    Column("origin_number", BigInteger, nullable=False),  # Where the event was recorded.
    Column("origin_index", Integer, nullable=False),
    Column("received_us", BigInteger, nullable=False),  # Of the event, since 1970.
    Column("time_us", BigInteger, nullable=False),  # As given, else when it was received.
    Column("customer_id", Text, nullable=False),
    Column("digest", BigInteger, nullable=False),
    Column("digest_version", SmallInteger, nullable=False),
    Column("retracted", Boolean, nullable=False),  # The content is what it was until then.
    Column("content", LargeBinary, nullable=False),  # An Event.
    Column("corrected_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("tenant", "key", "version"),
    CheckConstraint("version > 1", name="event_version_is_a_correction"),
    CheckConstraint("number > origin_number", name="event_version_follows_its_event"),
    CheckConstraint("superseded_number > number", name="event_version_precedes_the_next"),
    Index(
        "event_version_is_the_newest_once",
        "tenant",
        "key",
        unique=True,
        postgresql_where=text("superseded_number IS NULL"),
    ),
    Index("event_version_by_number", "number"),  # For the export of what is dropped.
    Index("event_version_by_place", "tenant", "origin_number", "origin_index"),
    Index("event_version_of_customer", "tenant", "customer_id", "origin_number", "origin_index"),
)

rejected_event = Table(
    "rejected_event",
    metadata,
    Column("tenant", Integer),
    Column("rejected_event_id", Uuid),  # From content and reason: a repeat counts up.
    Column("customer_id", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),  # An Event as it was sent.
    Column("received_at", DateTime(timezone=True), nullable=False),  # The first time.
    Column("times_sent", BigInteger, nullable=False),
    Column("resubmitted_at", DateTime(timezone=True)),  # When it was recorded after all.
    PrimaryKeyConstraint("tenant", "rejected_event_id"),
    CheckConstraint("times_sent > 0", name="rejected_event_was_sent"),
    Index("rejected_event_newest", "tenant", "received_at", "rejected_event_id"),
)

# A tenant's own limits; null is the default of services.ingest.domain.limits.
tenant_limits = Table(
    "tenant_limits",
    metadata,
    Column("tenant", Integer),
    Column("max_ahead_seconds", Integer),
    Column("max_age_seconds", Integer),
    Column("properties_max", Integer),
    Column("key_bytes_max", Integer),
    Column("value_bytes_max", Integer),
    Column("event_bytes_max", Integer),
    Column("events_max", Integer),
    Column("request_bytes_max", Integer),
    PrimaryKeyConstraint("tenant"),
)
