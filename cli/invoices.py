"""`tally invoices`: list, show and print invoices."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import click
from google.protobuf import json_format

from cli.client import SuiteClient, open_client, run
from cli.options import json_option, json_text, with_access
from cli.tables import invoice_view, invoices_table, open_console
from tally.invoicing.v1.invoice_service_pb2 import (
    GetInvoiceRequest,
    Invoice,
    ListInvoicesRequest,
    RenderInvoiceRequest,
    RenderInvoiceResponse,
)

PAGE_SIZE = 1_000


@click.group()
def invoices() -> None:
    """List, show and print invoices."""


@invoices.command("list")
@click.option("--customer", default="", help="Only this customer's.")
@json_option
@with_access
def list_command(customer: str, as_json: bool, tenant: int, token: str | None) -> None:
    """List invoices, newest first."""
    found = run(_list(customer, tenant, token))
    if as_json:
        rows = [json_format.MessageToDict(one, preserving_proto_field_name=True) for one in found]
        click.echo(json.dumps(rows, indent=2))
    elif found:
        open_console().print(invoices_table(found))
    else:
        click.echo("There are no invoices.")


@invoices.command("show")
@click.argument("invoice")
@json_option
@with_access
def show_command(invoice: str, as_json: bool, tenant: int, token: str | None) -> None:
    """Show INVOICE, a number or an id, with how each line came about."""
    found = run(_get(invoice, tenant, token))
    if as_json:
        click.echo(json_text(found))
    else:
        open_console().print(invoice_view(found))


@invoices.command("pdf")
@click.argument("invoice")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write; by default named like the invoice, here.",
)
@with_access
def pdf_command(invoice: str, output: Path | None, tenant: int, token: str | None) -> None:
    """Write INVOICE, a number or an id, as a PDF."""
    document = run(_render(invoice, tenant, token))
    file = output or Path(document.file_name)
    file.write_bytes(document.document)
    click.echo(str(file))


def invoice_request(invoice: str) -> GetInvoiceRequest:
    """Return the request for an invoice by its id, if it reads as one, else by its number."""
    try:
        return GetInvoiceRequest(invoice_id=str(UUID(invoice)))
    except ValueError:
        return GetInvoiceRequest(number=invoice)


async def all_invoices(client: SuiteClient, *, customer_id: str = "") -> AsyncIterator[Invoice]:
    """Yield all invoices without their lines, newest first, page by page."""
    token = ""
    while True:
        page = await client.invoices.ListInvoices(
            ListInvoicesRequest(customer_id=customer_id, page_size=PAGE_SIZE, page_token=token)
        )
        for invoice in page.invoices:
            yield invoice
        if not (token := page.next_page_token):
            return


async def _list(customer: str, tenant: int, token: str | None) -> list[Invoice]:
    async with open_client(token=token, tenant=tenant) as client:
        return [invoice async for invoice in all_invoices(client, customer_id=customer)]


async def _get(invoice: str, tenant: int, token: str | None) -> Invoice:
    async with open_client(token=token, tenant=tenant) as client:
        return (await client.invoices.GetInvoice(invoice_request(invoice))).invoice


async def _render(invoice: str, tenant: int, token: str | None) -> RenderInvoiceResponse:
    async with open_client(token=token, tenant=tenant) as client:
        found = (await client.invoices.GetInvoice(invoice_request(invoice))).invoice
        return await client.invoices.RenderInvoice(
            RenderInvoiceRequest(invoice_id=found.invoice_id)
        )
