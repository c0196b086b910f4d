"""Tables of the wallet database. Every key leads with the tenant.

Revision 0001 also forces row-level security by `tally.tenant` on each of them, forbids to change
rows of the ledger, and checks at each commit that a transaction's entries sum to zero.
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from libs.schema import shared_tables
from services.wallet.store import schema_base, top_up_schema
from services.wallet.store.schema_base import AT, OF_WALLET

metadata = schema_base.metadata

OF_GRANT = ["grants.tenant", "grants.grant_id"]

wallets = Table(
    "wallets",
    metadata,
    Column("tenant", Integer),
    Column("wallet_id", Uuid),
    Column("number", BigInteger, Identity(), nullable=False),  # Grows with age.
    Column("customer_id", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("fee_kinds", ARRAY(Text), nullable=False),  # Sorted; empty: every kind.
    Column("meter_codes", ARRAY(Text), nullable=False),  # Sorted; empty: every meter.
    Column("created_at", AT, nullable=False),
    Column("code", Text, nullable=False, server_default=""),  # "": no line can name it.
    Column("rate", Numeric, nullable=False, server_default="1"),  # Currency units a credit.
    Column("low_minor", BigInteger, nullable=False, server_default="0"),  # 0: it is never low.
    Column("soft_minor", BigInteger, nullable=False, server_default="0"),  # 0: a hard limit.
    Column("expires_at", AT),
    Column("terminated_at", AT),
    # Running balances of the wallet's accounts: the sums of its entries.
    Column("available_minor", BigInteger, nullable=False, server_default="0"),
    Column("held_minor", BigInteger, nullable=False, server_default="0"),
    Column("captured_minor", BigInteger, nullable=False, server_default="0"),
    # When a hold or a grant lapses next; null: nothing will.
    Column("due_at", AT),
    # What is bought at once is at least and at most so much; null: any.
    Column("top_up_min_minor", BigInteger),
    Column("top_up_max_minor", BigInteger),
    # At which ongoing balance its top-up rules are looked at: their highest threshold, if any.
    Column("watched_minor", BigInteger),
    PrimaryKeyConstraint("tenant", "wallet_id"),
    CheckConstraint(
        "available_minor >= 0 AND held_minor >= 0 AND captured_minor >= 0",
        name="no_account_below_zero",
    ),
    CheckConstraint("priority BETWEEN 1 AND 100", name="wallet_priority"),
    CheckConstraint("rate > 0", name="wallet_rate"),
    CheckConstraint("low_minor >= 0 AND soft_minor >= 0", name="wallet_low"),
    CheckConstraint(
        "terminated_at IS NULL OR available_minor + held_minor + captured_minor = 0",
        name="ended_is_empty",
    ),
    Index(
        "wallets_by_code",
        "tenant",
        "customer_id",
        "code",
        unique=True,
        postgresql_where=text("code <> '' AND terminated_at IS NULL"),
    ),
    Index("wallets_in_draw_order", "tenant", "customer_id", "priority", "number"),
    # Read over all tenants, by the worker.
    Index("wallets_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
)

grants = Table(
    "grants",
    metadata,
    Column("tenant", Integer),
    Column("grant_id", Uuid),
    Column("wallet_id", Uuid, nullable=False),
    Column("number", BigInteger, Identity(), nullable=False),  # Grows with age.
    Column("kind", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("available_minor", BigInteger, nullable=False),
    Column("held_minor", BigInteger, nullable=False),
    Column("captured_minor", BigInteger, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("effective_at", AT, nullable=False),
    Column("expires_at", AT),
    Column("reference", Text, nullable=False),
    Column("created_at", AT, nullable=False),
    PrimaryKeyConstraint("tenant", "grant_id"),
    ForeignKeyConstraint(["tenant", "wallet_id"], OF_WALLET),
    CheckConstraint("kind IN ('granted', 'purchased')", name="grant_kind"),
    CheckConstraint(
        "available_minor >= 0 AND held_minor >= 0 AND captured_minor >= 0"
        " AND amount_minor > 0"
        " AND available_minor + held_minor + captured_minor <= amount_minor",
        name="remaining_within_amount",
    ),
    CheckConstraint("effective_at < expires_at", name="lapses_after_it_began"),
    Index("grants_of_wallet", "tenant", "wallet_id"),
    Index(
        "grants_left",
        "tenant",
        "wallet_id",
        postgresql_where=text("available_minor + held_minor + captured_minor > 0"),
    ),
)

transactions = Table(
    "transactions",
    metadata,
    Column("tenant", Integer),
    Column("transaction_id", Uuid),
    Column("number", BigInteger, Identity(), nullable=False),  # Grows with age within a wallet.
    Column("wallet_id", Uuid, nullable=False),
    Column("reason", Text, nullable=False),
    Column("reference", Text, nullable=False),  # Id of the grant, hold or invoice behind it.
    Column("created_at", AT, nullable=False),  # Business time.
    PrimaryKeyConstraint("tenant", "transaction_id"),
    ForeignKeyConstraint(["tenant", "wallet_id"], OF_WALLET),
    Index("transactions_by_reference", "tenant", "reference"),
)

entries = Table(
    "entries",
    metadata,
    Column("tenant", Integer),
    Column("transaction_id", Uuid),
    Column("account", Text),
    Column("number", BigInteger, Identity(), nullable=False),  # Grows with age within a wallet.
    Column("wallet_id", Uuid),  # Null: an account of the tenant.
    Column("currency", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "transaction_id", "account"),
    ForeignKeyConstraint(
        ["tenant", "transaction_id"], ["transactions.tenant", "transactions.transaction_id"]
    ),
    CheckConstraint("amount_minor <> 0", name="entry_moves_something"),
    CheckConstraint(
        "CASE WHEN wallet_id IS NULL THEN account IN"
        " ('purchased', 'granted', 'revenue', 'expired', 'voided', 'transferred')"
        " ELSE account IN ('available', 'held', 'captured') END",
        name="entry_account",
    ),
    Index(
        "entries_of_wallet",
        "tenant",
        "wallet_id",
        "number",
        postgresql_where=text("wallet_id IS NOT NULL"),
    ),
    Index(
        "entries_of_tenant",
        "tenant",
        "account",
        "currency",
        postgresql_where=text("wallet_id IS NULL"),
    ),
)

# Which grants a transaction moved, and for an invoice which lines they paid.
grant_uses = Table(
    "grant_uses",
    metadata,
    Column("tenant", Integer),
    Column("transaction_id", Uuid),
    Column("place", Integer),
    Column("grant_id", Uuid, nullable=False),
    Column("source", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("line_id", Uuid),
    PrimaryKeyConstraint("tenant", "transaction_id", "place"),
    ForeignKeyConstraint(
        ["tenant", "transaction_id"], ["transactions.tenant", "transactions.transaction_id"]
    ),
    ForeignKeyConstraint(["tenant", "grant_id"], OF_GRANT),
    CheckConstraint("amount_minor > 0", name="use_above_zero"),
    Index("grant_uses_of_grant", "tenant", "grant_id"),
)

holds = Table(
    "holds",
    metadata,
    Column("tenant", Integer),
    Column("hold_id", Text),
    Column("wallet_id", Uuid, nullable=False),
    Column("subscription_id", Text),  # Null: standalone.
    Column("currency", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("captured_minor", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("expires_at", AT, nullable=False),
    Column("created_at", AT, nullable=False),
    PrimaryKeyConstraint("tenant", "hold_id"),
    ForeignKeyConstraint(["tenant", "wallet_id"], OF_WALLET),
    CheckConstraint("status IN ('open', 'captured', 'released', 'expired')", name="hold_status"),
    CheckConstraint(
        "amount_minor > 0 AND captured_minor BETWEEN 0 AND amount_minor",
        name="captured_within_hold",
    ),
    CheckConstraint(
        "starts_with(hold_id, CASE WHEN subscription_id IS NULL THEN 'std_' ELSE 'sub_' END)",
        name="hold_id_tells_purpose",
    ),
    Index("holds_of_wallet", "tenant", "wallet_id", "created_at"),
    Index(
        "holds_open", "tenant", "wallet_id", "expires_at", postgresql_where=text("status = 'open'")
    ),
)

# What an open hold still reserves of each grant.
hold_parts = Table(
    "hold_parts",
    metadata,
    Column("tenant", Integer),
    Column("hold_id", Text),
    Column("place", Integer),  # Burn order at the time of the hold.
    Column("grant_id", Uuid, nullable=False),
    Column("held_minor", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "hold_id", "place"),
    ForeignKeyConstraint(["tenant", "hold_id"], ["holds.tenant", "holds.hold_id"]),
    ForeignKeyConstraint(["tenant", "grant_id"], OF_GRANT),
    CheckConstraint("held_minor > 0", name="part_above_zero"),
)

# Captured for a subscription, waiting for its invoice.
lots = Table(
    "lots",
    metadata,
    Column("tenant", Integer),
    Column("hold_id", Text),
    Column("grant_id", Uuid),
    Column("captured_at", AT),
    Column("wallet_id", Uuid, nullable=False),
    Column("subscription_id", Text, nullable=False),
    Column("left_minor", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "hold_id", "grant_id", "captured_at"),
    ForeignKeyConstraint(["tenant", "hold_id"], ["holds.tenant", "holds.hold_id"]),
    ForeignKeyConstraint(["tenant", "grant_id"], OF_GRANT),
    CheckConstraint("left_minor >= 0", name="lot_not_below_zero"),
    Index("lots_left", "tenant", "wallet_id", postgresql_where=text("left_minor > 0")),
)

# Usage that is metered against a wallet while it happens.
sessions = Table(
    "sessions",
    metadata,
    Column("tenant", Integer),
    Column("session_id", Uuid),
    Column("hold_id", Text, nullable=False),
    Column("wallet_id", Uuid, nullable=False),
    Column("subscription_id", Text, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("properties", JSONB, nullable=False),
    Column("estimate_minor", BigInteger, nullable=False),
    Column("low_minor", BigInteger, nullable=False),
    Column("grace", Interval, nullable=False),
    Column("digest", LargeBinary, nullable=False),  # Of the message that opened it.
    Column("sequence", BigInteger, nullable=False),
    Column("quantities", JSONB, nullable=False),  # Totals, decimals as text.
    Column("added", JSONB, nullable=False),  # By the last message: its event can be sent again.
    Column("reported_at", AT, nullable=False),
    Column("cost", Numeric, nullable=False),  # In currency units, not rounded.
    Column("covered_minor", BigInteger, nullable=False),  # Of the cost, by the hold.
    Column("closed", Boolean, nullable=False),
    Column("deadline_at", AT, nullable=False),  # Closed then, unless it is heard of before.
    PrimaryKeyConstraint("tenant", "session_id"),
    ForeignKeyConstraint(["tenant", "hold_id"], ["holds.tenant", "holds.hold_id"]),
    CheckConstraint("covered_minor >= 0", name="session_cover"),
    Index("sessions_of_hold", "tenant", "hold_id"),
    Index("sessions_open", "tenant", "wallet_id", postgresql_where=text("NOT closed")),
    # Read over all tenants, by the worker.
    Index("sessions_due", "deadline_at", postgresql_where=text("NOT closed")),
)

# Periods with usage that is not invoiced yet, as invoicing told of them.
unbilled_periods = Table(
    "unbilled_periods",
    metadata,
    Column("tenant", Integer),
    Column("period_id", Uuid),
    Column("revision", BigInteger, nullable=False),
    Column("settled", Boolean, nullable=False),  # By an invoice, for good.
    PrimaryKeyConstraint("tenant", "period_id"),
)

# What wallets are to pay of such a period.
reservations = Table(
    "reservations",
    metadata,
    Column("tenant", Integer),
    Column("period_id", Uuid),
    Column("wallet_id", Uuid),
    Column("subscription_id", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "period_id", "wallet_id"),
    ForeignKeyConstraint(
        ["tenant", "period_id"], ["unbilled_periods.tenant", "unbilled_periods.period_id"]
    ),
    ForeignKeyConstraint(["tenant", "wallet_id"], OF_WALLET),
    CheckConstraint("amount_minor > 0", name="reservation_above_zero"),
    Index("reservations_of_wallet", "tenant", "wallet_id"),
)

# Invoices that were paid from wallets, or asked to be: the answer to every repeat.
applications = Table(
    "applications",
    metadata,
    Column("tenant", Integer),
    Column("invoice_id", Uuid),
    Column("content_hash", LargeBinary, nullable=False),
    Column("answer", LargeBinary),  # A proto; null only inside the transaction that claims.
    Column("created_at", AT, nullable=False),
    Column("returned_at", AT),  # When all that was paid was given back; null: it was not.
    PrimaryKeyConstraint("tenant", "invoice_id"),
)

assert top_up_schema.top_ups.metadata is metadata  # Its tables are among these.
LEDGER_TABLES = ("transactions", "entries", "grant_uses")  # Rows are only ever inserted.
OWN_TABLES = tuple(table.name for table in metadata.sorted_tables)

shared_tables(metadata)
