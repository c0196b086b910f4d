"""Settings of the rating service, read once from the environment at start-up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from libs.settings import ServiceSettings, require
from services.rating.domain.high_cardinality import CELLS_PER_DAY_MAX

INGEST_ADDRESS = "RATING_INGEST_ADDRESS"
PARTITIONS = "RATING_PARTITIONS"
PARTITIONS_MAX = 1_024
CELLS_PER_DAY = "RATING_CELLS_PER_DAY_MAX"
CELLS_PER_DAY_LIMIT = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that a rating process is told from outside."""

    common: ServiceSettings
    ingest_address: str  # host:port of the ingest service.
    partitions: frozenset[int] | None  # Those that this process folds; None: all.
    cells_per_day_max: int  # Of a term and meter; more combinations of values are in the log.

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read RATING_* variables and NATS_URL; stop with the name of what is missing or wrong."""
        common = ServiceSettings.from_env("rating", env, also=[INGEST_ADDRESS])
        return cls(
            common=common,
            ingest_address=require(env, [INGEST_ADDRESS])[INGEST_ADDRESS],
            partitions=_partitions(env.get(PARTITIONS, "")),
            cells_per_day_max=_count(env.get(CELLS_PER_DAY, "")),
        )


def _count(text: str) -> int:
    if not text:
        return CELLS_PER_DAY_MAX
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= CELLS_PER_DAY_LIMIT):
        problem = f"set it to a number from 1 to {CELLS_PER_DAY_LIMIT}"
        raise SystemExit(f"{CELLS_PER_DAY} is {text!r}: {problem}.")
    return int(text)


def _partitions(text: str) -> frozenset[int] | None:
    if text in {"", "all"}:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) < PARTITIONS_MAX for part in parts):
        raise SystemExit(f"{PARTITIONS} is {text!r}: set it to all, or to numbers like 0,1.")
    return frozenset(int(part) for part in parts)
