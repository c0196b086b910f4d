"""The lines behind a line of many groups are listed page by page, all of them and once."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.tenant import Tenant
from libs.wire import Page
from services.invoicing.domain.folded_lines import LineNotFound, by_size, shown_lines
from services.invoicing.domain.invoice import Invoice, InvoiceNotFound
from services.invoicing.operations.reading import get_invoice, list_folded_lines
from tally.invoicing.v1.invoice_service_pb2 import InvoiceLine
from tests.store.invoicing.steps import complete_one, frozen
from tests.unit.invoicing.samples import base_fee, rated
from tests.unit.invoicing.test_folded_lines import group_fees

CENTS = [place // 10 + 1 for place in range(230)]


async def billed(engine: AsyncEngine, tenant: Tenant) -> Invoice:
    """Return a numbered invoice of 230 groups of a charge, and 201 of another that cost nothing."""
    fees = [*group_fees(CENTS), *group_fees([0] * 201, code="free")]
    period = rated([base_fee("9"), *fees], period=uuid4().int)
    invoice_id = await frozen(engine, tenant, [period])
    await complete_one(engine, tenant, invoice_id)
    return await get_invoice(engine, tenant, invoice_id=invoice_id)


async def listed(
    engine: AsyncEngine, tenant: Tenant, key: tuple[UUID, UUID], *, size: int
) -> Sequence[Sequence[InvoiceLine]]:
    pages, token = [], ""
    while True:
        answer = await list_folded_lines(engine, tenant, *key, Page(size, token))
        pages.append(answer.lines)
        token = answer.next_page_token
        if not token:
            return pages


@pytest.mark.parametrize("size", [7, 30, 100])
async def test_each_line_that_is_not_shown_is_listed_once(
    size: int, engine: AsyncEngine, tenant: Tenant
) -> None:
    invoice = await billed(engine, tenant)
    shown = shown_lines(invoice.invoice_id, invoice.lines)
    [folded, free] = [line for line in shown if line.folded_lines]
    pages = await listed(engine, tenant, (invoice.invoice_id, folded.line_id), size=size)
    assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1)
    found = [line for page in pages for line in page]
    expected = by_size(line for line in invoice.lines if line.fee.charge_code == "calls")[200:]
    assert [line.line_id for line in found] == [str(line.line_id) for line in expected]
    assert sum(line.amount_minor for line in found) == folded.fee.amount_minor
    [[last]] = await listed(engine, tenant, (invoice.invoice_id, free.line_id), size=size)
    assert [one.value for one in last.group_values] == ["g0200"]


async def test_behind_a_line_that_stands_for_itself_is_nothing(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    invoice = await billed(engine, tenant)
    for line in invoice.lines[:2]:
        key = (invoice.invoice_id, line.line_id)
        assert list(await listed(engine, tenant, key, size=5)) == [[]]
    with pytest.raises(LineNotFound):
        await listed(engine, tenant, (invoice.invoice_id, uuid4()), size=5)
    with pytest.raises(InvoiceNotFound):
        await listed(engine, tenant, (uuid4(), invoice.lines[0].line_id), size=5)
