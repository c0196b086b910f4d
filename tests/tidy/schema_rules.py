"""Rules about tables."""

from collections.abc import Iterator, Sequence

from sqlalchemy import (
    Column,
    Float,
    ForeignKeyConstraint,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)

# Tables of the whole suite, not of a tenant: their keys may lead with anything.
SUITE_WIDE = {
    "applied",  # How far rating has folded each shard and partition.
    "clock",  # The test clock.
    "inbox_head",  # How far each peer's facts have taken effect.
    "topology",  # How many shards and partitions ingest was set up with.
}
# The log belongs to shards, which hold many tenants.
LED_BY_SHARD = {
    "shard",
    "shards",
    "segment",
    "segments",
    "slice",
    "slices",
    "relay_position",
    "trimmed_slice",
}


def find_table_faults(table: Table) -> list[str]:
    """Find keys that do not lead with the tenant, and columns that are not exact."""
    findings = [
        f"{table.name}.{column.name} is a binary float"
        for column in table.columns
        if isinstance(column.type, Float)
    ]
    if table.name in SUITE_WIDE:
        return findings
    lead = "shard" if table.name in LED_BY_SHARD else "tenant"
    for kind, columns in keys(table):
        if not columns or columns[0] != lead:
            findings.append(f"{table.name}: {kind} {tuple(columns)} does not lead with {lead}")
    return findings


def keys(table: Table) -> Iterator[tuple[str, Sequence[str]]]:
    """Give what makes rows unique or ties them to others, with the columns in order."""
    for constraint in sorted(table.constraints, key=lambda each: type(each).__name__):
        match constraint:
            case PrimaryKeyConstraint():
                yield "primary key", [column.name for column in constraint.columns]
            case UniqueConstraint():
                yield "unique", [column.name for column in constraint.columns]
            case ForeignKeyConstraint():
                yield "foreign key", list(constraint.column_keys)
    for index in sorted(table.indexes, key=lambda each: str(each.name)):
        if index.unique:
            names = [each.name for each in index.expressions if isinstance(each, Column)]
            yield "unique index", names
