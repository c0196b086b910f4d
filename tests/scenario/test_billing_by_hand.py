"""Whoever bills looks first, mends a draft, and does not wait for the end of its grace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import grpc
import pytest

from cli.client import SuiteClient, refusal
from libs.wire import timestamp
from tally.invoicing.v1.billing_service_pb2 import (
    AdjustedFee,
    AdjustFeeRequest,
    FinalizeInvoiceRequest,
    PreviewInvoiceRequest,
    RefreshDraftRequest,
    RunBillingRequest,
    RunBillingResponse,
)
from tally.invoicing.v1.invoice_service_pb2 import Invoice, InvoiceStatus, ListInvoicesRequest
from tally.invoicing.v1.tenant_service_pb2 import BillingEntity, UpdateBillingEntityRequest
from tests.scenario.builders import record, sell, subscribe, usage
from tests.scenario.test_voiding import check, shown
from tests.suite import Suite

JAN_1, FEB_1 = datetime(2028, 1, 1, tzinfo=UTC), datetime(2028, 2, 1, tzinfo=UTC)
HOUR, GRACE = timedelta(hours=1), timedelta(days=5)
DRAFT = InvoiceStatus.INVOICE_STATUS_DRAFT


async def listed(client: SuiteClient) -> list[Invoice]:
    return list((await client.invoices.ListInvoices(ListInvoicesRequest())).invoices)


async def bill_run(client: SuiteClient, request: RunBillingRequest) -> list[RunBillingResponse]:
    return [one async for one in client.billing.RunBilling(request)]


async def test_drafts_are_previewed_mended_and_finalized_ahead_of_time(suite: Suite) -> None:
    await suite.advance(JAN_1)
    async with suite.client(suite.new_tenant()) as client:
        entity = BillingEntity(name="Seller", grace_days=GRACE.days)
        await client.tenants.UpdateBillingEntity(
            UpdateBillingEntityRequest(request_id=str(uuid4()), billing_entity=entity)
        )
        await sell(client, base_amount="100")
        for customer in ("acme", "brix"):
            await subscribe(client, customer, JAN_1)
        await suite.advance(JAN_1 + HOUR)
        await record(client, [usage("acme", JAN_1 + timedelta(minutes=1), "2000")])
        await suite.advance(JAN_1 + 2 * HOUR)

        # 100.00 and 20.00 of usage so far. Looking at it changes nothing.
        for asked in (
            PreviewInvoiceRequest(customer_id="acme"),
            PreviewInvoiceRequest(subscription_id="acme-pro"),
        ):
            coming = await client.billing.PreviewInvoice(asked)
            assert (coming.invoice.total_minor, coming.invoice.invoice_id) == (12_000, "")
            assert coming.due_at.ToDatetime(tzinfo=UTC) == FEB_1 + timedelta(minutes=10)
        assert await listed(client) == []

        await suite.advance(FEB_1 + HOUR)
        drafts = {one.customer_id: one for one in await listed(client)}
        acme = await shown(client, drafts["acme"])
        assert (acme.status, acme.total_minor) == (DRAFT, 12_000)
        [line] = [one for one in acme.lines if one.charge_code]
        agreed = AdjustedFee(line_id=line.line_id, units="2000", unit_amount="0.005")
        adjusting = AdjustFeeRequest(
            request_id=str(uuid4()), invoice_id=acme.invoice_id, adjusted_fee=agreed
        )
        assert (await client.billing.AdjustFee(adjusting)).invoice.total_minor == 11_000
        refreshing = RefreshDraftRequest(request_id=str(uuid4()), invoice_id=acme.invoice_id)
        assert (await client.billing.RefreshDraft(refreshing)).invoice.total_minor == 11_000

        finalizing = FinalizeInvoiceRequest(request_id=str(uuid4()), invoice_id=acme.invoice_id)
        done = (await client.billing.FinalizeInvoice(finalizing)).invoice
        assert (done.number, done.total_minor) == ("INV-202802-001", 11_000)
        assert (await client.billing.FinalizeInvoice(finalizing)).invoice == done
        finalizing.request_id = str(uuid4())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.billing.FinalizeInvoice(finalizing)
        assert refusal(caught.value).reason == "INVOICE_NOT_DRAFT"

        # The other one is not due yet; a run as of the end of its grace bills it.
        assert [one.WhichOneof("step") for one in await bill_run(client, RunBillingRequest())] == [
            "found",
            "done",
        ]
        ahead = RunBillingRequest(as_of=timestamp(FEB_1 + GRACE + HOUR), dry_run=True)
        found, billed, last = await bill_run(client, ahead)
        assert (found.found.invoice_count, last.done.waiting_count) == (1, 1)
        assert (billed.billed.invoice.customer_id, billed.billed.invoice.status) == ("brix", DRAFT)
        ahead.dry_run = False
        _, billed, last = await bill_run(client, ahead)
        assert (billed.billed.invoice.number, billed.billed.problem) == ("INV-202802-002", "")
        assert (last.done.finalized_count, last.done.waiting_count) == (1, 0)
        assert len(await bill_run(client, ahead)) == 2
        await check(client)
