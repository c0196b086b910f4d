"""A client of the whole suite: for the command, the demo and the tests."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import click
import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status

from cli.running import find_addresses, issue, public_scopes
from libs.auth import INTERNAL_SCOPE, TENANT_KEY
from libs.errors import TallyError
from libs.peer import OPTIONS
from tally.ingest.v1 import ingest_service_pb2
from tally.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from tally.internal.v1.fact_service_pb2_grpc import FactServiceStub
from tally.internal.v1.test_clock_service_pb2_grpc import TestClockServiceStub
from tally.invoicing.v1 import (
    billing_service_pb2,
    coupon_service_pb2,
    credit_note_service_pb2,
    customer_service_pb2,
    dunning_service_pb2,
    invoice_service_pb2,
    payment_service_pb2,
    tax_service_pb2,
    tenant_service_pb2,
    webhook_service_pb2,
)
from tally.invoicing.v1.billing_service_pb2_grpc import BillingServiceStub
from tally.invoicing.v1.coupon_service_pb2_grpc import CouponServiceStub
from tally.invoicing.v1.credit_note_service_pb2_grpc import CreditNoteServiceStub
from tally.invoicing.v1.customer_service_pb2_grpc import CustomerServiceStub
from tally.invoicing.v1.dunning_service_pb2_grpc import DunningServiceStub
from tally.invoicing.v1.invoice_service_pb2_grpc import InvoiceServiceStub
from tally.invoicing.v1.payment_service_pb2_grpc import PaymentServiceStub
from tally.invoicing.v1.tax_service_pb2_grpc import TaxServiceStub
from tally.invoicing.v1.tenant_service_pb2_grpc import TenantServiceStub
from tally.invoicing.v1.webhook_service_pb2_grpc import WebhookServiceStub
from tally.rating.v1 import (
    alert_service_pb2,
    entitlement_service_pb2,
    meter_service_pb2,
    plan_service_pb2,
    rating_service_pb2,
    subscription_service_pb2,
    usage_service_pb2,
)
from tally.rating.v1.alert_service_pb2_grpc import AlertServiceStub
from tally.rating.v1.entitlement_service_pb2_grpc import EntitlementServiceStub
from tally.rating.v1.meter_service_pb2_grpc import MeterServiceStub
from tally.rating.v1.plan_service_pb2_grpc import PlanServiceStub
from tally.rating.v1.rating_service_pb2_grpc import RatingServiceStub
from tally.rating.v1.subscription_service_pb2_grpc import SubscriptionServiceStub
from tally.rating.v1.usage_service_pb2_grpc import UsageServiceStub
from tally.wallet.v1 import (
    hold_service_pb2,
    ledger_service_pb2,
    top_up_rule_service_pb2,
    wallet_service_pb2,
)
from tally.wallet.v1.hold_service_pb2_grpc import HoldServiceStub
from tally.wallet.v1.ledger_service_pb2_grpc import LedgerServiceStub
from tally.wallet.v1.top_up_rule_service_pb2_grpc import TopUpRuleServiceStub
from tally.wallet.v1.wallet_service_pb2_grpc import WalletServiceStub

DEADLINE_SECONDS = 30.0
FILES = (
    ingest_service_pb2,
    alert_service_pb2,
    entitlement_service_pb2,
    meter_service_pb2,
    plan_service_pb2,
    rating_service_pb2,
    subscription_service_pb2,
    usage_service_pb2,
    billing_service_pb2,
    coupon_service_pb2,
    credit_note_service_pb2,
    customer_service_pb2,
    dunning_service_pb2,
    invoice_service_pb2,
    payment_service_pb2,
    tax_service_pb2,
    tenant_service_pb2,
    webhook_service_pb2,
    hold_service_pb2,
    ledger_service_pb2,
    top_up_rule_service_pb2,
    wallet_service_pb2,
)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a service said when it refused a call."""

    code: str  # "NOT_FOUND"
    reason: str  # "INVOICE_NOT_FOUND"; empty if it was not the service that answered.
    message: str
    fields: Mapping[str, str]  # What is wrong with each field at fault.
    metadata: Mapping[str, str]


