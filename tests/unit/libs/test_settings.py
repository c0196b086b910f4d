"""Settings from the environment."""

from __future__ import annotations

import pytest

from libs.settings import ServiceSettings, require

FULL = {
    "NATS_URL": "nats://127.0.0.1:4222",
    "WALLET_DATABASE_URL": "postgresql+asyncpg://app@127.0.0.1/wallet",
    "WALLET_WORKER_DATABASE_URL": "postgresql+asyncpg://worker@127.0.0.1/wallet",
    "WALLET_LISTEN_ADDRESS": "127.0.0.1:0",
    "WALLET_TOKEN_KEYS_FILE": "keys.json",
    "WALLET_INTERNAL_TOKEN_FILE": "internal.token",
}


def test_what_may_be_left_out_has_a_default() -> None:
    settings = ServiceSettings.from_env("wallet", FULL)
    assert settings.service == "wallet"
    assert (settings.metrics_address, settings.traces_file) == (None, None)
    assert (settings.test_clock, settings.drain_seconds) == (False, 10)
    assert settings.connection_seconds == 300


def test_every_missing_variable_is_named_at_once() -> None:
    env = {"WALLET_DATABASE_URL": "x", "NATS_URL": ""}
    with pytest.raises(SystemExit) as stopped:
        ServiceSettings.from_env("wallet", env, also=["WALLET_INVOICING_ADDRESS"])
    for name in {*FULL, "WALLET_INVOICING_ADDRESS"} - {"WALLET_DATABASE_URL"}:
        assert name in str(stopped.value)
    assert "WALLET_DATABASE_URL" not in str(stopped.value)


@pytest.mark.parametrize(("text", "on"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_the_test_clock_is_switched_by_a_flag(text: str, on: bool) -> None:
    settings = ServiceSettings.from_env("wallet", FULL | {"WALLET_TEST_CLOCK": text})
    assert settings.test_clock is on


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("WALLET_TEST_CLOCK", "maybe"),
        ("WALLET_DRAIN_SECONDS", "soon"),
        ("WALLET_DRAIN_SECONDS", "-1"),
        ("WALLET_DRAIN_SECONDS", "nan"),
        ("WALLET_CONNECTION_SECONDS", "0"),
    ],
)
def test_a_value_that_means_nothing_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(SystemExit, match=name):
        ServiceSettings.from_env("wallet", FULL | {name: text})


def test_further_variables_can_be_required() -> None:
    assert require({"A": "1", "B": "2"}, ["A"]) == {"A": "1"}
    with pytest.raises(SystemExit, match="B, C"):
        require({"A": "1"}, ["A", "B", "C"])
