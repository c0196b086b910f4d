"""Opening wallets, and reading them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from libs import outbox, requests
from libs.requests import Request
from services.wallet.domain.grant import Grant
from services.wallet.domain.ledger import Entry
from services.wallet.domain.wallet import Balance, Wallet
from services.wallet.operations.desk import Desk
from services.wallet.operations.lapsing import catch_up
from services.wallet.operations.messages import wallet_message
from services.wallet.store import grants as grant_store
from services.wallet.store import ledger as ledger_store
from services.wallet.store import wallets as wallet_store
from services.wallet.store.grants import BurnKey
from services.wallet.store.wallets import DrawKey
from tally.wallet.v1 import events_pb2
from tally.wallet.v1.wallet_service_pb2 import CreateWalletResponse


async def create_wallet(desk: Desk, request: Request, wallet: Wallet) -> CreateWalletResponse:
    """Open `wallet`, empty; a repeated `request` gets its first answer again.

    Raises:
        WalletCodeTaken: the customer has another wallet of its code.
    """
    async with desk.begin() as conn:
        earlier = await requests.claim(conn, desk.tenant, request, CreateWalletResponse)
        if earlier is not None:
            return earlier
        await wallet_store.insert_wallet(conn, desk.tenant, wallet)
        answer = CreateWalletResponse(wallet=wallet_message(wallet))
        opened = events_pb2.WalletOpened(wallet=answer.wallet)
        await outbox.append(conn, desk.tenant, opened)
        await requests.save_answer(conn, desk.tenant, request, answer)
    return answer


async def get_wallet(desk: Desk, wallet_id: UUID) -> tuple[Wallet, Balance]:
    """Return a wallet with its balance, what has lapsed taken off.

    Raises:
        WalletNotFound: the tenant has no such wallet.
    """
    async with desk.begin() as conn:
        await catch_up(conn, desk, wallet_id)
        return await wallet_store.load_wallet(conn, desk.tenant, wallet_id, desk.now())


async def list_wallets(
    desk: Desk, *, customer_id: str | None, after: DrawKey | None, limit: int
) -> Sequence[Wallet]:
    """Return wallets by customer, priority and age, from behind `after`."""
    async with desk.begin() as conn:
        return await wallet_store.list_wallets(
            conn, desk.tenant, customer_id=customer_id, after=after, limit=limit
        )


async def list_grants(
    desk: Desk, wallet_id: UUID, *, after: BurnKey | None, limit: int
) -> tuple[Wallet, Sequence[Grant]]:
    """Return a wallet's grants in burn order, from behind `after`.

    Raises:
        WalletNotFound: the tenant has no such wallet.
    """
    async with desk.begin() as conn:
        await catch_up(conn, desk, wallet_id)
        wallet, _ = await wallet_store.load_wallet(conn, desk.tenant, wallet_id, desk.now())
        found = await grant_store.list_grants(
            conn, desk.tenant, wallet_id, after=after, limit=limit
        )
    return wallet, found


async def list_entries(
    desk: Desk, wallet_id: UUID, *, before: int | None, limit: int
) -> Sequence[Entry]:
    """Return a wallet's ledger entries, newest first, from below the number `before`.

    Raises:
        WalletNotFound: the tenant has no such wallet.
    """
    async with desk.begin() as conn:
        await catch_up(conn, desk, wallet_id)
        await wallet_store.load_wallet(conn, desk.tenant, wallet_id, desk.now())
        return await ledger_store.list_entries(
            conn, desk.tenant, wallet_id, before=before, limit=limit
        )
