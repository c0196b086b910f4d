"""Asks the suite for all it knows of a world, through its public RPCs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from cli.client import SuiteClient
from libs.wire import parse_timestamp, timestamp
from tally.ingest.v1.event_pb2 import LogPosition, StoredEvent
from tally.ingest.v1.ingest_service_pb2 import ListEventsRequest, ListRejectedEventsRequest
from tally.invoicing.v1.credit_note_service_pb2 import CreditNote, ListCreditNotesRequest
from tally.invoicing.v1.invoice_service_pb2 import (
    GetInvoiceRequest,
    Invoice,
    InvoiceLine,
    InvoiceStatus,
    ListInvoicesRequest,
)
from tally.rating.v1.billing_period_pb2 import BillingPeriod, Fee, PeriodKind, PeriodStatus
from tally.rating.v1.instant_fee_pb2 import InstantFee
from tally.rating.v1.rating_service_pb2 import ListInstantFeesRequest
from tally.rating.v1.subscription_service_pb2 import (
    GetSubscriptionRequest,
    ListBillingPeriodsRequest,
)
from tally.rating.v1.usage_service_pb2 import GetUsageRequest
from tally.wallet.v1.wallet_service_pb2 import (
    GetBalanceRequest,
    ListEntriesRequest,
    ListGrantsRequest,
    ListWalletsRequest,
    Wallet,
)
from tests.chaos.paying import payment_name
from tests.chaos.reporting import read
from tests.chaos.seen import (
    Books,
    Charged,
    EntrySeen,
    Fees,
    FeeSeen,
    GrantSeen,
    InvoiceSeen,
    LineSeen,
    Log,
    NoteSeen,
    PeriodSeen,
    Place,
    Stored,
    UnitsSeen,
    WalletSeen,
)
from tests.chaos.world import World

PAGE = 1000

List = Callable[[Any], Awaitable[Any]]


async def read_log(world: World) -> Log:
    """Return the log, and each subscription's usage in each week."""
    client = world.client
    stored = await _all(client.ingest.ListEvents, ListEventsRequest(page_size=PAGE), "events")
    rejected = await _all(
        client.ingest.ListRejectedEvents, ListRejectedEventsRequest(page_size=PAGE), "events"
    )
    keys = [(seat.subscription_id, start) for seat in world.seats for start in world.starts]
    usage = await asyncio.gather(*(_usage(client, *key) for key in keys))
    return Log(
        stored=[_stored(one) for one in stored],
        events=[read(one.event) for one in stored],
        rejected=[read(one.event)[0] for one in rejected],
        usage=dict(zip(keys, usage, strict=True)),
    )


async def read_books(world: World, unbalanced: Sequence[str]) -> Books:
    """Return all that was billed and paid; `unbalanced` is what only SQL can tell."""
    client = world.client
    names = [seat.subscription_id for seat in world.seats]
    periods = await asyncio.gather(*(_periods(client, name) for name in names))
    listed = await _all(
        client.invoices.ListInvoices, ListInvoicesRequest(page_size=PAGE), "invoices"
    )
    fees = await _all(client.rating.ListInstantFees, ListInstantFeesRequest(page_size=PAGE), "fees")
    wallets = await _all(client.wallets.ListWallets, ListWalletsRequest(page_size=PAGE), "wallets")
    asked = ListCreditNotesRequest(page_size=PAGE)
    notes = await _all(client.credit_notes.ListCreditNotes, asked, "credit_notes")
    return Books(
        periods=dict(zip(names, periods, strict=True)),
        invoices=await asyncio.gather(*(_invoice(client, one.invoice_id) for one in listed)),
        wallets=await asyncio.gather(*(_wallet(client, one) for one in wallets)),
        unbalanced=unbalanced,
        fees=[_fee(one) for one in fees],
        units={name: await _units(client, name) for name in names},
        notes=[_note(one) for one in notes],
    )


def _stored(one: StoredEvent) -> Stored:
    return Stored(read(one.event)[0], _place(one.position))


def _place(position: LogPosition) -> Place:
    return position.shard, position.number, position.index


async def _all(method: List, request: Any, field: str) -> list[Any]:
    """Return what all pages of a list hold."""
    found: list[Any] = []
    while True:
        answer = await method(request)
        found += getattr(answer, field)
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


async def _usage(client: SuiteClient, subscription_id: str, start: datetime) -> Fees:
    answer = await client.usage.GetUsage(
        GetUsageRequest(subscription_id=subscription_id, at=timestamp(start))
    )
    return {fee.charge_code: _charged(fee) for fee in answer.fees}


