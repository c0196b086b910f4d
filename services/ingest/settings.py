"""Settings of the ingest service, read once from the environment at start-up."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from libs.settings import ServiceSettings
from services.ingest.domain.retention import LOG_BEYOND_FLOOR_DAYS, Ages

PARTITIONS = "INGEST_PARTITIONS"
PARTITIONS_DEFAULT = 4
PARTITIONS_MAX = 1_024

KEYS_KEPT_DAYS = "INGEST_KEYS_KEPT_DAYS"
KEYS_DAYS_DEFAULT = 400  # As old as an event may be where a tenant has no limit of its own.
KEYS_DAYS_MIN = 100
LOG_KEPT_DAYS = "INGEST_LOG_KEPT_DAYS"
LOG_DAYS_MIN = KEYS_DAYS_DEFAULT + LOG_BEYOND_FLOOR_DAYS
DAYS_MAX = 36_500
EXPORT_FOLDER = "INGEST_EXPORT_FOLDER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that an ingest process is told from outside."""

    common: ServiceSettings
    partitions: int  # Rating partitions of the log; the first start fixes them for good.
    ages: Ages
    export_folder: Path | None  # Where months of the log are written before they are dropped.

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read INGEST_* variables and NATS_URL; stop with the name of what is missing or wrong."""
        common = ServiceSettings.from_env("ingest", env)
        partitions = _whole(
            env, PARTITIONS, PARTITIONS_DEFAULT, least=1, most=PARTITIONS_MAX, never=False
        )
        ages = _read_ages(env)
        return cls(
            common=common,
            partitions=partitions,
            ages=ages,
            export_folder=_read_export_folder(env, ages),
        )


def _read_ages(env: Mapping[str, str]) -> Ages:
    keys = _whole(
        env, KEYS_KEPT_DAYS, KEYS_DAYS_DEFAULT, least=KEYS_DAYS_MIN, most=DAYS_MAX, never=True
    )
    least = max(LOG_DAYS_MIN, keys + LOG_BEYOND_FLOOR_DAYS)
    return Ages(keys, _whole(env, LOG_KEPT_DAYS, 0, least=least, most=DAYS_MAX, never=True))


def _read_export_folder(env: Mapping[str, str], ages: Ages) -> Path | None:
    text = env.get(EXPORT_FOLDER)
    if not text:
        return None
    if not ages.log_days:
        raise SystemExit(
            f"{EXPORT_FOLDER} is set, and {LOG_KEPT_DAYS} is not: nothing is exported."
        )
    if find_spec("pyarrow") is None:
        raise SystemExit(
            f"{EXPORT_FOLDER} is set: Parquet needs pyarrow, the extra `parquet` of the package."
        )
    folder = Path(text)
    if not (folder.is_absolute() and folder.is_dir() and os.access(folder, os.W_OK)):
        raise SystemExit(f"{EXPORT_FOLDER} is {text!r}: set it to a folder that can be written to.")
    return folder


def _whole(
    env: Mapping[str, str], name: str, default: int, *, least: int, most: int, never: bool
) -> int:
    """Read a whole number from `least` to `most`, or 0 if that means `never`."""
    text = env.get(name) or str(default)
    is_whole = text.isascii() and text.isdigit()
    if is_whole and (least <= int(text) <= most or (never and int(text) == 0)):
        return int(text)
    either = "0 for never, or to " if never else ""
    raise SystemExit(f"{name} is {text!r}: set it to {either}{least} to {most}.")
