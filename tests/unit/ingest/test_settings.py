"""Settings of the ingest service."""

import sys
from pathlib import Path

import pytest

from services.ingest.domain.retention import Ages
from services.ingest.settings import Settings

GOOD = {
    "INGEST_DATABASE_URL": "postgresql+asyncpg://app@host/ingest",
    "INGEST_WORKER_DATABASE_URL": "postgresql+asyncpg://worker@host/ingest",
    "INGEST_LISTEN_ADDRESS": "127.0.0.1:1",
    "INGEST_TOKEN_KEYS_FILE": "keys",
    "INGEST_INTERNAL_TOKEN_FILE": "token",
    "NATS_URL": "nats://host",
}


def test_partitions_are_four_unless_set() -> None:
    assert Settings.from_env(GOOD).partitions == 4
    assert Settings.from_env(GOOD | {"INGEST_PARTITIONS": "8"}).partitions == 8


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", "2000", "²"])
def test_a_wrong_number_of_partitions_stops_the_start(text: str) -> None:
    with pytest.raises(SystemExit, match="INGEST_PARTITIONS"):
        Settings.from_env(GOOD | {"INGEST_PARTITIONS": text})


def test_keys_are_kept_as_long_as_events_are_taken_and_the_log_for_good() -> None:
    settings = Settings.from_env(GOOD)
    assert settings.ages == Ages(keys_days=400, log_days=0)
    assert settings.export_folder is None


def test_ages_are_days_and_zero_is_never(tmp_path: Path) -> None:
    env = {
        "INGEST_KEYS_KEPT_DAYS": "0",
        "INGEST_LOG_KEPT_DAYS": "500",
        "INGEST_EXPORT_FOLDER": str(tmp_path),
    }
    settings = Settings.from_env(GOOD | env)
    assert settings.ages == Ages(keys_days=0, log_days=500)
    assert settings.export_folder == tmp_path


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"INGEST_KEYS_KEPT_DAYS": "99"}, "INGEST_KEYS_KEPT_DAYS.*0 for never, or to 100 to"),
        ({"INGEST_KEYS_KEPT_DAYS": "-1"}, "INGEST_KEYS_KEPT_DAYS"),
        ({"INGEST_LOG_KEPT_DAYS": "499"}, "INGEST_LOG_KEPT_DAYS.*or to 500 to"),
        (
            {"INGEST_KEYS_KEPT_DAYS": "600", "INGEST_LOG_KEPT_DAYS": "699"},
            "INGEST_LOG_KEPT_DAYS.*or to 700 to",
        ),
        ({"INGEST_EXPORT_FOLDER": "/tmp"}, "INGEST_LOG_KEPT_DAYS is not"),
        ({"INGEST_LOG_KEPT_DAYS": "500", "INGEST_EXPORT_FOLDER": "exports"}, "'exports'"),
        ({"INGEST_LOG_KEPT_DAYS": "500", "INGEST_EXPORT_FOLDER": "/no/such"}, "'/no/such'"),
    ],
)
def test_ages_that_do_not_fit_stop_the_start(env: dict[str, str], named: str) -> None:
    with pytest.raises(SystemExit, match=named):
        Settings.from_env(GOOD | env)


def test_an_export_without_pyarrow_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # As if it were not installed.
    env = {"INGEST_LOG_KEPT_DAYS": "500", "INGEST_EXPORT_FOLDER": str(tmp_path)}
    with pytest.raises(SystemExit, match="INGEST_EXPORT_FOLDER.*pyarrow, the extra `parquet`"):
        Settings.from_env(GOOD | env)
