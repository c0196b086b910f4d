"""Every field of every request refuses what is bad, with its code, its reason and its field."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from cli.client import SuiteClient, refusal, service_descriptors
from tally.common.v1.options_pb2 import SCOPE_INTERNAL, scope
from tests.contract.bad_input.billing import billed_by_hand, drafted
from tests.contract.bad_input.putting import put
from tests.contract.bad_input.requests import USD, World, good_requests
from tests.contract.bad_input.rules import Rejection
from tests.contract.bad_input.table import TABLE, Case, all_cases
from tests.contract.bad_input.webhooks import endpoints
from tests.contract.bad_input.world import Worlds, make_worlds
from tests.suite import Suite

METHODS = {
    f"{service}.{method.name}": method
    for service, descriptor in service_descriptors().items()
    for method in descriptor.methods
    if not method.server_streaming
}
# They name nothing that exists, so that another tenant may make the same request.
NAMELESS = {"ApplyCredits", "CreateMeter", "CreateTax", "CreateWallet", "GetBillingEntity"}
NAMELESS |= {"EstimateEvents", "EvaluateExpression", "FollowUsage", "GetHeads", "RecordColumns"}
NAMELESS |= {"RecordEvents", "ReturnCredits", "CreateBillingEntity"}
NAMELESS |= {"GetDunningCampaign", "SetDunningCampaign"}
NAMELESS |= {"UpdateBillingEntity", "UpsertCustomer", "CreateWebhookEndpoint"}
CASES: dict[str, list[Case]] = defaultdict(list)
for one in all_cases():
    CASES[one.method.removeprefix("tally.")].append(one)


@pytest.fixture(scope="module")
def worlds(suite: Suite) -> Worlds:
    """Things of two tenants; the first one calls."""
    return make_worlds(suite)


@pytest.mark.parametrize("name", METHODS)
def test_every_field_of_every_request_is_in_the_table(name: str) -> None:
    method = METHODS[name]
    table = TABLE.get(method.full_name, {})
    covered = {_field_at(method.input_type, path) for path in table}
    missing = [path for key, path in _fields(method.input_type) if key not in covered]
    assert not missing, f"{name}: the table says nothing of {missing}"


@pytest.mark.parametrize("name", METHODS)
async def test_a_good_request_succeeds(name: str, suite: Suite, worlds: Worlds) -> None:
    async with _client(suite, METHODS[name], worlds.tenant) as client:
        await _call(client, METHODS[name], worlds.mine)


@pytest.mark.parametrize("name", sorted(CASES))
async def test_bad_values_are_refused(name: str, suite: Suite, worlds: Worlds) -> None:
    async with _client(suite, METHODS[name], worlds.tenant) as client:
        wrong = [
            f"{case.path} {case.kind}: {said}"
            for case in CASES[name]
            if (said := await _fault(client, METHODS[name], case, worlds))
        ]
    assert not wrong, "\n".join([name, *wrong])


@pytest.mark.parametrize("name", METHODS)
async def test_a_token_without_the_scope_is_refused(
    name: str, suite: Suite, worlds: Worlds
) -> None:
    async with suite.client(worlds.tenant, scopes=["none"]) as client:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _call(client, METHODS[name], worlds.mine)
    refused = refusal(caught.value)
    assert (refused.code, refused.reason) == ("PERMISSION_DENIED", "SCOPE_MISSING")
    assert refused.metadata["scope"]


@pytest.mark.parametrize("name", [name for name in METHODS if "List" not in name])
async def test_another_tenant_sees_none_of_it(name: str, suite: Suite, worlds: Worlds) -> None:
    """A request about things of one tenant, made by another, finds nothing."""
    async with _client(suite, METHODS[name], suite.new_tenant()) as client:
        if name.rsplit(".", 1)[-1] in NAMELESS:
            await _call(client, METHODS[name], worlds.mine)
            return
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _call(client, METHODS[name], worlds.mine)
    refused = refusal(caught.value)
    assert refused.code == "NOT_FOUND" or refused.reason == "METER_UNKNOWN"


async def test_a_reused_request_id_with_other_content_is_refused(
    suite: Suite, worlds: Worlds
) -> None:
    commands = [name for name, m in METHODS.items() if "request_id" in m.input_type.fields_by_name]
    async with suite.client(worlds.tenant) as client:
        wrong = [
            f"{name}: {said}" for name in commands if (said := await _reuse(client, name, worlds))
        ]
    assert not wrong, "\n".join(wrong)


async def _reuse(client: SuiteClient, name: str, worlds: Worlds) -> str:
    """Call twice with the same request, and with another one of its id; return what is wrong."""
    fields = good_requests(await _spendable(client, worlds.mine, name))[name]
    fields["request_id"] = str(uuid4())
    request = GetMessageClass(METHODS[name].input_type)(**fields)
    try:
        if await client.call(METHODS[name], request) != await client.call(METHODS[name], request):
            return "the repeat has another answer"
    except grpc.aio.AioRpcError as error:
        return f"is refused: {refusal(error)}"
    other = good_requests(worlds.mine | {"released": worlds.mine["hold"]})[name]
    other["request_id"] = fields["request_id"]
    _differ(name, other)
    try:
        await client.call(METHODS[name], GetMessageClass(METHODS[name].input_type)(**other))
    except grpc.aio.AioRpcError as error:
        refused = refusal(error)
        expected = ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
        return "" if (refused.code, refused.reason) == expected else f"{refused}"
    return "other content is taken"


def _client(suite: Suite, method: MethodDescriptor, tenant: int) -> SuiteClient:
    """Return a client that may call the method for the tenant."""
    internal = method.GetOptions().Extensions[scope] == SCOPE_INTERNAL
    return suite.internal(tenant) if internal else suite.client(tenant)


def _differ(name: str, fields: dict[str, Any]) -> None:
    """Change the content of a request whose good form is always the same."""
    match name.rsplit(".", 1)[-1]:
        case "UpdateBillingEntity":
            fields["billing_entity"] = {"name": "Another"}
        case "CreatePlanVersion":
            fields["version"] = {**fields["version"], "base_amount": "98"}
        case "CreateWallet" | "UpdateWallet":
            fields["wallet"] = {**fields["wallet"], "name": "another"}
        case "TerminateWallet":
            fields["leftover"] = "LEFTOVER_REFUSE"
        case "VoidCredits" | "TransferCredits":
            fields["amount"] = {**USD, "amount_minor": 99}
        case "CreateOneOffInvoice":
            fields["customer_id"] = "another"
        case "RefreshDraft" | "AdjustFee" | "FinalizeInvoice" | "ReissueInvoice":
            fields["invoice_id"] = str(uuid4())
        case "VoidInvoice":
            fields["reason"] = "another"
        case "ApplyCoupon":
            fields["customer_id"] = "another"
        case "RemoveAppliedCoupon":
            fields["applied_coupon_id"] = str(uuid4())
        case "ExtendHold":
            fields["hold_id"] = f"std_{uuid4()}"
        case "TopUp":
            fields["top_up"] = {**fields["top_up"], "paid": {**USD, "amount_minor": 101}}
        case "CreateTopUpRule" | "UpdateTopUpRule":
            fields["rule"] = {**fields["rule"], "name": "another"}
        case "ArchiveTopUpRule":
            fields["rule_id"] = str(uuid4())
        case "GrantCredits":
            fields["grant"] = {**fields["grant"], "reference": "another"}
        case "Authorize":
            fields["subscription_id"] = "another"
        case "Capture":
            fields["final"] = True
        case "AmendEvent":
            fields["event"] = {**fields["event"], "type": "another"}
        case "RetractEvent":
            fields["id"] = "another"
        case "ArchiveMeter" | "ArchivePlan" | "ArchiveFeature" | "ArchiveCoupon":
            fields["code"] = "another"
        case "CreateCreditNote":
            fields["reason"] = "another"
        case "CreatePaymentRequest":
            fields["all_due"] = False
        case "RemovePaymentMethod":
            fields["customer_id"] = "another"
        case "ChargeInvoice":
            fields["invoice_id"] = str(uuid4())
        case "VoidCreditNote":
            fields["credit_note_id"] = str(uuid4())
        case "SetPlanEntitlements":
            fields["entitlements"] = []
        case "SetSubscriptionEntitlements":
            fields["overrides"] = []
        case "DeleteAlert":
            fields["alert_id"] = str(uuid4())
        case "DeleteWebhookEndpoint" | "RotateWebhookSecret":
            fields["webhook_endpoint_id"] = str(uuid4())
        case "ReplayWebhookDelivery":
            fields["webhook_delivery_id"] = str(uuid4())
        case "TerminateSubscription" | "PauseSubscription" | "ResumeSubscription":
            fields["subscription_id"] = "another"
        case "ChangePlan" | "CancelPlanChange" | "UpdateSubscription":
            fields["subscription_id"] = "another"
        case "UpdateFixedUnits":
            fields["units"] = "7"
        case "UpdateOverrides":
            fields["overrides"] = {"base_amount": "97"}
        case "SetInstantFeePayment":
            fields["payment_status"] = "PAYMENT_STATUS_SUCCEEDED"
        case _:
            pass  # Its fresh code differs.


async def _spendable(client: SuiteClient, mine: World, name: str) -> World:
    """Give the world a new hold to release and a new subscription to end."""
    fields = good_requests(mine)
    authorize = METHODS["wallet.v1.HoldService.Authorize"]
    hold: Any = await client.call(
        authorize,
        GetMessageClass(authorize.input_type)(**fields["wallet.v1.HoldService.Authorize"]),
    )
    create = METHODS["rating.v1.SubscriptionService.CreateSubscription"]
    made: Any = await client.call(
        create,
        GetMessageClass(create.input_type)(
            **fields["rating.v1.SubscriptionService.CreateSubscription"]
        ),
    )
    ending = made.subscription.subscription_id
    wallet: Any = await _call(client, METHODS["wallet.v1.WalletService.CreateWallet"], mine)
    spendable = {
        "released": hold.hold.hold_id,
        "ending": ending,
        "spare_wallet": wallet.wallet.wallet_id,
    }
    if name.endswith(".DeleteAlert"):  # A subscription has room for fifty.
        alert: Any = await _call(client, METHODS["rating.v1.AlertService.CreateAlert"], mine)
        spendable["deleted_alert"] = alert.alert.alert_id
    if name.endswith(".DeleteWebhookEndpoint"):
        spendable |= await endpoints(client, mine)
    if name.endswith((".VoidInvoice", ".ReissueInvoice")):
        spendable |= await billed_by_hand(client, mine)
    if name.endswith(".FinalizeInvoice"):
        spendable |= await drafted(client, mine, "again")
    return {**mine, **spendable}


async def _call(client: SuiteClient, method: MethodDescriptor, world: World) -> Any:
    fields = good_requests(world)[method.full_name.removeprefix("tally.")]
    return await client.call(method, GetMessageClass(method.input_type)(**fields))


async def _fault(client: SuiteClient, method: MethodDescriptor, case: Case, worlds: Worlds) -> str:
    """Make the case's call; return what is wrong with the answer, "" for nothing."""
    # What good requests end may have ended already; bad ones must not end anything.
    lasting = {"ending": worlds.mine["subscription"], "released": worlds.mine["hold"]}
    fields = good_requests(worlds.mine | lasting)[method.full_name.removeprefix("tally.")]
    request = GetMessageClass(method.input_type)(**fields)
    put(request, case.path, case.expected.value, worlds.other)
    try:
        answer: Any = await client.call(method, request)
    except grpc.aio.AioRpcError as error:
        return _wrong_refusal(error, case)
    if not isinstance(case.expected, Rejection):
        return "was taken"
    # Of columns only exceptions are told one by one.
    [verdict] = answer.verdicts if hasattr(answer, "verdicts") else answer.exceptions
    field = case.expected.field or re.sub(r".*\](\.event)?\.", "", case.path)
    said = type(verdict).DESCRIPTOR.fields_by_name["reason"].enum_type.values_by_number
    reason = said[verdict.reason].name.removeprefix("REJECTION_REASON_")
    if reason != case.expected.reason or not verdict.detail:
        return f"verdict {verdict}, expected {case.expected.reason}"
    return "" if verdict.field.startswith(field) else f"field {verdict.field!r}, not {field!r}"


