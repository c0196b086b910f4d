"""Settings of the ingest service."""

import pytest

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