class SuiteClient:
    """The stubs of all gRPC services, each call with one token and a default deadline.

    `addresses` holds host:port by service. Channels connect at first use. With an internal token,
    `tenant` names for whom the calls are.
    """

    def __init__(
        self,
        addresses: Mapping[str, str],
        *,
        token: str,
        tenant: int | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        metadata = [("authorization", f"Bearer {token}")] if token else []
        metadata += [] if tenant is None else [(TENANT_KEY, str(tenant))]
        adds: list[grpc.aio.ClientInterceptor] = [
            _AddToUnary(metadata, deadline_seconds),
            _AddToStream(metadata, deadline_seconds),
            _AddToBothStreams(metadata, deadline_seconds),
        ]
        self.channels = {
            service: grpc.aio.insecure_channel(address, options=OPTIONS, interceptors=adds)
            for service, address in addresses.items()
        }
        ingest, rating, invoicing, wallet = (
            self.channels[service] for service in ("ingest", "rating", "invoicing", "wallet")
        )
        self.ingest = IngestServiceStub(ingest)
        self.meters = MeterServiceStub(rating)
        self.plans = PlanServiceStub(rating)
        self.subscriptions = SubscriptionServiceStub(rating)
        self.usage = UsageServiceStub(rating)
        self.entitlements = EntitlementServiceStub(rating)
        self.alerts = AlertServiceStub(rating)
        self.rating = RatingServiceStub(rating)
        self.tenants = TenantServiceStub(invoicing)
        self.customers = CustomerServiceStub(invoicing)
        self.taxes = TaxServiceStub(invoicing)
        self.invoices = InvoiceServiceStub(invoicing)
        self.billing = BillingServiceStub(invoicing)
        self.coupons = CouponServiceStub(invoicing)
        self.credit_notes = CreditNoteServiceStub(invoicing)
        self.payments = PaymentServiceStub(invoicing)
        self.dunning = DunningServiceStub(invoicing)
        self.webhooks = WebhookServiceStub(invoicing)
        self.wallets = WalletServiceStub(wallet)
        self.holds = HoldServiceStub(wallet)
        self.top_up_rules = TopUpRuleServiceStub(wallet)
        self.ledger = LedgerServiceStub(wallet)
        self.clocks = {name: TestClockServiceStub(channel) for name, channel in self._each()}
        self.facts = {name: FactServiceStub(channel) for name, channel in self._each()}

    async def __aenter__(self) -> SuiteClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channels; calls in flight are cancelled."""
        for _, channel in self._each():
            await channel.close()

    async def call(self, method: MethodDescriptor, request: Message) -> Message:
        """Call any RPC that takes one request and gives one answer.

        Raises:
            click.UsageError: it streams.
        """
        if method.client_streaming or method.server_streaming:
            raise click.UsageError(f"{method.full_name} streams: call it with a gRPC client")
        service = method.containing_service.full_name
        callable_ = self.channels[service.split(".")[1]].unary_unary(
            f"/{service}/{method.name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        answer: Message = await callable_(request)
        return answer

    def _each(self) -> list[tuple[str, grpc.aio.Channel]]:
        return list(self.channels.items())


def open_client(
    *, token: str | None = None, tenant: int | None = None, folder: Path | None = None
) -> SuiteClient:
    """Return a client of the suite that runs here; without a token it makes one for `tenant`.

    Raises:
        click.ClickException: no suite runs here.
    """
    addresses = find_addresses(folder)
    if not token:
        named = tenant or int(os.environ.get("TALLY_TENANT") or 1)
        token = issue(folder, tenant=named, scopes=public_scopes())
    return SuiteClient(addresses, token=token)


def open_internal_client(folder: Path | None = None, *, tenant: int | None = None) -> SuiteClient:
    """Return a client that speaks as the suite itself, for `tenant` if one is given.

    Raises:
        click.ClickException: no suite runs here, or its key is elsewhere.
    """
    addresses = find_addresses(folder)
    token = issue(folder, tenant=None, scopes=[INTERNAL_SCOPE])
    return SuiteClient(addresses, token=token, tenant=tenant)


def service_descriptors() -> dict[str, ServiceDescriptor]:
    """Return the public gRPC services by name without `tally.`: "rating.v1.MeterService"."""
    found = [one for file in FILES for one in file.DESCRIPTOR.services_by_name.values()]
    return {one.full_name.removeprefix("tally."): one for one in found}


def refusal(error: grpc.aio.AioRpcError) -> Refusal:
    """Return what a failed call says, with its ErrorInfo and BadRequest if it has them."""
    info, bad = ErrorInfo(), BadRequest()
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]
    except (ValueError, DecodeError):
        status = None
    for detail in status.details if status else ():
        for known in (info, bad):
            detail.Unpack(known)
    return Refusal(
        code=error.code().name,
        reason=info.reason,
        message=error.details() or "",
        fields={one.field: one.description for one in bad.field_violations},
        metadata=dict(info.metadata),
    )


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a command's work; a refusal becomes a sentence for the one who typed it.

    Raises:
        click.ClickException: what a service refused.
    """
    try:
        return asyncio.run(work)
    except grpc.aio.AioRpcError as error:
        raise click.ClickException(readable(refusal(error))) from None
    except TallyError as error:
        raise click.ClickException(f"{error} ({error.reason})") from None


def readable(refused: Refusal) -> str:
    """Return a refusal for people: the message, then its reason and each field at fault.

    "no invoice INV-7 (NOT_FOUND, INVOICE_NOT_FOUND)"
    """
    if refused.code == "UNAVAILABLE" and not refused.reason:
        return f"the suite does not answer ({refused.message}); is it running? See `tally status`"
    names = ", ".join(part for part in (refused.code, refused.reason) if part)
    lines = [f"{refused.message} ({names})"]
    if len(refused.fields) > 1:
        lines += [f"  {field}: {problem}" for field, problem in refused.fields.items()]
    return "\n".join(lines)


class _Adds:
    def __init__(self, metadata: list[tuple[str, str]], seconds: float) -> None:
        self._metadata = metadata
        self._seconds = seconds

    def added(self, details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        """Return the call's details with the token; what the caller gave comes first."""
        timeout = self._seconds if details.timeout is None else details.timeout
        given = list(details.metadata or ())
        names = {name for name, _ in given}
        metadata = grpc.aio.Metadata(
            *given, *(pair for pair in self._metadata if pair[0] not in names)
        )
        return grpc.aio.ClientCallDetails(
            details.method, timeout, metadata, details.credentials, details.wait_for_ready
        )


class _AddToUnary(_Adds, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(self.added(client_call_details), request)


class _AddToStream(_Adds, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(self.added(client_call_details), request)


class _AddToBothStreams(_Adds, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(
        self,
        continuation: Any,
        client_call_details: grpc.aio.ClientCallDetails,
        request_iterator: Any,
    ) -> Any:
        return await continuation(self.added(client_call_details), request_iterator)
