"""Who sells, who buys, and the taxes between them, through gRPC."""

from __future__ import annotations

from uuid import uuid4

import grpc
import pytest

from cli.client import Refusal, SuiteClient, refusal
from tally.invoicing.v1.customer_service_pb2 import (
    Customer,
    GetCustomerRequest,
    ListCustomersRequest,
    UpsertCustomerRequest,
)
from tally.invoicing.v1.tax_service_pb2 import CreateTaxRequest, ListTaxesRequest, Tax
from tally.invoicing.v1.tenant_service_pb2 import (
    Address,
    BillingEntity,
    CouponOrder,
    CreateBillingEntityRequest,
    GetBillingEntityRequest,
    IssueAdjustment,
    IssueAnchor,
    ListBillingEntitiesRequest,
    Numbering,
    UpdateBillingEntityRequest,
    ZeroInvoices,
)
from tests.suite import Suite


async def create_tax(client: SuiteClient, code: str, rate: str = "10") -> Tax:
    tax = Tax(code=code, name=code.upper(), rate_percent=rate)
    answer = await client.taxes.CreateTax(CreateTaxRequest(request_id=str(uuid4()), tax=tax))
    return answer.tax


async def upsert(client: SuiteClient, customer: Customer, *, request_id: str = "") -> Customer:
    request = UpsertCustomerRequest(request_id=request_id or str(uuid4()), customer=customer)
    return (await client.customers.UpsertCustomer(request)).customer


def reason(caught: pytest.ExceptionInfo[grpc.aio.AioRpcError]) -> Refusal:
    return refusal(caught.value)


async def test_a_tenant_that_set_nothing_has_the_defaults(suite: Suite) -> None:
    async with suite.client(suite.new_tenant()) as client:
        answer = await client.tenants.GetBillingEntity(GetBillingEntityRequest())
    assert answer.billing_entity == BillingEntity(
        code="default",
        address=Address(),
        number_prefix="INV",
        numbering=Numbering.NUMBERING_PER_ENTITY,
        time_zone="UTC",
        zero_invoices=ZeroInvoices.ZERO_INVOICES_FINALIZE,
        issue_anchor=IssueAnchor.ISSUE_ANCHOR_NEXT_PERIOD_START,
        issue_adjustment=IssueAdjustment.ISSUE_ADJUSTMENT_ALIGN_WITH_FINALIZATION,
        is_default=True,
        coupon_order=CouponOrder.COUPON_ORDER_SCOPE_THEN_AGE,
    )


async def test_the_billing_entity_is_replaced_as_a_whole(suite: Suite) -> None:
    tenant = suite.new_tenant()
    async with suite.client(tenant) as client, suite.client(suite.new_tenant()) as other:
        await create_tax(client, "gst")
        wanted = BillingEntity(
            name="Seller",
            number_prefix="ACME",
            numbering=Numbering.NUMBERING_PER_CUSTOMER,
            time_zone="Europe/Paris",
            default_tax_codes=["gst"],
            grace_days=3,
            net_terms_days=30,
            zero_invoices=ZeroInvoices.ZERO_INVOICES_SKIP,
            issue_anchor=IssueAnchor.ISSUE_ANCHOR_CURRENT_PERIOD_END,
            issue_adjustment=IssueAdjustment.ISSUE_ADJUSTMENT_KEEP_ANCHOR,
            payment_details="IBAN DE00",
            footer="Registered in Mars",
            coupon_order=CouponOrder.COUPON_ORDER_PERCENTAGES_FIRST,
        )
        request = UpdateBillingEntityRequest(request_id=str(uuid4()), billing_entity=wanted)
        answer = await client.tenants.UpdateBillingEntity(request)
        stored = (await client.tenants.GetBillingEntity(GetBillingEntityRequest())).billing_entity
        foreign = (await other.tenants.GetBillingEntity(GetBillingEntityRequest())).billing_entity
    wanted.code, wanted.is_default = "default", True
    wanted.address.SetInParent()
    assert stored == answer.billing_entity == wanted
    assert foreign.name == ""


