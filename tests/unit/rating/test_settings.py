"""Settings of the rating service."""

import pytest

from services.rating.settings import Settings

GOOD = {
    "RATING_DATABASE_URL": "postgresql+asyncpg://app@host/rating",
    "RATING_WORKER_DATABASE_URL": "postgresql+asyncpg://worker@host/rating",
    "RATING_LISTEN_ADDRESS": "127.0.0.1:1",
    "RATING_TOKEN_KEYS_FILE": "keys",
    "RATING_INTERNAL_TOKEN_FILE": "token",
    "RATING_INGEST_ADDRESS": "127.0.0.1:2",
    "NATS_URL": "nats://host",
}


def test_a_day_has_ten_thousand_cells_at_most_unless_set() -> None:
    assert Settings.from_env(GOOD).cells_per_day_max == 10_000
    assert Settings.from_env(GOOD | {"RATING_CELLS_PER_DAY_MAX": "7"}).cells_per_day_max == 7


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", "100001", "²"])
def test_a_wrong_number_of_cells_stops_the_start(text: str) -> None:
    with pytest.raises(SystemExit, match="RATING_CELLS_PER_DAY_MAX"):
        Settings.from_env(GOOD | {"RATING_CELLS_PER_DAY_MAX": text})
