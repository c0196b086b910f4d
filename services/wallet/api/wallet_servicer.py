"""The gRPC face of wallets: parse, do, answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs import auth
from libs.clock import Clock
from libs.errors import FieldInvalid
from libs.wire import (
    Page,
    fitting,
    page_token,
    parse_page,
    parse_page_token,
    parse_request,
    parse_text,
    parse_uuid,
)
from services.wallet.api.invoice_parsing import parse_as_of, parse_invoice
from services.wallet.api.parsing import (
    check_each,
    parse_asked,
    parse_changes,
    parse_grant,
    parse_optional_uuid,
    parse_voids,
    parse_wallet,
)
from services.wallet.api.top_up_parsing import parse_status, parse_top_up
from services.wallet.operations import paying, topping_up, wallets
from services.wallet.operations.clerk import Clerk
from services.wallet.operations.desk import Desk
from services.wallet.operations.messages import (
    balance_message,
    entry_message,
    grant_message,
    wallet_message,
)
from services.wallet.operations.orders import GrantCredits
from services.wallet.operations.top_up_messages import top_up_message
from services.wallet.operations.wallet_orders import (
    TerminateWallet,
    TransferCredits,
    UpdateWallet,
    VoidCredits,
)
from services.wallet.operations.watching import Watches
from tally.wallet.v1 import (
    top_up_pb2,
    wallet_changes_pb2,
    wallet_service_pb2,
    wallet_service_pb2_grpc,
)
from tally.wallet.v1 import wallet_service_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class WalletServicer(wallet_service_pb2_grpc.WalletServiceServicer):
    """Answers the methods about wallets, grants, entries and invoices."""

    engine: AsyncEngine
    clock: Clock
    clerk: Clerk
    watches: Watches
    committed: Callable[[], None]  # Called after each commit that may have announced facts.

    async def CreateWallet(
        self, request: pb.CreateWalletRequest, context: Context
    ) -> pb.CreateWalletResponse:
        """Open a wallet."""
        desk = self._desk()
        identity = parse_request(request, request.request_id)
        if not request.HasField("wallet"):
            raise FieldInvalid("wallet", "is missing")
        wallet = parse_wallet(request.wallet, desk.now())
        answer = await wallets.create_wallet(desk, identity, wallet)
        self.committed()
        return answer

    async def GetWallet(
        self, request: pb.GetWalletRequest, context: Context
    ) -> pb.GetWalletResponse:
        """Return a wallet with its balance."""
        wallet_id = parse_uuid(request.wallet_id, "wallet_id")
        wallet, balance = await wallets.get_wallet(self._desk(), wallet_id)
        return pb.GetWalletResponse(wallet=wallet_message(wallet), balance=balance_message(balance))

    async def ListWallets(
        self, request: pb.ListWalletsRequest, context: Context
    ) -> pb.ListWalletsResponse:
        """List wallets in the order in which they are drawn."""
        customer_id = parse_text(request.customer_id, "customer_id", required=False)
        page = parse_page(request.page_size, request.page_token)
        after: Any = parse_page_token(page.token, str, int, int)
        found = await wallets.list_wallets(
            self._desk(),
            customer_id=customer_id or None,
            after=after or None,
            limit=page.size + 1,
        )
        shown = fitting([wallet_message(wallet) for wallet in found[: page.size]])
        last = found[len(shown) - 1] if len(found) > len(shown) else None
        return pb.ListWalletsResponse(
            wallets=shown,
            next_page_token=page_token(last.customer_id, *last.draw_key) if last else "",
        )

    async def GrantCredits(
        self, request: pb.GrantCreditsRequest, context: Context
    ) -> pb.GrantCreditsResponse:
        """Put credit into a wallet."""
        identity = parse_request(request, request.request_id)
        if not request.HasField("grant"):
            raise FieldInvalid("grant", "is missing")
        order = parse_grant(request.grant)
        return await self.clerk.do(auth.tenant(), identity, GrantCredits(order=order))

    async def TopUp(
        self, request: top_up_pb2.TopUpRequest, context: Context
    ) -> top_up_pb2.TopUpResponse:
        """Buy credit, give it, or both."""
        identity = parse_request(request, request.request_id)
        if not request.HasField("top_up"):
            raise FieldInvalid("top_up", "is missing")
        order = parse_top_up(request.top_up)
        answer = await topping_up.top_wallet_up(self._desk(), identity, order)
        self.committed()
        return answer

    async def ListTopUps(
        self, request: top_up_pb2.ListTopUpsRequest, context: Context
    ) -> top_up_pb2.ListTopUpsResponse:
        """List the top-ups of a wallet, newest first."""
        wallet_id = parse_uuid(request.wallet_id, "wallet_id")
        page = parse_page(request.page_size, request.page_token)
        keys: Any = parse_page_token(page.token, int)
        found = await topping_up.list_top_ups(
            self._desk(),
            wallet_id,
            status=parse_status(request.status),
            before=keys[0] if keys else None,
            limit=page.size + 1,
        )
        return top_up_pb2.ListTopUpsResponse(
            top_ups=[top_up_message(top_up) for top_up in found[: page.size]],
            next_page_token=_token(found, page, lambda top_up: (top_up.number,)),
        )

    async def UpdateWallet(
        self, request: pb.UpdateWalletRequest, context: Context
    ) -> pb.UpdateWalletResponse:
        """Change a wallet."""
        identity = parse_request(request, request.request_id)
        if not request.HasField("wallet"):
            raise FieldInvalid("wallet", "is missing")
        check_each(
            lambda: parse_uuid(request.wallet.wallet_id, "wallet.wallet_id"),
            lambda: parse_changes(request.wallet),
        )
        order = UpdateWallet(
            wallet_id=parse_uuid(request.wallet.wallet_id, "wallet.wallet_id"),
            changes=parse_changes(request.wallet),
        )
        return await self.clerk.do(auth.tenant(), identity, order)

    async def TerminateWallet(
        self, request: wallet_changes_pb2.TerminateWalletRequest, context: Context
    ) -> pb.TerminateWalletResponse:
        """End a wallet."""
        identity = parse_request(request, request.request_id)
        check_each(
            lambda: parse_uuid(request.wallet_id, "wallet_id"),
            lambda: parse_voids(request.leftover),
        )
        order = TerminateWallet(
            wallet_id=parse_uuid(request.wallet_id, "wallet_id"),
            voids=parse_voids(request.leftover),
        )
        return await self.clerk.do(auth.tenant(), identity, order)

    async def VoidCredits(
        self, request: wallet_changes_pb2.VoidCreditsRequest, context: Context
    ) -> pb.VoidCreditsResponse:
        """Take credit out of a wallet."""
        identity = parse_request(request, request.request_id)
        check_each(
            lambda: parse_uuid(request.wallet_id, "wallet_id"),
            lambda: parse_asked(request),
            lambda: parse_optional_uuid(request.grant_id, "grant_id"),
        )
        order = VoidCredits(
            wallet_id=parse_uuid(request.wallet_id, "wallet_id"),
            amount=parse_asked(request),
            grant_id=parse_optional_uuid(request.grant_id, "grant_id"),
        )
        return await self.clerk.do(auth.tenant(), identity, order)

    async def TransferCredits(
        self, request: wallet_changes_pb2.TransferCreditsRequest, context: Context
    ) -> pb.TransferCreditsResponse:
        """Move credit to another wallet of the customer."""
        identity = parse_request(request, request.request_id)
        check_each(
            lambda: parse_uuid(request.source_wallet_id, "source_wallet_id"),
            lambda: parse_uuid(request.target_wallet_id, "target_wallet_id"),
            lambda: parse_asked(request),
        )
        order = TransferCredits(
            source_wallet_id=parse_uuid(request.source_wallet_id, "source_wallet_id"),
            target_wallet_id=parse_uuid(request.target_wallet_id, "target_wallet_id"),
            amount=parse_asked(request),
        )
        return await self.clerk.do(auth.tenant(), identity, order)

    async def GetBalance(
        self, request: pb.GetBalanceRequest, context: Context
    ) -> pb.GetBalanceResponse:
        """Return what a wallet holds and what of it can be spent."""
        wallet_id = parse_uuid(request.wallet_id, "wallet_id")
        _, balance = await wallets.get_wallet(self._desk(), wallet_id)
        return pb.GetBalanceResponse(balance=balance_message(balance))

    async def WatchBalance(
        self, request: pb.WatchBalanceRequest, context: Context
    ) -> AsyncGenerator[pb.WatchBalanceResponse, None]:
        """Stream a wallet's balance as it changes."""
        wallet_id = parse_uuid(request.wallet_id, "wallet_id")
        async with aclosing(self.watches.follow(self._desk(), wallet_id)) as balances:
            async for balance in balances:
                yield pb.WatchBalanceResponse(balance=balance_message(balance))

    async def ListGrants(
        self, request: pb.ListGrantsRequest, context: Context
    ) -> pb.ListGrantsResponse:
        """List the grants of a wallet in burn order."""
        wallet_id = parse_uuid(request.wallet_id, "wallet_id")
        page = parse_page(request.page_size, request.page_token)
        after: Any = parse_page_token(page.token, int, datetime, str, int)
        wallet, found = await wallets.list_grants(
            self._desk(), wallet_id, after=after or None, limit=page.size + 1
        )
        return pb.ListGrantsResponse(
            grants=[grant_message(grant, wallet) for grant in found[: page.size]],
            next_page_token=_token(found, page, lambda grant: grant.burn_key),
        )

    async def ListEntries(
        self, request: wallet_service_pb2.ListEntriesRequest, context: Context
    ) -> wallet_service_pb2.ListEntriesResponse:
        """List the ledger entries of a wallet, newest first."""
        wallet_id = parse_uuid(request.wallet_id, "wallet_id")
        page = parse_page(request.page_size, request.page_token)
        keys: Any = parse_page_token(page.token, int)
        found = await wallets.list_entries(
            self._desk(), wallet_id, before=keys[0] if keys else None, limit=page.size + 1
        )
        return wallet_service_pb2.ListEntriesResponse(
            entries=[entry_message(entry) for entry in found[: page.size]],
            next_page_token=_token(found, page, lambda entry: (entry.number,)),
        )

    async def ApplyCredits(
        self, request: wallet_service_pb2.ApplyCreditsRequest, context: Context
    ) -> wallet_service_pb2.ApplyCreditsResponse:
        """Pay the lines of an invoice, once."""
        invoice = parse_invoice(request)
        answer = await paying.apply_credits(
            self._desk(), invoice, request.content_hash, as_of=parse_as_of(request)
        )
        self.committed()
        return answer

    async def ReturnCredits(
        self, request: wallet_service_pb2.ReturnCreditsRequest, context: Context
    ) -> wallet_service_pb2.ReturnCreditsResponse:
        """Give back what an invoice was paid, once."""
        answer = await paying.return_credits(
            self._desk(), parse_uuid(request.invoice_id, "invoice_id"), as_of=parse_as_of(request)
        )
        self.committed()
        return answer

    def _desk(self) -> Desk:
        return Desk(self.engine, self.clock, auth.tenant())


def _token(found: Any, page: Page, keys_of: Callable[[Any], tuple[object, ...]]) -> str:
    """Return the token of the next page; one more than a page was asked for, to know of it."""
    return page_token(*keys_of(found[page.size - 1])) if len(found) > page.size else ""
