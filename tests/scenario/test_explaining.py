"""Whoever is asked why a line costs what it does sees the events that it was priced from."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import grpc
import pytest
from click.testing import CliRunner

from cli.__main__ import main
from cli.client import SuiteClient, refusal
from tally.invoicing.v1.billing_service_pb2 import ExplainedLine, ExplainLineRequest
from tally.invoicing.v1.invoice_service_pb2 import Invoice, InvoiceLine
from tally.rating.v1.fee_explanation_pb2 import FeeEvent
from tests.scenario.builders import amend, invoices, record, sell, subscribe, usage
from tests.suite import Suite

JAN_1, FEB_1, MAR_1 = (datetime(2029, month, 1, tzinfo=UTC) for month in (1, 2, 3))
BILLED = timedelta(minutes=11)  # After the collection delay.
EVENTS = 1_100  # More than a page of the log.


async def test_a_line_is_explained_by_the_events_that_it_was_priced_from(suite: Suite) -> None:
    await suite.advance(JAN_1)
    tenant = suite.new_tenant()
    async with suite.client(tenant) as client:
        await sell(client, group_by="region", base_amount="5")
        await subscribe(client, "acme", JAN_1)
        await suite.advance(FEB_1 - timedelta(hours=1))
        eu = [usage("acme", JAN_1 + timedelta(minutes=n), "2", region="eu") for n in range(EVENTS)]
        us = [usage("acme", JAN_1, value, region="us") for value in ("30", "0.5")]
        await record(client, [*eu, *us])
        await suite.advance(FEB_1 + BILLED)
        [january] = await invoices(client)
        base, of_eu, of_us = january.lines

        told, events = await explain(client, january, of_eu)
        assert (told.line, told.currency_code, told.note) == (of_eu, "USD", "")
        assert (told.line.units, told.line.event_count) == ("2200", EVENTS)
        assert told.basis.frozen and told.basis.counted_slices
        assert total(events) == Decimal(of_eu.units)
        assert [one.id for one in events] == [one.id for one in eu]
        told, events = await explain(client, january, of_us)
        assert [(one.id, one.value, dict(one.dimensions)) for one in events] == [
            (us[0].id, "30", {"region": "us"}),
            (us[1].id, "0.5", {"region": "us"}),
        ]
        told, events = await explain(client, january, base)
        assert (told.line, events) == (base, [])
        assert "whatever the usage" in told.note

        # A correction and late usage are no part of January's line, but of its adjustment.
        right = usage("acme", JAN_1, "40", region="us")
        right.id = us[0].id
        await amend(client, right)
        late = usage("acme", JAN_1 + timedelta(days=2), "4", region="us")
        await record(client, [late])
        await suite.advance(MAR_1 + BILLED)
        assert total((await explain(client, january, of_us))[1]) == Decimal("30.5")
        [_, february] = await invoices(client)
        [adjusted] = [one for one in february.lines if one.adjustment_sequence]
        told, events = await explain(client, february, adjusted)
        assert adjusted.units == "14"
        assert [one.value for one in events] == ["40", "0.5", "4"]
        assert told.note

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await explain(client, january, adjusted)
        assert refusal(caught.value).reason == "LINE_NOT_FOUND"

    said = await tally(suite, tenant, january.number, "3")
    assert f"{us[0].id}" in said and "2 events; their values add up to 30.5" in said
    said = await tally(suite, tenant, january.invoice_id, of_eu.line_id, "--limit", "1")
    assert "1,100 events, 1,099 of them not listed; their values add up to 2,200" in said
    async with suite.client(suite.new_tenant()) as other:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await explain(other, january, of_us)
    assert refusal(caught.value).reason == "INVOICE_NOT_FOUND"
    async with suite.client(tenant) as client:
        asked = ExplainLineRequest(invoice_id="one", line_id=str(uuid4()))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            [_ async for _ in client.billing.ExplainLine(asked)]
    assert list(refusal(caught.value).fields) == ["invoice_id"]


async def explain(
    client: SuiteClient, invoice: Invoice, line: InvoiceLine
) -> tuple[ExplainedLine, list[FeeEvent]]:
    """Return the first message, and the events of all others."""
    asked = ExplainLineRequest(invoice_id=invoice.invoice_id, line_id=line.line_id)
    first, *others = [part async for part in client.billing.ExplainLine(asked)]
    assert first.HasField("line")
    return first.line, [event for part in others for event in part.events.events]


def total(events: list[FeeEvent]) -> Decimal:
    return sum((Decimal(one.value) for one in events), Decimal(0))


async def tally(suite: Suite, tenant: int, *words: str) -> str:
    """Run `tally invoices explain`, in a thread: a command runs an event loop of its own."""
    env = {"TALLY_HOME": str(suite.stack.folder), "TALLY_TOKEN": ""}
    command = ["invoices", "explain", *words, "--tenant", str(tenant)]
    ran = await asyncio.to_thread(CliRunner(env=env).invoke, main, command)
    assert ran.exit_code == 0, ran.output
    return str(ran.stdout)
