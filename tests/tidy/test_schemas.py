"""Every table's keys lead with the tenant, so that no query or constraint crosses tenants."""

import importlib

import pytest
from sqlalchemy import (
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)

from tests.tidy import schema_rules, tree

SERVICES = ["ingest", "rating", "invoicing", "wallet"]


@pytest.mark.parametrize("service", SERVICES)
def test_keys_lead_with_the_tenant_and_columns_are_exact(service: str) -> None:
    schema = importlib.import_module(f"services.{service}.store.schema")
    tables = schema.metadata.sorted_tables
    assert len(tables) > 3
    tree.check_none(sum([schema_rules.find_table_faults(table) for table in tables], []))


def test_a_key_that_does_not_lead_with_the_tenant_is_found() -> None:
    table = Table(
        "things",
        MetaData(),
        Column("tenant", Integer),
        Column("thing", Integer),
        Column("price", Float),
        PrimaryKeyConstraint("thing", "tenant"),
        UniqueConstraint("thing"),
        ForeignKeyConstraint(["thing"], ["others.thing"]),
        Index("by_thing", "thing", unique=True),
        Index("by_tenant", "tenant", "thing", unique=True),
        Index("by_price", "price"),
    )
    assert schema_rules.find_table_faults(table) == [
        "things.price is a binary float",
        "things: foreign key ('thing',) does not lead with tenant",
        "things: primary key ('thing', 'tenant') does not lead with tenant",
        "things: unique ('thing',) does not lead with tenant",
        "things: unique index ('thing',) does not lead with tenant",
    ]
