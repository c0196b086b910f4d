"""The gRPC faces of who sells, who buys, and the taxes between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.auth import tenant
from libs.clock import Clock
from libs.wire import (
    fitting,
    page_token,
    parse_code,
    parse_page,
    parse_request,
    parse_text,
)
from services.invoicing.api.parsing import (
    parse_after,
    parse_customer,
    parse_entity,
    parse_tax,
    present,
)
from services.invoicing.operations import entities, parties
from services.invoicing.operations.messages import customer_message, entity_message, tax_message
from tally.invoicing.v1 import customer_service_pb2 as customer_pb
from tally.invoicing.v1 import tax_service_pb2 as tax_pb
from tally.invoicing.v1 import tenant_service_pb2 as tenant_pb
from tally.invoicing.v1.customer_service_pb2_grpc import CustomerServiceServicer
from tally.invoicing.v1.tax_service_pb2_grpc import TaxServiceServicer
from tally.invoicing.v1.tenant_service_pb2_grpc import TenantServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]


class TenantServicer(TenantServiceServicer):
    """Serves billing entities."""

    def __init__(self, engine: AsyncEngine, committed: Callable[[], None]) -> None:
        self._engine = engine
        self._committed = committed  # Called after each commit that may have left work.

    async def CreateBillingEntity(
        self, request: tenant_pb.CreateBillingEntityRequest, context: Context
    ) -> tenant_pb.CreateBillingEntityResponse:
        message = present(request, "billing_entity").billing_entity
        parse_code(message.code, "billing_entity.code")
        return await entities.create_billing_entity(
            self._engine,
            tenant(),
            parse_request(request, request.request_id),
            parse_entity(message),
            as_default=message.is_default,
        )

    async def ListBillingEntities(
        self, request: tenant_pb.ListBillingEntitiesRequest, context: Context
    ) -> tenant_pb.ListBillingEntitiesResponse:
        page = parse_page(request.page_size, request.page_token)
        after = parse_after(page.token)
        known = await entities.load_entities(self._engine, tenant())
        codes = sorted(code for code in known.by_code if code > after)
        messages = [
            entity_message(known.by_code[code], is_default=code == known.default.code)
            for code in codes[: page.size]
        ]
        shown = fitting(messages)
        more = len(codes) > len(shown)
        return tenant_pb.ListBillingEntitiesResponse(
            billing_entities=shown, next_page_token=page_token(shown[-1].code) if more else ""
        )

    async def GetBillingEntity(
        self, request: tenant_pb.GetBillingEntityRequest, context: Context
    ) -> tenant_pb.GetBillingEntityResponse:
        if request.code:
            parse_code(request.code, "code")
        known = await entities.load_entities(self._engine, tenant())
        entity = known.named(request.code)
        is_default = entity.code == known.default.code
        return tenant_pb.GetBillingEntityResponse(
            billing_entity=entity_message(entity, is_default=is_default)
        )

    async def UpdateBillingEntity(
        self, request: tenant_pb.UpdateBillingEntityRequest, context: Context
    ) -> tenant_pb.UpdateBillingEntityResponse:
        message = present(request, "billing_entity").billing_entity
        answer = await entities.update_billing_entity(
            self._engine,
            tenant(),
            parse_request(request, request.request_id),
            parse_entity(message),
            as_default=message.is_default,
        )
        self._committed()
        return answer


class CustomerServicer(CustomerServiceServicer):
    """Serves customers."""

    def __init__(self, engine: AsyncEngine, clock: Clock, committed: Callable[[], None]) -> None:
        self._engine = engine
        self._clock = clock
        self._committed = committed

    async def UpsertCustomer(
        self, request: customer_pb.UpsertCustomerRequest, context: Context
    ) -> customer_pb.UpsertCustomerResponse:
        answer = await parties.upsert_customer(
            self._engine,
            tenant(),
            parse_request(request, request.request_id),
            parse_customer(present(request, "customer").customer),
            now=self._clock.now(),
        )
        self._committed()
        return answer

    async def GetCustomer(
        self, request: customer_pb.GetCustomerRequest, context: Context
    ) -> customer_pb.GetCustomerResponse:
        customer_id = parse_text(request.customer_id, "customer_id")
        customer = await parties.get_customer(self._engine, tenant(), customer_id)
        return customer_pb.GetCustomerResponse(customer=customer_message(customer))

    async def ListCustomers(
        self, request: customer_pb.ListCustomersRequest, context: Context
    ) -> customer_pb.ListCustomersResponse:
        page = parse_page(request.page_size, request.page_token)
        after = parse_after(page.token)
        found = await parties.list_customers(
            self._engine, tenant(), after=after, limit=page.size + 1
        )
        shown = fitting([customer_message(one) for one in found[: page.size]])
        more = len(found) > len(shown)
        return customer_pb.ListCustomersResponse(
            customers=shown, next_page_token=page_token(shown[-1].customer_id) if more else ""
        )


class TaxServicer(TaxServiceServicer):
    """Serves taxes."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def CreateTax(
        self, request: tax_pb.CreateTaxRequest, context: Context
    ) -> tax_pb.CreateTaxResponse:
        return await parties.create_tax(
            self._engine,
            tenant(),
            parse_request(request, request.request_id),
            parse_tax(present(request, "tax").tax),
            now=self._clock.now(),
        )

    async def ListTaxes(
        self, request: tax_pb.ListTaxesRequest, context: Context
    ) -> tax_pb.ListTaxesResponse:
        page = parse_page(request.page_size, request.page_token)
        after = parse_after(page.token)
        found = await parties.list_taxes(self._engine, tenant(), after=after, limit=page.size + 1)
        more = len(found) > page.size
        shown = found[: page.size]
        return tax_pb.ListTaxesResponse(
            taxes=[tax_message(one) for one in shown],
            next_page_token=page_token(shown[-1].tax.code) if more else "",
        )