async def test_a_tenant_sells_as_several_entities_of_which_one_is_the_default(suite: Suite) -> None:
    async with suite.client(suite.new_tenant()) as client:
        wanted = BillingEntity(code="fr", name="Vendeur", number_prefix="FR", is_default=True)
        request = CreateBillingEntityRequest(request_id=str(uuid4()), billing_entity=wanted)
        created = (await client.tenants.CreateBillingEntity(request)).billing_entity
        again = (await client.tenants.CreateBillingEntity(request)).billing_entity
        request = CreateBillingEntityRequest(request_id=str(uuid4()), billing_entity=wanted)
        with pytest.raises(grpc.aio.AioRpcError) as taken:
            await client.tenants.CreateBillingEntity(request)
        pages = [
            await client.tenants.ListBillingEntities(ListBillingEntitiesRequest(page_size=1)),
        ]
        pages.append(
            await client.tenants.ListBillingEntities(
                ListBillingEntitiesRequest(page_size=1, page_token=pages[0].next_page_token)
            )
        )
        chosen = (await client.tenants.GetBillingEntity(GetBillingEntityRequest())).billing_entity
        stored = await upsert(client, Customer(customer_id="c1", billing_entity_code="fr"))
    assert created == again == chosen
    assert reason(taken).reason == "BILLING_ENTITY_CODE_TAKEN"
    listed = [(one.code, one.is_default) for page in pages for one in page.billing_entities]
    assert (listed, pages[1].next_page_token) == ([("default", False), ("fr", True)], "")
    assert stored.billing_entity_code == "fr"


async def test_a_tax_that_does_not_exist_is_refused(suite: Suite) -> None:
    async with suite.client(suite.new_tenant()) as client:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await upsert(client, Customer(customer_id="c1", tax_codes=["gone"]))
        with pytest.raises(grpc.aio.AioRpcError) as missing:
            await client.customers.GetCustomer(GetCustomerRequest(customer_id="c1"))
    assert (reason(caught).code, reason(caught).reason) == ("NOT_FOUND", "TAX_NOT_FOUND")
    assert reason(missing).reason == "CUSTOMER_NOT_FOUND"


async def test_a_customer_is_stored_and_replaced(suite: Suite) -> None:
    async with suite.client(suite.new_tenant()) as client:
        first = await upsert(client, Customer(customer_id="c1", name="One", metadata={"a": "1"}))
        second = await upsert(client, Customer(customer_id="c1", name="Two", tax_exempt=True))
        found = await client.customers.GetCustomer(GetCustomerRequest(customer_id="c1"))
    assert (first.name, dict(first.metadata), first.stub) == ("One", {"a": "1"}, False)
    assert found.customer == second
    assert (second.name, dict(second.metadata)) == ("Two", {})
    assert second.created_at == first.created_at


async def test_a_repeated_request_gets_its_first_answer_again(suite: Suite) -> None:
    request_id = str(uuid4())
    async with suite.client(suite.new_tenant()) as client:
        first = await upsert(client, Customer(customer_id="c1"), request_id=request_id)
        await upsert(client, Customer(customer_id="c1", name="Later"))
        again = await upsert(client, Customer(customer_id="c1"), request_id=request_id)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await upsert(client, Customer(customer_id="c2"), request_id=request_id)
    assert again == first
    assert (reason(caught).code, reason(caught).reason) == (
        "ALREADY_EXISTS",
        "REQUEST_ID_REUSED",
    )


async def test_a_tax_code_is_taken_once(suite: Suite) -> None:
    async with suite.client(suite.new_tenant()) as client:
        made = await create_tax(client, "gst", "12.50")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await create_tax(client, "gst", "15")
        listed = await client.taxes.ListTaxes(ListTaxesRequest())
    assert made.rate_percent == "12.5"
    assert reason(caught).reason == "TAX_CODE_TAKEN"
    assert list(listed.taxes) == [made]


async def test_customers_page_by_id(suite: Suite) -> None:
    async with suite.client(suite.new_tenant()) as client:
        for name in ("b", "d", "a", "c", "e"):
            await upsert(client, Customer(customer_id=name))
        seen: list[list[str]] = []
        token = ""
        while not seen or token:
            page = await client.customers.ListCustomers(
                ListCustomersRequest(page_size=2, page_token=token)
            )
            seen.append([one.customer_id for one in page.customers])
            token = page.next_page_token
    assert seen == [["a", "b"], ["c", "d"], ["e"]]


async def test_every_field_at_fault_is_named_at_once(suite: Suite) -> None:
    bad = BillingEntity(number_prefix="a b", grace_days=61, time_zone="Mars/Base")
    async with suite.client(suite.new_tenant()) as client:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.tenants.UpdateBillingEntity(
                UpdateBillingEntityRequest(request_id=str(uuid4()), billing_entity=bad)
            )
    assert set(reason(caught).fields) == {
        "billing_entity.number_prefix",
        "billing_entity.grace_days",
        "billing_entity.time_zone",
    }
