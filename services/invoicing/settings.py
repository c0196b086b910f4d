"""Settings of the invoicing service, read once from the environment at start-up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from libs.settings import ServiceSettings, require

RATING_ADDRESS = "INVOICING_RATING_ADDRESS"
WALLET_ADDRESS = "INVOICING_WALLET_ADDRESS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that an invoicing process is told from outside."""

    service: ServiceSettings
    rating_address: str  # host:port
    wallet_address: str  # host:port

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read INVOICING_* variables and NATS_URL.

        Raises:
            SystemExit: a sentence naming every missing variable at once, or one that is wrong.
        """
        peers = (RATING_ADDRESS, WALLET_ADDRESS)
        service = ServiceSettings.from_env("invoicing", env, also=peers)
        found = require(env, peers)
        return cls(
            service=service,
            rating_address=found[RATING_ADDRESS],
            wallet_address=found[WALLET_ADDRESS],
        )
