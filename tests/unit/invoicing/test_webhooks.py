"""Webhooks: signatures, pauses between attempts, and addresses that are never connected to."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from services.invoicing.domain.webhook import (
    GIVE_UP_AFTER,
    SECRETS_OVERLAP,
    Endpoint,
    is_public,
    next_attempt_at,
    sign,
)
from services.invoicing.settings import read_webhook_private

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_a_signature_is_the_hmac_of_timestamp_and_body_by_each_secret() -> None:
    newest, older = (
        hmac.new(secret, b'1700000000.{"id":"1"}', hashlib.sha256).hexdigest()
        for secret in (b"new", b"old")
    )
    header = sign(b'{"id":"1"}', ["new", "old"], timestamp=1_700_000_000)
    assert header == f"t=1700000000,v1={newest},v1={older}"


def test_the_secret_before_signs_until_a_day_after_the_rotation() -> None:
    endpoint = Endpoint(
        endpoint_id=UUID(int=1),
        url="https://example.com/",
        fact_types=(),
        disabled=False,
        secret="new",
        previous_secret="old",
        previous_secret_until=NOW + SECRETS_OVERLAP,
        created_at=NOW,
    )
    assert endpoint.secrets_at(NOW + SECRETS_OVERLAP - SECOND) == ["new", "old"]
    assert endpoint.secrets_at(NOW + SECRETS_OVERLAP) == ["new"]


@pytest.mark.parametrize(
    ("attempts", "draw", "seconds"),
    [(1, 0, 10), (1, 999, 5.01), (2, 0, 20), (3, 500, 30), (12, 0, 20_480), (13, 0, 21_600)]
    + [(10_000, 0, 21_600)],
)
def test_pauses_double_up_to_six_hours_less_up_to_half(
    attempts: int, draw: int, seconds: float
) -> None:
    at = next_attempt_at(attempts, NOW + GIVE_UP_AFTER, now=NOW, draw=draw)
    assert at == NOW + timedelta(seconds=seconds)


def test_the_last_attempt_is_three_days_after_the_first() -> None:
    now, attempts, give_up_at = NOW, 0, NOW + GIVE_UP_AFTER
    while now < give_up_at:
        attempts += 1
        at = next_attempt_at(attempts, give_up_at, now=now, draw=0)
        assert at is not None and now < at <= give_up_at
        now = at
    assert (now - NOW, attempts) == (timedelta(days=3), 23)
    assert next_attempt_at(attempts + 1, give_up_at, now=now, draw=0) is None


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"]
    + ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0"]
    + ["fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1"]
    + ["64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "fec0::1"]
    + ["::7f00:1", "::ffff:0:7f00:1", "64:ff9b:1::7f00:1", "240.0.0.1"],
)
def test_private_loopback_link_local_and_disguised_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


def test_an_ipv4_address_in_an_ipv6_one_is_judged_by_itself() -> None:
    assert is_public("::ffff:93.184.215.14")
    assert is_public("64:ff9b::5db8:d70e")


def test_private_networks_are_allowed_by_one_word_only() -> None:
    assert read_webhook_private({"INVOICING_WEBHOOK_PRIVATE": "allow"})
    assert not read_webhook_private({})
    with pytest.raises(SystemExit, match="set it to allow"):
        read_webhook_private({"INVOICING_WEBHOOK_PRIVATE": "1"})
