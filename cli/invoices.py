"""`tally invoices`: list, show, explain, print, preview and void invoices."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import click
from google.protobuf import json_format

from cli.client import SuiteClient, open_client, run
from cli.explaining import explain_command
from cli.options import invoice_request, json_option, json_text, with_access
from cli.tables import invoice_view, invoices_table, open_console
from tally.invoicing.v1.billing_service_pb2 import (
    PreviewInvoiceRequest,
    PreviewInvoiceResponse,
    ReissueInvoiceRequest,
    VoidInvoiceRequest,
)
from tally.invoicing.v1.invoice_service_pb2 import (
    Invoice,
    ListInvoicesRequest,
    RenderInvoiceRequest,
    RenderInvoiceResponse,
)

PAGE_SIZE = 1_000


@click.group()
def invoices() -> None:
    """List, show, explain, print, preview and void invoices."""


invoices.add_command(explain_command)


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


@invoices.command("preview")
@click.option("--customer", default="", help="Whose.")
@click.option("--subscription", default="", help="Only this subscription.")
@json_option
@with_access
def preview_command(
    customer: str, subscription: str, *, as_json: bool, tenant: int, token: str | None
) -> None:
    """Show what the next invoice would be, before prepaid credits. Nothing is stored."""
    if not (customer or subscription):
        raise click.UsageError("Give --customer or --subscription.")
    request = PreviewInvoiceRequest(customer_id=customer, subscription_id=subscription)
    coming = run(_preview(request, tenant, token))
    if as_json:
        click.echo(json_text(coming))
    elif coming.HasField("invoice"):
        open_console().print(invoice_view(coming.invoice))
        click.echo(f"Due {coming.due_at.ToJsonString()}")
    else:
        click.echo("Nothing becomes due any more.")


@invoices.command("void")
@click.argument("invoice")
@click.option("--reason", required=True, help="Why, for whoever looks at it later.")
@click.option("--reissue", is_flag=True, help="Bill the same again.")
@with_access
def void_command(
    invoice: str, reason: str, *, reissue: bool, tenant: int, token: str | None
) -> None:
    """Void INVOICE, a number or an id: it does not count any more, and gives back what was paid.

    A token needs the scope invoices:write.
    """
    voided, draft = run(_void(invoice, reason, reissue=reissue, tenant=tenant, token=token))
    click.echo(f"{voided.number} is voided.")
    if draft is not None:
        click.echo(f"{draft.invoice_id} bills the same again.")


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


async def _preview(
    request: PreviewInvoiceRequest, tenant: int, token: str | None
) -> PreviewInvoiceResponse:
    async with open_client(token=token, tenant=tenant) as client:
        return await client.billing.PreviewInvoice(request)


async def _void(
    invoice: str, reason: str, *, reissue: bool, tenant: int, token: str | None
) -> tuple[Invoice, Invoice | None]:
    async with open_client(token=token, tenant=tenant) as client:
        found = (await client.invoices.GetInvoice(invoice_request(invoice))).invoice
        voiding = VoidInvoiceRequest(
            request_id=str(uuid4()), invoice_id=found.invoice_id, reason=reason
        )
        voided = (await client.billing.VoidInvoice(voiding)).invoice
        if not reissue:
            return voided, None
        again = ReissueInvoiceRequest(request_id=str(uuid4()), invoice_id=found.invoice_id)
        return voided, (await client.billing.ReissueInvoice(again)).invoice
