"""Options and arguments that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import click
from google.protobuf import json_format
from google.protobuf.message import Message

from tally.invoicing.v1.invoice_service_pb2 import GetInvoiceRequest

Command = Callable[..., Any]

tenant_option = click.option(
    "--tenant",
    type=click.IntRange(min=1),
    envvar="TALLY_TENANT",
    default=1,
    show_default=True,
    help="Whose; the default is TALLY_TENANT. Not used when a token is given.",
)
token_option = click.option(
    "--token",
    envvar="TALLY_TOKEN",
    help="A token; TALLY_TOKEN if not given, else one signed with the running suite's key.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def invoice_request(invoice: str) -> GetInvoiceRequest:
    """Return the request for an invoice by its id, if it reads as one, else by its number."""
    try:
        return GetInvoiceRequest(invoice_id=str(UUID(invoice)))
    except ValueError:
        return GetInvoiceRequest(number=invoice)


def with_access(command: Command) -> Command:
    """Give a command the options --tenant and --token."""
    return tenant_option(token_option(command))


def json_text(message: Message) -> str:
    """Return a message as JSON with the contract's names, defaults included."""
    return json_format.MessageToJson(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
