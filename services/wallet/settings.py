"""Settings of the wallet service, read once from the environment at start-up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from libs.settings import ServiceSettings, require

INVOICING_ADDRESS = "WALLET_INVOICING_ADDRESS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that a wallet process is told from outside."""

    common: ServiceSettings
    invoicing_address: str  # host:port

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read WALLET_* variables and NATS_URL.

        Raises:
            SystemExit: a sentence naming every missing variable at once, or one that is wrong.
        """
        return cls(
            common=ServiceSettings.from_env("wallet", env, also=(INVOICING_ADDRESS,)),
            invoicing_address=require(env, (INVOICING_ADDRESS,))[INVOICING_ADDRESS],
        )
