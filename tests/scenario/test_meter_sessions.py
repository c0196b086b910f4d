"""An agent on a prepaid pack streams tokens until told to stop; the invoice shows who paid."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from cli.client import SuiteClient, refusal
from tally.common.v1.money_pb2 import Money
from tally.rating.v1.plan_service_pb2 import Price, StandardPrice
from tally.wallet.v1 import hold_service_pb2 as pb
from tally.wallet.v1.ledger_service_pb2 import CheckInvariantsRequest, ListApplicationsRequest
from tally.wallet.v1.wallet_service_pb2 import (
    CreateWalletRequest,
    GetBalanceRequest,
    Grant,
    GrantCreditsRequest,
    GrantKind,
    Wallet,
)
from tests.scenario.builders import invoices, lines, sell, subscribe
from tests.suite import Suite

JAN_1, JAN_3, FEB_1 = (datetime(2026, m, d, tzinfo=UTC) for m, d in ((1, 1), (1, 3), (2, 1)))
BILLED = timedelta(minutes=11)  # After the collection delay.


async def test_an_agent_streams_tokens_until_its_pack_is_used_up(suite: Suite) -> None:
    await suite.advance(JAN_1)
    async with suite.client(suite.new_tenant()) as client:
        await sell(client, price=Price(standard=StandardPrice(unit_amount="0.004")))
        await subscribe(client, "acme", JAN_1)
        wallet_id = await a_wallet(client)
        given = await put_in(client, wallet_id, 60, GrantKind.GRANT_KIND_GRANTED)
        bought = await put_in(client, wallet_id, 140, GrantKind.GRANT_KIND_PURCHASED)
        await suite.advance(JAN_3)

        opening = an_opening(wallet_id, 20)
        stream = client.holds.MeterSession()
        opened = await step(stream, open=opening)
        assert figures(opened) == (0, 20, 0, 200, False, False)
        assert figures(await step(stream, usage=used(1, "100"))) == (1, 60, 40, 160, False, False)
        assert await refused(stream, usage=used(2, "99")) == "FIELD_INVALID"  # A total fell.

        stream = client.holds.MeterSession()  # It goes on where the other one broke.
        assert figures(await step(stream, open=opening)) == figures_of(1, 60, 40, 160)
        assert figures(await step(stream, usage=used(1, "100"))) == figures_of(1, 60, 40, 160)
        assert figures(await step(stream, usage=used(2, "100.5"))) == figures_of(2, 60, 40, 160)
        assert figures(await step(stream, usage=used(3, "480"))) == (3, 200, 192, 8, True, False)
        assert figures(await step(stream, usage=used(4, "525"))) == (4, 200, 210, -10, True, True)
        ended = await step(stream, close=pb.CloseSession())
        assert (ended.closed, ended.hold.captured.amount_minor) == (True, 200)
        assert ended.hold.status == pb.HOLD_STATUS_CAPTURED
        assert (await step(client.holds.MeterSession(), open=opening)).closed
        assert await balance(client, wallet_id) == (0, 0, 200)
        poor = an_opening(wallet_id, 1)
        assert await refused(client.holds.MeterSession(), open=poor) == "INSUFFICIENT_BALANCE"

        await suite.advance(FEB_1 + BILLED)
        [invoice] = await invoices(client)
        assert [(one.units, one.amount_minor) for one in lines(invoice)] == [("525", 210)]
        assert (invoice.credits_minor, invoice.total_minor) == (200, 10)
        assert await paid_by_grants(suite, invoice.invoice_id) == {given: 60, bought: 140}
        assert await balance(client, wallet_id) == (0, 0, 0)
        await check_books(suite)


async def test_a_session_that_breaks_is_captured_after_its_grace(suite: Suite) -> None:
    now = FEB_1 + BILLED
    await suite.advance(now)
    async with suite.client(suite.new_tenant()) as client:
        await sell(client)
        await subscribe(client, "acme", FEB_1)
        wallet_id = await a_wallet(client)
        await put_in(client, wallet_id, 100, GrantKind.GRANT_KIND_PURCHASED)
        opening = an_opening(wallet_id, 50, grace=Duration(seconds=90))
        stream = client.holds.MeterSession()
        await step(stream, open=opening)
        await step(stream, usage=used(1, "30"))
        stream.cancel()
        other = an_opening(wallet_id, 20)
        other.session_id = opening.session_id
        assert await refused(client.holds.MeterSession(), open=other) == "REQUEST_ID_REUSED"
        await suite.advance(now + timedelta(seconds=60))
        assert await balance(client, wallet_id) == (20, 80, 0)
        await suite.advance(now + timedelta(seconds=91))
        assert await balance(client, wallet_id) == (70, 0, 30)
        stream = client.holds.MeterSession()
        ended = await step(stream, open=opening)
        assert (ended.closed, ended.sequence) == (True, 1)
        await check_books(suite)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"session_id": "x"}, "FIELD_INVALID"),
        ({"wallet_id": ""}, "FIELD_INVALID"),
        ({"subscription_id": ""}, "FIELD_INVALID"),
        ({"event_type": ""}, "FIELD_INVALID"),
        ({"estimate": Money(currency_code="USD")}, "FIELD_INVALID"),
        ({"estimate": Money(currency_code="EUR", amount_minor=1)}, "CURRENCY_MISMATCH"),
        ({"grace": Duration(seconds=3_601)}, "FIELD_INVALID"),
        ({"low": Money(currency_code="EUR", amount_minor=1)}, "FIELD_INVALID"),
        ({"properties": {str(n): "" for n in range(33)}}, "FIELD_INVALID"),
        ({"wallet_id": str(uuid4())}, "WALLET_NOT_FOUND"),
    ],
)
async def test_what_no_session_can_meter_is_refused(
    suite: Suite, fields: dict[str, Any], reason: str
) -> None:
    async with suite.client(suite.new_tenant()) as client:
        good = an_opening(await a_wallet(client), 10)
        for name, value in fields.items():
            good.ClearField(name)  # type: ignore[arg-type]
            good.MergeFrom(pb.OpenSession(**{name: value}))
        assert await refused(client.holds.MeterSession(), open=good) == reason


async def test_usage_that_is_none_is_refused_and_the_session_goes_on(suite: Suite) -> None:
    async with suite.client(suite.new_tenant()) as client:
        wallet_id = await a_wallet(client)
        await put_in(client, wallet_id, 100, GrantKind.GRANT_KIND_PURCHASED)
        opening = an_opening(wallet_id, 10)
        bad = (used(0, "1"), used(1, "-1"), used(1, "many"), pb.SessionUsage(sequence=1))
        for usage in bad:
            stream = client.holds.MeterSession()
            await step(stream, open=opening)
            assert await refused(stream, usage=usage) == "FIELD_INVALID"
        assert await refused(client.holds.MeterSession(), usage=used(1, "1")) == "FIELD_INVALID"
        stream = client.holds.MeterSession()
        assert figures(await step(stream, open=opening)) == figures_of(0, 10, 0, 100)
        assert (await step(stream, close=pb.CloseSession())).hold.captured.amount_minor == 0
        assert await balance(client, wallet_id) == (100, 0, 0)


def an_opening(wallet_id: str, estimate: int, **fields: Any) -> pb.OpenSession:
    return pb.OpenSession(
        session_id=str(uuid4()),
        wallet_id=wallet_id,
        subscription_id="acme-pro",
        estimate=usd(estimate),
        event_type="calls",
        properties={"model": "small"},
        **fields,
    )


def used(sequence: int, total: str) -> pb.SessionUsage:
    return pb.SessionUsage(sequence=sequence, quantities={"value": total})


async def step(stream: Any, **fields: Any) -> pb.MeterSessionResponse:
    """Send a step; return the answer to it."""
    await stream.write(pb.MeterSessionRequest(**fields))
    answer = await stream.read()
    assert isinstance(answer, pb.MeterSessionResponse), await stream.details()
    return answer


async def refused(stream: Any, **fields: Any) -> str:
    """Send a step; return the reason for which it ends the stream."""
    await stream.write(pb.MeterSessionRequest(**fields))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    return refusal(caught.value).reason


def figures(answer: pb.MeterSessionResponse) -> tuple[int, int, int, int, bool, bool]:
    """Return the sequence, what is held, used and left, and whether that is low or nothing."""
    held, spent, left = (
        money.amount_minor for money in (answer.hold.amount, answer.used, answer.remaining)
    )
    return (answer.sequence, held, spent, left, answer.low, answer.stop)


def figures_of(
    sequence: int, held: int, spent: int, left: int
) -> tuple[int, int, int, int, bool, bool]:
    return (sequence, held, spent, left, False, False)


async def a_wallet(client: SuiteClient) -> str:
    wallet = Wallet(customer_id="acme", currency_code="USD")
    request = CreateWalletRequest(request_id=str(uuid4()), wallet=wallet)
    return (await client.wallets.CreateWallet(request)).wallet.wallet_id


async def put_in(
    client: SuiteClient, wallet_id: str, amount: int, kind: GrantKind.ValueType
) -> str:
    grant = Grant(wallet_id=wallet_id, kind=kind, amount=usd(amount))
    request = GrantCreditsRequest(request_id=str(uuid4()), grant=grant)
    return (await client.wallets.GrantCredits(request)).grant.grant_id


async def balance(client: SuiteClient, wallet_id: str) -> tuple[int, int, int]:
    """Return what is available, held and captured."""
    found = (await client.wallets.GetBalance(GetBalanceRequest(wallet_id=wallet_id))).balance
    parts = (found.available, found.held, found.captured)
    available, held, captured = (part.amount_minor for part in parts)
    return (available, held, captured)


async def paid_by_grants(suite: Suite, invoice_id: str) -> Counter[str]:
    async with suite.internal() as client:
        request = ListApplicationsRequest(invoice_ids=[invoice_id])
        [application] = (await client.ledger.ListApplications(request)).applications
    paid: Counter[str] = Counter()
    for credit in application.credits:
        assert credit.captured
        paid[credit.grant_id] += credit.amount_minor
    return paid


async def check_books(suite: Suite) -> None:
    async with suite.internal() as client:
        told = [one async for one in client.ledger.CheckInvariants(CheckInvariantsRequest())]
    assert [one.WhichOneof("result") for one in told] == ["verification"], told


def usd(amount_minor: int) -> Money:
    return Money(currency_code="USD", amount_minor=amount_minor)
