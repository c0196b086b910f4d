"""Top-ups and their rules over gRPC."""

from __future__ import annotations

from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration

from libs.wire import timestamp
from tally.common.v1.period_pb2 import CivilDate
from tally.invoicing.v1.events_pb2 import InvoicePaid, PaymentFailed
from tally.invoicing.v1.invoice_service_pb2 import INVOICE_KIND_CREDIT_PURCHASE, Invoice
from tally.wallet.v1 import top_up_pb2 as pb
from tally.wallet.v1 import top_up_rule_service_pb2 as rules
from tally.wallet.v1 import wallet_service_pb2 as wallets
from tests.contract.wallet.conftest import Client, Wallet, an_id, usd
from tests.wait import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_top_up_gives_at_once_and_brings_what_is_bought_when_its_invoice_is_paid(
    client: Client, wallet: Wallet
) -> None:
    wallet_id = await client.open()
    asked = pb.TopUp(wallet_id=wallet_id, paid=usd(50), granted=usd(5), requires_payment=True)
    made = (await client.call(pb.TopUpRequest(request_id=an_id(), top_up=asked))).top_up
    assert made == pb.TopUp(
        top_up_id=made.top_up_id,
        wallet_id=wallet_id,
        paid=usd(50),
        granted=usd(5),
        requires_payment=True,
        status=pb.TOP_UP_STATUS_PENDING,
        created_at=timestamp(wallet.now),
    )
    assert await client.balance(wallet_id) == (5, 0, 0, 5)
    invoice = Invoice(invoice_id=made.top_up_id, kind=INVOICE_KIND_CREDIT_PURCHASE)
    another = Invoice(invoice_id=an_id())  # Of usage: none of ours.
    facts = [PaymentFailed(invoice=invoice), InvoicePaid(invoice=another)]
    facts += [InvoicePaid(invoice=invoice)] * 2
    await wallet.invoicing.announce(wallet.tenant, *facts)

    async def idle() -> bool:
        return not (await wallet.idle()).busy

    await until(idle)
    assert await client.balance(wallet_id) == (55, 0, 0, 55)
    listed = await client.call(
        pb.ListTopUpsRequest(wallet_id=wallet_id, status=pb.TOP_UP_STATUS_SETTLED)
    )
    assert [one.top_up_id for one in listed.top_ups] == [made.top_up_id]
    grants = (await client.call(wallets.ListGrantsRequest(wallet_id=wallet_id))).grants
    assert {(one.kind, one.amount.amount_minor, one.reference) for one in grants} == {
        (wallets.GRANT_KIND_GRANTED, 5, made.top_up_id),
        (wallets.GRANT_KIND_PURCHASED, 50, made.top_up_id),
    }


async def test_a_rule_is_kept_as_it_was_asked_for_until_it_is_changed_or_archived(
    client: Client, wallet: Wallet
) -> None:
    wallet_id = await client.open()
    cool_down = Duration(seconds=60)
    asked = rules.TopUpRule(
        wallet_id=wallet_id,
        name="Refill",
        threshold=rules.ThresholdTrigger(threshold_minor=0, cool_down=cool_down),
        fixed=rules.FixedAmount(paid_minor=100, granted_minor=1),
        time_zone="Asia/Tokyo",
        requires_payment=True,
        monthly_cap_minor=500,
        expires_at=timestamp(wallet.now + timedelta(days=9)),
    )
    made = (await client.call(rules.CreateTopUpRuleRequest(request_id=an_id(), rule=asked))).rule
    asked.rule_id, asked.created_at.seconds = made.rule_id, made.created_at.seconds
    assert made == asked
    change = rules.TopUpRule(
        rule_id=made.rule_id,
        interval=rules.IntervalTrigger(interval=rules.TOP_UP_INTERVAL_MONTH),
        target=rules.TargetAmount(target_minor=7, granted=True),
    )
    changed = (
        await client.call(rules.UpdateTopUpRuleRequest(request_id=an_id(), rule=change))
    ).rule
    day = wallet.now
    first_day = CivilDate(year=day.year, month=day.month, day=day.day)
    assert changed.interval.first_day == first_day  # That on which the wallet was opened.
    assert (changed.time_zone, changed.wallet_id) == ("UTC", wallet_id)
    shown = (await client.call(rules.GetTopUpRuleRequest(rule_id=made.rule_id))).rule
    assert shown == changed
    ended = await client.call(
        rules.ArchiveTopUpRuleRequest(request_id=an_id(), rule_id=made.rule_id)
    )
    assert ended.rule.HasField("archived_at")
    refused = await client.refused(rules.UpdateTopUpRuleRequest(request_id=an_id(), rule=change))
    assert refused.reason == "TOP_UP_RULE_NOT_FOUND"
    second = (await client.call(rules.CreateTopUpRuleRequest(request_id=an_id(), rule=asked))).rule
    page = await client.call(rules.ListTopUpRulesRequest(wallet_id=wallet_id, page_size=1))
    request = rules.ListTopUpRulesRequest(wallet_id=wallet_id, page_token=page.next_page_token)
    rest = await client.call(request)
    assert [*page.rules, *rest.rules] == [ended.rule, second]


async def test_time_tops_up_and_the_service_tells_when_it_will(
    client: Client, wallet: Wallet
) -> None:
    wallet_id = await client.open()
    asked = rules.TopUpRule(
        wallet_id=wallet_id,
        interval=rules.IntervalTrigger(interval=rules.TOP_UP_INTERVAL_DAY),
        fixed=rules.FixedAmount(granted_minor=3),
    )
    await client.call(rules.CreateTopUpRuleRequest(request_id=an_id(), rule=asked))

    async def due_next() -> bool:
        idle = await wallet.idle()
        return not idle.busy and idle.HasField("next_due_at")

    await until(due_next)
    midnight = wallet.now.replace(hour=0) + timedelta(days=1)
    assert (await wallet.idle()).next_due_at == timestamp(midnight)
    await wallet.move(days=2)
    await until(due_next)
    assert await client.balance(wallet_id) == (6, 0, 0, 6)
