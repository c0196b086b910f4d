"""HoldService over gRPC: what it answers, and each refusal with its own reason."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from google.protobuf.duration_pb2 import Duration

from libs.wire import timestamp
from tally.common.v1.money_pb2 import Money
from tally.wallet.v1 import hold_service_pb2 as pb
from tests.contract.wallet.conftest import (
    Client,
    Wallet,
    an_id,
    authorize_request,
    figures,
    usd,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_standalone_hold_is_placed_and_captured(client: Client, wallet: Wallet) -> None:
    wallet_id = await client.filled(100)
    placed = await client.call(authorize_request(wallet_id, 60, standalone=True))
    assert placed.hold.hold_id.startswith("std_")
    assert placed.hold.status == pb.HOLD_STATUS_OPEN
    assert placed.hold.expires_at == timestamp(wallet.now + timedelta(minutes=15))
    assert figures(placed.balance) == (100, 60, 0, 40)
    captured = await client.call(capture_request(placed.hold.hold_id, 50, final=True))
    assert (captured.hold.status, captured.hold.captured) == (pb.HOLD_STATUS_CAPTURED, usd(50))
    assert figures(captured.balance) == (50, 0, 0, 50)


async def test_a_subscriptions_capture_stays_in_the_wallet_as_captured(client: Client) -> None:
    wallet_id = await client.filled(100)
    hold = await client.hold(wallet_id, 60, subscription_id="sub-1")
    assert hold.hold_id.startswith("sub_") and hold.subscription_id == "sub-1"
    captured = await client.call(capture_request(hold.hold_id, 50, final=True))
    assert figures(captured.balance) == (100, 0, 50, 50)


async def test_an_empty_wallet_refuses_with_both_amounts(client: Client) -> None:
    wallet_id = await client.filled(40)
    refusal = await client.refused(authorize_request(wallet_id, 60, standalone=True))
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "INSUFFICIENT_BALANCE")
    assert refusal.metadata == {"available_minor": "40", "asked_minor": "60"}


async def test_a_second_resolution_is_refused_with_the_reason_of_the_first(
    client: Client, wallet: Wallet
) -> None:
    wallet_id = await client.filled(100)
    captured, released, expired = [(await client.hold(wallet_id, 10)).hold_id for _ in range(3)]
    await client.call(capture_request(captured, 10, final=True))
    await client.call(pb.ReleaseRequest(request_id=an_id(), hold_id=released))
    await wallet.move(minutes=15)
    reasons = {captured: "ALREADY_CAPTURED", released: "ALREADY_RELEASED", expired: "HOLD_EXPIRED"}
    for hold_id, reason in reasons.items():
        again = capture_request(hold_id, 1), pb.ReleaseRequest(request_id=an_id(), hold_id=hold_id)
        for request in again:
            refusal = await client.refused(request)
            assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", reason)
    shown = await client.call(pb.GetHoldRequest(hold_id=expired))
    assert shown.hold.status == pb.HOLD_STATUS_EXPIRED


async def test_a_capture_above_what_is_left_is_refused(client: Client) -> None:
    hold = await client.hold(await client.filled(100), 10)
    await client.call(capture_request(hold.hold_id, 4))
    refusal = await client.refused(capture_request(hold.hold_id, 7))
    assert refusal.reason == "CAPTURE_ABOVE_HOLD"
    assert refusal.metadata == {"left_minor": "6", "asked_minor": "7"}


async def test_a_repeated_request_gets_its_first_answer(client: Client) -> None:
    wallet_id = await client.filled(100)
    request = authorize_request(wallet_id, 60, standalone=True)
    first = await client.call(request)
    assert await client.call(request) == first
    request.amount.amount_minor = 61
    refusal = await client.refused(request)
    assert (refusal.code, refusal.reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "purpose"),
        ({"standalone": False}, "standalone"),
        ({"subscription_id": ""}, "subscription_id"),
        ({"standalone": True, "ttl": Duration(nanos=1_000)}, "ttl"),
        ({"standalone": True, "ttl": Duration(seconds=30 * 86_400 + 1)}, "ttl"),
    ],
)
async def test_a_hold_needs_a_purpose_and_a_deadline_in_bounds(
    client: Client, fields: dict[str, object], field: str
) -> None:
    refusal = await client.refused(authorize_request(an_id(), 1, **fields))
    assert (refusal.reason, refusal.fields) == ("FIELD_INVALID", [field])


async def test_every_fault_of_a_request_is_named_at_once(client: Client) -> None:
    request = pb.AuthorizeRequest(request_id=an_id(), wallet_id="x", ttl=Duration(seconds=-1))
    refusal = await client.refused(request)
    assert refusal.fields == ["wallet_id", "amount", "ttl", "purpose"]


async def test_money_of_another_currency_is_refused(client: Client) -> None:
    request = authorize_request(await client.filled(100), 1, standalone=True)
    request.amount.CopyFrom(Money(currency_code="EUR", amount_minor=1))
    assert (await client.refused(request)).reason == "CURRENCY_MISMATCH"


async def test_what_does_not_exist_is_not_found(client: Client) -> None:
    refusal = await client.refused(authorize_request(an_id(), 1, standalone=True))
    assert (refusal.code, refusal.reason) == ("NOT_FOUND", "WALLET_NOT_FOUND")
    refusal = await client.refused(pb.GetHoldRequest(hold_id=f"std_{uuid4()}"))
    assert (refusal.code, refusal.reason) == ("NOT_FOUND", "HOLD_NOT_FOUND")


async def test_holds_are_invisible_to_other_tenants_and_scopes(
    client: Client, wallet: Wallet
) -> None:
    wallet_id = await client.filled(100)
    hold = await client.hold(wallet_id, 10)
    stranger = wallet.client(tenant=1_000_000)
    assert (await stranger.refused(pb.GetHoldRequest(hold_id=hold.hold_id))).code == "NOT_FOUND"
    reader = wallet.client(scopes=("wallets:read",))
    refusal = await reader.refused(authorize_request(wallet_id, 1, standalone=True))
    assert (refusal.code, refusal.reason) == ("PERMISSION_DENIED", "SCOPE_MISSING")
    nobody = Client(wallet.channel, "")
    assert (await nobody.refused(pb.GetHoldRequest())).reason == "TOKEN_MISSING"


def capture_request(hold_id: str, amount_minor: int, *, final: bool = False) -> pb.CaptureRequest:
    return pb.CaptureRequest(
        request_id=an_id(), hold_id=hold_id, amount=usd(amount_minor), final=final
    )


async def test_an_extended_hold_outlives_its_first_deadline(client: Client, wallet: Wallet) -> None:
    hold = await client.hold(
        await client.filled(100), 30, ttl=Duration(seconds=60), standalone=True
    )
    request = pb.ExtendHoldRequest(
        request_id=an_id(), hold_id=hold.hold_id, amount=usd(50), ttl=Duration(seconds=600)
    )
    first = await client.call(request)
    assert await client.call(request) == first
    assert figures(first.balance) == (100, 80, 0, 20)
    await wallet.move(minutes=5)
    stands = (await client.call(pb.GetHoldRequest(hold_id=hold.hold_id))).hold
    assert (stands.status, stands.amount.amount_minor) == (pb.HOLD_STATUS_OPEN, 80)
    nothing = pb.ExtendHoldRequest(request_id=an_id(), hold_id=hold.hold_id)
    assert (await client.refused(nothing)).fields == ["amount"]
    await wallet.move(minutes=6)
    request.request_id = an_id()
    assert (await client.refused(request)).reason == "HOLD_EXPIRED"
    assert (await client.refused(capture_request(hold.hold_id, 1))).reason == "HOLD_EXPIRED"
    assert await client.balance(hold.wallet_id) == (100, 0, 0, 100)


async def test_holds_are_listed_newest_first_by_status_and_subscription(
    client: Client, wallet: Wallet
) -> None:
    wallet_id, placed = await client.filled(100), []
    for purpose in ({"standalone": True}, {"subscription_id": "s"}, {"standalone": True}):
        placed.append((await client.hold(wallet_id, 10, **purpose)).hold_id)
        await wallet.move(seconds=1)
    await client.call(pb.ReleaseRequest(request_id=an_id(), hold_id=placed[2]))

    async def listed(**fields: object) -> list[str]:
        request = pb.ListHoldsRequest(wallet_id=wallet_id, page_size=1)
        request.MergeFrom(pb.ListHoldsRequest(**fields))  # type: ignore[arg-type]
        found = []
        while True:
            page = await client.call(request)
            found += [hold.hold_id for hold in page.holds]
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    assert await listed() == placed[::-1]
    assert await listed(status=pb.HOLD_STATUS_OPEN) == [placed[1], placed[0]]
    assert await listed(subscription_id="s") == [placed[1]]
