"""What all tables of the wallet belong to."""

from __future__ import annotations

from sqlalchemy import DateTime, MetaData

metadata = MetaData()

AT = DateTime(timezone=True)
OF_WALLET = ["wallets.tenant", "wallets.wallet_id"]
