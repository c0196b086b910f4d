"""Many callers at once, over gRPC: no wallet gives more than it has, no command acts twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.message import Message

from cli.client import SuiteClient, refusal
from tally.common.v1.money_pb2 import Money
from tally.invoicing.v1.tax_service_pb2 import CreateTaxRequest, ListTaxesRequest, Tax
from tally.rating.v1.meter_service_pb2 import (
    Aggregation,
    CreateMeterRequest,
    ListMetersRequest,
    Meter,
)
from tally.wallet.v1.hold_service_pb2 import AuthorizeRequest, CaptureRequest
from tally.wallet.v1.wallet_service_pb2 import (
    CreateWalletRequest,
    GetBalanceRequest,
    Grant,
    GrantCreditsRequest,
    GrantKind,
    ListGrantsRequest,
    Wallet,
)
from tests.suite import Suite

CALLERS, PLACES, PLACE_MINOR = 200, 50, 10
REPEATS = 50
SLOW_DOWN = {"RESOURCE_EXHAUSTED", "UNAVAILABLE"}  # Whoever is told so comes again.


@pytest.fixture
async def client(suite: Suite) -> AsyncIterator[SuiteClient]:
    """A client of a tenant of whom nothing is stored."""
    async with suite.client(suite.new_tenant()) as made:
        yield made


async def test_two_hundred_callers_for_fifty_places_get_fifty(client: SuiteClient) -> None:
    wallet_id = await filled_wallet(client, PLACES * PLACE_MINOR)
    requests = [
        AuthorizeRequest(
            request_id=str(uuid4()), wallet_id=wallet_id, amount=usd(PLACE_MINOR), standalone=True
        )
        for _ in range(CALLERS)
    ]
    answers = await asyncio.gather(*(answer(client.holds.Authorize, one) for one in requests))
    reasons = Counter(one for one in answers if isinstance(one, str))
    assert reasons == {"INSUFFICIENT_BALANCE": CALLERS - PLACES}
    placed = [one for one in answers if not isinstance(one, str)]
    assert len({one.hold.hold_id for one in placed}) == PLACES
    balance = (await client.wallets.GetBalance(GetBalanceRequest(wallet_id=wallet_id))).balance
    figures = (balance.posted, balance.held, balance.available)
    assert figures == (usd(PLACES * PLACE_MINOR), usd(PLACES * PLACE_MINOR), usd(0))


async def test_two_hundred_callers_on_one_wallet_are_all_answered(client: SuiteClient) -> None:
    wallet_id = await filled_wallet(client, CALLERS * PLACE_MINOR)

    async def spend() -> None:
        wanted = AuthorizeRequest(
            request_id=str(uuid4()), wallet_id=wallet_id, amount=usd(PLACE_MINOR), standalone=True
        )
        hold = (await client.holds.Authorize(wanted)).hold
        await client.holds.Capture(
            CaptureRequest(request_id=str(uuid4()), hold_id=hold.hold_id, amount=hold.amount)
        )

    await asyncio.gather(*(spend() for _ in range(CALLERS)))
    balance = (await client.wallets.GetBalance(GetBalanceRequest(wallet_id=wallet_id))).balance
    assert (balance.posted, balance.held) == (usd(0), usd(0))


@dataclass(frozen=True, slots=True)
class Command:
    """A mutating call, the same with other content, and how often it took effect."""

    call: Callable[[Any], Awaitable[Message]]
    request: Message
    other: Message
    count_effects: Callable[[], Awaitable[int]]


async def create_meter(client: SuiteClient) -> Command:
    def request(code: str) -> Message:
        meter = Meter(code=code, aggregation=Aggregation.AGGREGATION_COUNT)
        return CreateMeterRequest(request_id=REQUEST_ID, meter=meter)

    async def count() -> int:
        return len((await client.meters.ListMeters(ListMetersRequest())).meters)

    return Command(client.meters.CreateMeter, request("calls"), request("other"), count)


async def create_tax(client: SuiteClient) -> Command:
    def request(code: str) -> Message:
        tax = Tax(code=code, name="GST", rate_percent="10")
        return CreateTaxRequest(request_id=REQUEST_ID, tax=tax)

    async def count() -> int:
        return len((await client.taxes.ListTaxes(ListTaxesRequest())).taxes)

    return Command(client.taxes.CreateTax, request("gst"), request("vat"), count)


async def grant_credits(client: SuiteClient) -> Command:
    wallet_id = await filled_wallet(client, 1)

    def request(amount_minor: int) -> Message:
        return GrantCreditsRequest(request_id=REQUEST_ID, grant=grant(wallet_id, amount_minor))

    async def count() -> int:
        asked = ListGrantsRequest(wallet_id=wallet_id)
        return len((await client.wallets.ListGrants(asked)).grants) - 1

    return Command(client.wallets.GrantCredits, request(10), request(11), count)


REQUEST_ID = str(uuid4())  # One for all methods: they do not share ids.


@pytest.mark.parametrize("command_of", [create_meter, create_tax, grant_credits])
async def test_one_request_id_from_many_callers_takes_effect_once(
    client: SuiteClient, command_of: Callable[[SuiteClient], Awaitable[Command]]
) -> None:
    command = await command_of(client)
    calls = [answer(command.call, command.request) for _ in range(REPEATS)]
    first, *others = await asyncio.gather(*calls)
    assert isinstance(first, Message)
    assert all(other == first for other in others)
    assert await command.count_effects() == 1
    assert await answer(command.call, command.other) == "REQUEST_ID_REUSED"
    assert await command.count_effects() == 1


async def answer(call: Callable[[Any], Awaitable[Any]], request: Message) -> Any:
    """Return what a call gives, or the reason for which it is refused."""
    while True:
        try:
            return await call(request)
        except grpc.aio.AioRpcError as error:
            refused = refusal(error)
            if refused.code not in SLOW_DOWN:
                return refused.reason


async def filled_wallet(client: SuiteClient, amount_minor: int) -> str:
    """Open a wallet with one grant; return its id."""
    wallet = Wallet(customer_id="acme", currency_code="USD")
    opened = await client.wallets.CreateWallet(
        CreateWalletRequest(request_id=str(uuid4()), wallet=wallet)
    )
    wallet_id: str = opened.wallet.wallet_id
    await client.wallets.GrantCredits(
        GrantCreditsRequest(request_id=str(uuid4()), grant=grant(wallet_id, amount_minor))
    )
    return wallet_id


def grant(wallet_id: str, amount_minor: int) -> Grant:
    kind = GrantKind.GRANT_KIND_PURCHASED
    return Grant(wallet_id=wallet_id, amount=usd(amount_minor), kind=kind)


def usd(amount_minor: int) -> Money:
    return Money(currency_code="USD", amount_minor=amount_minor)
