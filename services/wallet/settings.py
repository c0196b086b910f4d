"""Settings of the wallet service, read once from the environment at start-up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from libs.settings import ServiceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that a wallet process is told from outside."""

    common: ServiceSettings

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read WALLET_* variables and NATS_URL; stop with the name of what is missing or wrong."""
        return cls(common=ServiceSettings.from_env("wallet", env))