def _wrong_refusal(error: grpc.aio.AioRpcError, case: Case) -> str:
    refused, expected = refusal(error), case.expected
    if isinstance(expected, Rejection):
        return f"refused whole: {refused}"
    if (refused.code, refused.reason) != (expected.code, expected.reason):
        return f"{refused}, expected {expected.code} {expected.reason}"
    wanted = case.path if expected.field is None else expected.field
    if wanted == "*":
        return (
            "" if refused.fields or expected.reason != "FIELD_INVALID" else f"no field: {refused}"
        )
    if wanted and wanted not in refused.fields:
        return f"names {sorted(refused.fields)}, not {wanted}"
    return ""


def _field_at(message: Descriptor, path: str) -> str:
    """Return the full name of the field at `path` of `message`."""
    *parents, last = (name.split("[")[0] for name in path.split("."))
    for name in parents:
        inner = message.fields_by_name[name].message_type
        assert inner is not None, path
        message = inner
    return str(message.fields_by_name[last].full_name)


def _fields(message: Descriptor, path: str = "") -> Iterator[tuple[str, str]]:
    """Give each field below `message`, once: its full name, and a path to it."""
    seen: set[str] = set()
    waiting = [(message, path)]
    while waiting:
        holder, prefix = waiting.pop()
        for field in holder.fields:
            if field.full_name in seen:
                continue
            seen.add(field.full_name)
            inner = field.message_type
            here = f"{prefix}{field.name}"
            if inner is None or inner.GetOptions().map_entry or _well_known(inner):
                yield field.full_name, here
            elif field.name not in ("remaining",):  # An answer's field.
                waiting.append((inner, f"{here}."))


def _well_known(message: Descriptor) -> bool:
    return bool(message.full_name.startswith("google.protobuf."))
