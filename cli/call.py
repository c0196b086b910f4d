"""`tally call`: any RPC of the suite, from the command line."""

from __future__ import annotations

import sys
from uuid import uuid4

import click
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from cli.client import open_client, run, service_descriptors
from cli.options import with_access


@click.command()
@click.argument("method", metavar="SERVICE/METHOD")
@click.argument("request_json", metavar="JSON", default="{}")
@with_access
def call(method: str, request_json: str, tenant: int, token: str | None) -> None:
    """Call an RPC with a request in JSON, and print the answer in JSON.

    SERVICE/METHOD is as in rating.v1.MeterService/CreateMeter. The JSON "-" reads the request
    from standard input. A request_id that is left out is made here, one for each run.
    """
    descriptor = find_method(method)
    request = parse_request(descriptor, sys.stdin.read() if request_json == "-" else request_json)
    answer = run(_call(descriptor, request, tenant, token))
    click.echo(json_format.MessageToJson(answer, preserving_proto_field_name=True))


def find_method(name: str) -> MethodDescriptor:
    """Return the method that `name` means.

    Raises:
        click.BadParameter: there is none; the message lists what there is.
    """
    service_name, _, method_name = name.removeprefix("/").rpartition("/")
    known = service_descriptors()
    service = known.get(service_name.removeprefix("tally."))
    if service is None:
        raise click.BadParameter(f"no service {service_name!r}; there are: {', '.join(known)}")
    if method_name not in service.methods_by_name:
        methods = ", ".join(service.methods_by_name)
        raise click.BadParameter(f"no method {method_name!r}; {service_name} has: {methods}")
    return service.methods_by_name[method_name]


def parse_request(method: MethodDescriptor, text: str) -> Message:
    """Read the request of `method` from JSON, and give it a request_id if it needs one.

    Raises:
        click.BadParameter: the text does not fit the message.
    """
    request: Message = GetMessageClass(method.input_type)()
    try:
        json_format.Parse(text, request)
    except json_format.ParseError as error:
        raise click.BadParameter(f"the JSON is no {method.input_type.name}: {error}") from None
    if "request_id" in method.input_type.fields_by_name:
        json_format.ParseDict({"request_id": _request_id(request)}, request)
    return request


def _request_id(request: Message) -> str:
    given = dict((field.name, value) for field, value in request.ListFields())
    return str(given.get("request_id") or uuid4())


async def _call(
    method: MethodDescriptor, request: Message, tenant: int, token: str | None
) -> Message:
    async with open_client(token=token, tenant=tenant) as client:
        return await client.call(method, request)
