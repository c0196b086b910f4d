"""Settings of the wallet service, read once from the environment at start-up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from libs.settings import ServiceSettings, require

INGEST_ADDRESS = "WALLET_INGEST_ADDRESS"
RATING_ADDRESS = "WALLET_RATING_ADDRESS"
INVOICING_ADDRESS = "WALLET_INVOICING_ADDRESS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that a wallet process is told from outside."""

    common: ServiceSettings
    ingest_address: str  # host:port
    rating_address: str  # host:port
    invoicing_address: str  # host:port

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read WALLET_* variables and NATS_URL; stop with the name of what is missing or wrong."""
        peers = (INGEST_ADDRESS, RATING_ADDRESS, INVOICING_ADDRESS)
        common = ServiceSettings.from_env("wallet", env, also=peers)
        found = require(env, peers)
        return cls(
            common=common,
            ingest_address=found[INGEST_ADDRESS],
            rating_address=found[RATING_ADDRESS],
            invoicing_address=found[INVOICING_ADDRESS],
        )