def _charged(fee: Fee) -> Charged:
    return Charged(Decimal(fee.units), fee.event_count, fee.amount.amount_minor)


async def _periods(client: SuiteClient, subscription_id: str) -> list[PeriodSeen]:
    request = ListBillingPeriodsRequest(subscription_id=subscription_id, page_size=PAGE)
    found = await _all(client.subscriptions.ListBillingPeriods, request, "periods")
    return [_period(one) for one in found]


def _period(one: BillingPeriod) -> PeriodSeen:
    return PeriodSeen(
        kind=PeriodKind.Name(one.kind).removeprefix("PERIOD_KIND_").lower(),
        start=parse_timestamp(one.usage_period.start, "start"),
        status=PeriodStatus.Name(one.status).removeprefix("PERIOD_STATUS_").lower(),
        period_id=one.period_id,
    )


def _fee(one: InstantFee) -> FeeSeen:
    return FeeSeen(
        fee_id=one.fee_id,
        subscription_id=one.subscription_id,
        charge_code=one.charge_code,
        place=_place(one.position),
        time=parse_timestamp(one.time, "time"),
        units=Decimal(one.units),
        amount=Fraction(one.exact_amount) * 100,
        payment=payment_name(one.payment_status),
    )


async def _units(client: SuiteClient, subscription_id: str) -> list[UnitsSeen]:
    asked = GetSubscriptionRequest(subscription_id=subscription_id)
    found = (await client.subscriptions.GetSubscription(asked)).fixed_units
    return [
        UnitsSeen(
            code=one.fixed_charge_code,
            units=Decimal(one.units),
            from_day=date(one.from_day.year, one.from_day.month, one.from_day.day),
            changed_at=parse_timestamp(one.changed_at, "changed_at"),
        )
        for one in found
        if one.HasField("changed_at")
    ]


async def _invoice(client: SuiteClient, invoice_id: str) -> InvoiceSeen:
    request = GetInvoiceRequest(invoice_id=invoice_id)
    found: Invoice = (await client.invoices.GetInvoice(request)).invoice
    return InvoiceSeen(
        invoice_id=found.invoice_id,
        number=found.number,
        status=InvoiceStatus.Name(found.status).removeprefix("INVOICE_STATUS_").lower(),
        customer_id=found.customer_id,
        lines=[_line(one) for one in found.lines],
        subtotal_minor=found.subtotal_minor,
        tax_minor=found.tax_minor,
        credits_minor=found.credits_minor,
        total_minor=found.total_minor,
        notes_minor=found.credit_notes_minor,
    )


def _note(one: CreditNote) -> NoteSeen:
    return NoteSeen(
        number=one.number,
        period_id=one.period_id,
        subtotal_minor=one.subtotal_minor,
        total_minor=one.total_minor,
        balance_minor=one.balance_minor,
    )


def _line(one: InvoiceLine) -> LineSeen:
    return LineSeen(
        subscription_id=one.subscription_id,
        start=parse_timestamp(one.period.start, "start"),
        charge_code=one.charge_code,
        adjustment=one.adjustment_sequence,
        charged=Charged(Decimal(one.units or 0), one.event_count, one.amount_minor),
        credits_minor=one.credits_minor,
        period_id=one.period_id,
    )


async def _wallet(client: SuiteClient, wallet: Wallet) -> WalletSeen:
    wallet_id = wallet.wallet_id
    balance = (await client.wallets.GetBalance(GetBalanceRequest(wallet_id=wallet_id))).balance
    grants = await _all(
        client.wallets.ListGrants,
        ListGrantsRequest(wallet_id=wallet_id, page_size=PAGE),
        "grants",
    )
    entries = await _all(
        client.wallets.ListEntries,
        ListEntriesRequest(wallet_id=wallet_id, page_size=PAGE),
        "entries",
    )
    return WalletSeen(
        wallet_id=wallet_id,
        customer_id=wallet.customer_id,
        balance={
            "available": balance.available.amount_minor,
            "held": balance.held.amount_minor,
            "captured": balance.captured.amount_minor,
        },
        grants=[
            GrantSeen(
                one.grant_id, one.reference, one.amount.amount_minor, one.remaining.amount_minor
            )
            for one in grants
        ],
        entries=[
            EntrySeen(
                one.transaction_id,
                one.account,
                one.amount.amount_minor,
                one.reason,
                one.reference,
            )
            for one in entries
        ],
    )
