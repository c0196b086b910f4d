"""Settings of the ingest service, read once from the environment at start-up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from libs.settings import ServiceSettings

PARTITIONS = "INGEST_PARTITIONS"
PARTITIONS_DEFAULT = "4"
PARTITIONS_MAX = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that an ingest process is told from outside."""

    common: ServiceSettings
    partitions: int  # Rating partitions of the log; the first start fixes them for good.

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read INGEST_* variables and NATS_URL; stop with the name of what is missing or wrong."""
        common = ServiceSettings.from_env("ingest", env)
        text = env.get(PARTITIONS) or PARTITIONS_DEFAULT
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= PARTITIONS_MAX:
            raise SystemExit(f"{PARTITIONS} is {text!r}: set it to 1 to {PARTITIONS_MAX}.")
        return cls(common=common, partitions=int(text))
