"""WalletService over gRPC: wallets, grants, entries, lists, time, and what is announced."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from libs.wire import page_token, timestamp
from tally.internal.v1.fact_service_pb2 import StreamFactsRequest
from tally.internal.v1.fact_service_pb2_grpc import FactServiceStub
from tally.wallet.v1 import events_pb2, wallet_changes_pb2, wallet_service_pb2
from tally.wallet.v1 import wallet_service_pb2 as pb
from tally.wallet.v1.wallet_service_pb2 import ListEntriesRequest
from tally.wallet.v1.wallet_service_pb2_grpc import WalletServiceStub
from tests.contract.wallet.conftest import Client, Wallet, an_id, figures, usd
from tests.wait import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_wallet_is_stored_as_it_was_asked_for(client: Client, wallet: Wallet) -> None:
    scope = pb.WalletScope(fee_kinds=["usage"], meter_codes=["b", "a"])
    wallet_id = await client.open(name="Pack", priority=7, scope=scope)
    shown = await client.call(pb.GetWalletRequest(wallet_id=wallet_id))
    assert shown.wallet == pb.Wallet(
        wallet_id=wallet_id,
        customer_id="acme",
        currency_code="USD",
        name="Pack",
        priority=7,
        scope=pb.WalletScope(fee_kinds=["usage"], meter_codes=["a", "b"]),
        created_at=timestamp(wallet.now),
        rate="1",
    )
    assert figures(shown.balance) == (0, 0, 0, 0)


async def test_wallets_are_listed_by_customer_priority_and_age(client: Client) -> None:
    ids = [
        await client.open(customer_id="b"),
        await client.open(customer_id="a"),
        await client.open(customer_id="a", priority=1),
        await client.open(customer_id="a"),
    ]
    listed = await pages(client, pb.ListWalletsRequest(page_size=1), "wallets")
    assert [wallet.wallet_id for wallet in listed] == [ids[2], ids[1], ids[3], ids[0]]
    of_b = await client.call(pb.ListWalletsRequest(customer_id="b"))
    assert [wallet.wallet_id for wallet in of_b.wallets] == [ids[0]]


async def test_grants_are_listed_in_burn_order_and_entries_newest_first(
    client: Client, wallet: Wallet
) -> None:
    wallet_id = await client.open()
    soon, late = (timestamp(wallet.now + timedelta(days=days)) for days in (1, 9))
    grants = [
        await client.grant(wallet_id, 1),
        await client.grant(wallet_id, 2, kind=pb.GRANT_KIND_GRANTED),
        await client.grant(wallet_id, 4, expires_at=late),
        await client.grant(wallet_id, 8, expires_at=soon),
        await client.grant(wallet_id, 16, priority=1),
    ]
    assert figures(grants[-1].balance) == (31, 0, 0, 31)
    listed = await pages(client, pb.ListGrantsRequest(wallet_id=wallet_id, page_size=1), "grants")
    assert [grant.remaining.amount_minor for grant in listed] == [16, 8, 4, 2, 1]
    request = ListEntriesRequest(wallet_id=wallet_id, page_size=2)
    entries = await pages(client, request, "entries")
    assert [entry.amount.amount_minor for entry in entries] == [16, 8, 4, 2, 1]
    assert {(entry.account, entry.reason) for entry in entries} == {("available", "GRANT")}
    assert entries[0].reference == grants[-1].grant.grant_id


async def test_a_grant_counts_from_its_start_to_its_expiry(client: Client, wallet: Wallet) -> None:
    wallet_id = await client.open()
    start, end = wallet.now + timedelta(days=1), wallet.now + timedelta(days=2)
    await client.grant(wallet_id, 10, effective_at=timestamp(start), expires_at=timestamp(end))
    assert await client.balance(wallet_id) == (0, 0, 0, 0)
    await wallet.move(days=1)
    assert await client.balance(wallet_id) == (10, 0, 0, 10)
    assert (await wallet.idle()).next_due_at == timestamp(end)
    await wallet.move(days=1)
    assert await client.balance(wallet_id) == (0, 0, 0, 0)
    entries = (await client.call(ListEntriesRequest(wallet_id=wallet_id))).entries
    assert (entries[0].reason, entries[0].created_at) == ("GRANT_EXPIRY", timestamp(end))


async def test_grants_are_refused_with_their_reasons(client: Client, wallet: Wallet) -> None:
    wallet_id = await client.open()
    past = pb.Grant(
        wallet_id=wallet_id,
        kind=pb.GRANT_KIND_GRANTED,
        amount=usd(1),
        expires_at=timestamp(wallet.now),
    )
    cases = {
        "grant.expires_at": past,
        "grant.kind": pb.Grant(wallet_id=wallet_id, amount=usd(1)),
        "grant.amount.amount_minor": pb.Grant(
            wallet_id=wallet_id, kind=pb.GRANT_KIND_GRANTED, amount=usd(0)
        ),
    }
    for field, grant in cases.items():
        refusal = await client.refused(pb.GrantCreditsRequest(request_id=an_id(), grant=grant))
        assert (refusal.reason, refusal.fields) == ("FIELD_INVALID", [field])
    foreign = pb.Grant(wallet_id=an_id(), kind=pb.GRANT_KIND_GRANTED, amount=usd(1))
    refusal = await client.refused(pb.GrantCreditsRequest(request_id=an_id(), grant=foreign))
    assert (refusal.code, refusal.reason) == ("NOT_FOUND", "WALLET_NOT_FOUND")


async def test_a_page_token_of_another_list_is_refused(client: Client) -> None:
    await client.open()
    await client.open()
    token = (await client.call(pb.ListWalletsRequest(page_size=1))).next_page_token
    wallet_id = await client.filled(1)
    made_up = page_token("b", 10**12, 1)  # Of the right kinds, beyond any priority.
    assert not (await client.call(pb.ListWalletsRequest(page_token=made_up))).wallets
    refusal = await client.refused(ListEntriesRequest(wallet_id=wallet_id, page_token=token))
    assert refusal.reason == "PAGE_TOKEN_INVALID"


async def test_credits_pay_an_invoice_once(client: Client, wallet: Wallet) -> None:
    wallet_id = await client.filled(100)
    request = invoice_request(wallet, 130)
    internal = wallet.service(tenant=wallet.tenant)
    answer = await internal.call(request)
    [credit] = answer.credits
    assert (credit.wallet_id, credit.amount_minor, credit.captured) == (wallet_id, 100, False)
    assert answer.total == usd(100)
    assert await internal.call(request) == answer
    assert await client.balance(wallet_id) == (0, 0, 0, 0)
    request.content_hash = b"2" * 32
    refusal = await internal.refused(request)
    assert (refusal.code, refusal.reason) == ("ALREADY_EXISTS", "INVOICE_CONTENT_CHANGED")


async def test_only_services_of_the_suite_apply_credits_and_they_name_the_tenant(
    client: Client, wallet: Wallet
) -> None:
    assert (await client.refused(invoice_request(wallet, 1))).reason == "SCOPE_MISSING"
    nameless = wallet.service(tenant=None)
    assert (await nameless.refused(invoice_request(wallet, 1))).reason == "TENANT_MISSING"


async def test_an_invoice_that_cannot_be_read_is_refused(wallet: Wallet) -> None:
    internal = wallet.service(tenant=wallet.tenant)
    short = invoice_request(wallet, 1)
    short.content_hash = b"short"
    assert (await internal.refused(short)).fields == ["content_hash"]
    endless = invoice_request(wallet, 1)
    endless.lines[0].period.ClearField("end")
    assert (await internal.refused(endless)).fields == ["lines[0].period.end"]
    twice = invoice_request(wallet, 1)
    twice.lines.append(twice.lines[0])
    assert (await internal.refused(twice)).fields == ["lines"]


async def test_what_happens_is_announced_in_order(client: Client, wallet: Wallet) -> None:
    wallet_id = await client.filled(100)
    hold = await client.hold(wallet_id, 10)
    await wallet.move(minutes=15)
    stub = FactServiceStub(wallet.channel)
    metadata = [("authorization", f"Bearer {wallet.keys.token('internal', tenant=None)}")]

    async def facts() -> list[Any]:
        stream = stub.StreamFacts(StreamFactsRequest(), metadata=metadata, timeout=20)
        found = [fact async for fact in stream if fact.tenant == wallet.tenant]
        return found if len(found) == 4 else []

    found = await until(facts)
    names = ["WalletOpened", "CreditsGranted", "HoldPlaced", "HoldExpired"]
    assert [fact.subject for fact in found] == [f"tally.wallet.v1.{name}" for name in names]
    assert [fact.seq for fact in found] == list(range(found[0].seq, found[0].seq + 4))
    expired = events_pb2.HoldExpired.FromString(found[-1].payload)
    assert expired.hold.hold_id == hold.hold_id

    async def at_rest() -> bool:
        return bool((await wallet.idle()).idle)

    await until(at_rest)


def invoice_request(wallet: Wallet, amount_minor: int) -> wallet_service_pb2.ApplyCreditsRequest:
    request = wallet_service_pb2.ApplyCreditsRequest(
        invoice_id=an_id(),
        content_hash=b"1" * 32,
        customer_id="acme",
        currency_code="USD",
        lines=[
            wallet_service_pb2.CreditLine(
                line_id=an_id(), fee_kind="usage", meter_code="calls", amount_minor=amount_minor
            )
        ],
    )
    request.lines[0].period.start.CopyFrom(timestamp(wallet.now))
    request.lines[0].period.end.CopyFrom(timestamp(wallet.now + timedelta(days=31)))
    return request


async def pages(client: Client, request: Any, name: str) -> list[Any]:
    """Return all things of a list, page by page."""
    found: list[Any] = []
    while True:
        answer = await client.call(request)
        found += getattr(answer, name)
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


async def test_a_balance_is_followed_until_its_wallet_is_ended(client: Client) -> None:
    wallet_id = await client.filled(100)
    metadata = [("authorization", f"Bearer {client.token}")]
    request = pb.WatchBalanceRequest(wallet_id=wallet_id)
    stream = WalletServiceStub(client.channel).WatchBalance(request, metadata=metadata, timeout=30)
    answers = aiter(stream)
    assert figures((await anext(answers)).balance) == (100, 0, 0, 100)
    await client.grant(wallet_id, 20)
    assert figures((await anext(answers)).balance) == (120, 0, 0, 120)
    end = wallet_changes_pb2.TerminateWalletRequest(
        request_id=an_id(), wallet_id=wallet_id, leftover=wallet_changes_pb2.LEFTOVER_VOID
    )
    await client.call(end)
    assert [figures(answer.balance) async for answer in answers] == [(0, 0, 0, 0)]
