"""Who may call: a good token with the right scope, for its own tenant."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cli.client import SuiteClient, refusal
from libs.auth import issue_token
from tally.ingest.v1.ingest_service_pb2 import GetHeadsRequest, ListEventsRequest
from tally.invoicing.v1.invoice_service_pb2 import ListInvoicesRequest
from tally.rating.v1.meter_service_pb2 import ListMetersRequest
from tally.wallet.v1.wallet_service_pb2 import ListWalletsRequest
from tests.suite import Suite


async def refusals(client: SuiteClient) -> set[tuple[str, str]]:
    """Call each service once; return how they refused."""
    found = set()
    for call in (
        client.ingest.ListEvents(ListEventsRequest()),
        client.meters.ListMeters(ListMetersRequest()),
        client.invoices.ListInvoices(ListInvoicesRequest()),
        client.wallets.ListWallets(ListWalletsRequest()),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        refused = refusal(caught.value)
        found.add((refused.code, refused.reason))
    return found


async def test_a_call_without_a_token_is_refused(suite: Suite) -> None:
    async with suite.with_token("") as client:
        assert await refusals(client) == {("UNAUTHENTICATED", "TOKEN_MISSING")}


async def test_an_expired_token_is_refused(suite: Suite) -> None:
    token = suite.stack.token(1, ["events:read"], expires_in=timedelta(seconds=-1))
    async with suite.with_token(token) as client:
        assert await refusals(client) == {("UNAUTHENTICATED", "TOKEN_EXPIRED")}


async def test_a_token_of_a_foreign_key_is_refused(suite: Suite) -> None:
    key = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    for kid in (str(uuid4()), "tally"):
        token = issue_token(
            key, kid=kid, tenant=1, scopes=["internal"], expires_in=timedelta(hours=1)
        )
        async with suite.with_token(token) as client:
            assert await refusals(client) == {("UNAUTHENTICATED", "TOKEN_INVALID")}


async def test_a_token_that_was_tampered_with_is_refused(suite: Suite) -> None:
    head, body, signature = suite.token(1).split(".")
    async with suite.with_token(f"{head}.{body}.{signature[::-1]}") as client:
        assert await refusals(client) == {("UNAUTHENTICATED", "TOKEN_INVALID")}


async def test_a_tenant_cannot_speak_as_a_service(suite: Suite) -> None:
    async with suite.client(suite.new_tenant()) as client:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.ingest.GetHeads(GetHeadsRequest())
    assert refusal(caught.value).reason == "SCOPE_MISSING"


async def test_a_tenant_cannot_name_another_in_its_metadata(suite: Suite) -> None:
    mine, other = suite.new_tenant(), suite.new_tenant()
    token = suite.token(mine)
    async with SuiteClient(suite.stack.addresses, token=token, tenant=other) as client:
        assert not (await client.meters.ListMeters(ListMetersRequest())).meters
