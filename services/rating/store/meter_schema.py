"""Table of meters."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from libs.schema import required
from services.rating.store.base import INSTANT, metadata

meters = Table(
    "meters",
    metadata,
    Column("tenant", Integer),
    Column("code", Text),
    required("meter_id", Uuid),
    required("name", Text),
    required("event_type", Text),
    required("aggregation", Text),
    required("value_property", Text),
    required("dimensions", JSONB),
    required("created_at", INSTANT),
    required("expression", Text),
    Column("rounding_mode", Text),
    Column("rounding_places", Integer),
    Column("value_input", Text),
    required("percentile", Integer),  # 0 but for PERCENTILE.
    required("recurring", Boolean),
    Column("day_bucket", Text),
    Column("archived_at", INSTANT),
    required("fan_out", Boolean),
    Column("changed_at", INSTANT),  # Null: it counts what it did when it was created.
    PrimaryKeyConstraint("tenant", "code"),
    UniqueConstraint("tenant", "meter_id"),
    CheckConstraint(
        "aggregation IN ('count', 'sum', 'max', 'latest', 'unique_count', 'min', 'avg',"
        " 'weighted_sum', 'percentile')",
        name="aggregation_is_known",
    ),
    CheckConstraint(
        "(aggregation = 'count') = (value_property = '' AND expression = '')",
        name="all_but_count_have_a_value",
    ),
    CheckConstraint(
        "value_property = '' OR expression = ''", name="one_place_says_what_the_value_is"
    ),
    CheckConstraint("rounding_mode IN ('round', 'ceil', 'floor')", name="rounding_mode_is_known"),
    CheckConstraint(
        "(rounding_mode IS NULL) = (rounding_places IS NULL)", name="rounding_is_whole"
    ),
    CheckConstraint(
        "CASE aggregation WHEN 'weighted_sum' THEN coalesce(value_input IN ('delta', 'level'),"
        " false) ELSE value_input IS NULL END",
        name="only_levels_have_an_input",
    ),
    CheckConstraint(
        "CASE aggregation WHEN 'percentile' THEN percentile IN (50, 90, 95, 99)"
        " ELSE percentile = 0 END",
        name="only_percentiles_have_one",
    ),
    CheckConstraint(
        "NOT recurring OR aggregation IN ('sum', 'unique_count', 'weighted_sum')",
        name="what_recurs_has_a_level",
    ),
    CheckConstraint("day_bucket IN ('sum', 'max')", name="day_bucket_is_known"),
)
