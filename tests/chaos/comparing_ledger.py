"""Finds every way in which the wallets disagree with their entries, invoices and clients."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from tests.chaos.known import Fate, GrantAsked, HoldAsked, Known
from tests.chaos.seen import Books, InvoiceSeen, WalletSeen

ACCOUNTS = ("available", "held", "captured")
# What moves money within a wallet: what one account loses another gains.
INSIDE = {"HOLD", "RELEASE", "HOLD_EXPIRY", "RETURN"}


def compare_ledger(known: Known, books: Books) -> Iterator[str]:
    """Give what is wrong with the wallets."""
    yield from books.unbalanced
    opened = {grant.wallet_id for grant in known.grants}
    for wallet_id in sorted(opened - {wallet.wallet_id for wallet in books.wallets}):
        yield f"wallet {wallet_id} is not there"
    for wallet in books.wallets:
        yield from _compare_sums(wallet)
        yield from _compare_grants(wallet, _of(wallet, known.grants))
        holds = [hold for hold in known.holds if hold.wallet_id == wallet.wallet_id]
        yield from _compare_holds(wallet, holds)
        yield from _compare_captures(wallet, known, holds)
        yield from _compare_releases(wallet, holds)
    yield from _compare_credits(books.invoices, books.wallets)


def _of(wallet: WalletSeen, grants: Iterable[GrantAsked]) -> list[GrantAsked]:
    return [grant for grant in grants if grant.wallet_id == wallet.wallet_id]


def _compare_sums(wallet: WalletSeen) -> Iterator[str]:
    sums = {account: 0 for account in ACCOUNTS}
    by_transaction: defaultdict[tuple[str, str], int] = defaultdict(int)
    for entry in wallet.entries:
        sums[entry.account] += entry.amount_minor
        by_transaction[entry.transaction_id, entry.reason] += entry.amount_minor
    if sums != dict(wallet.balance):
        yield f"wallet {wallet.wallet_id} has {dict(wallet.balance)}, its entries give {sums}"
    remaining = sum(grant.remaining_minor for grant in wallet.grants)
    if remaining != sum(sums.values()):
        yield f"wallet {wallet.wallet_id} has grants of {remaining}, its entries give {sums}"
    for (transaction_id, reason), total in by_transaction.items():
        if reason in INSIDE and total:
            yield f"the entries of {transaction_id} ({reason}) sum to {total}"


def _compare_grants(wallet: WalletSeen, asked: Sequence[GrantAsked]) -> Iterator[str]:
    entries = Counter(
        (entry.reference, entry.amount_minor)
        for entry in wallet.entries
        if entry.reason == "GRANT" and entry.account == "available"
    )
    yield from _compare_once(
        f"grants of {wallet.wallet_id}",
        found=Counter((grant.reference, grant.amount_minor) for grant in wallet.grants),
        sure=Counter(_grant_key(one) for one in asked if one.fate is Fate.ACKNOWLEDGED),
        maybe=Counter(_grant_key(one) for one in asked if one.fate is Fate.UNKNOWN),
    )
    if entries != Counter((grant.grant_id, grant.amount_minor) for grant in wallet.grants):
        yield f"the grants of {wallet.wallet_id} are not those of its entries"


def _grant_key(grant: GrantAsked) -> tuple[str, int]:
    return grant.reference, grant.amount_minor


def _compare_holds(wallet: WalletSeen, asked: Sequence[HoldAsked]) -> Iterator[str]:
    found = Counter(
        (entry.reference, entry.amount_minor)
        for entry in wallet.entries
        if entry.reason == "HOLD" and entry.account == "held"
    )
    sure = Counter(
        (hold.hold_id, hold.amount_minor) for hold in asked if hold.fate is Fate.ACKNOWLEDGED
    )
    for key, count in sure.items():
        if found[key] != count:
            yield f"hold {key} was acknowledged and is {found[key]} times in the ledger"
    # Holds that nobody was told of have ids that nobody knows: only their amounts can be compared.
    others = Counter(amount for _, amount in (found - sure).elements())
    maybe = Counter(hold.amount_minor for hold in asked if hold.fate is Fate.UNKNOWN)
    if others - maybe:
        yield f"nobody asked for holds of {sorted((others - maybe).elements())} minor units"


def _compare_captures(
    wallet: WalletSeen, known: Known, holds: Sequence[HoldAsked]
) -> Iterator[str]:
    yield from _compare_once(
        f"captures of {wallet.wallet_id}",
        found=Counter(
            (entry.reference, -entry.amount_minor)
            for entry in wallet.entries
            if entry.reason == "CAPTURE" and entry.account == "held"
        ),
        sure=Counter(known.captures_of(holds, Fate.ACKNOWLEDGED)),
        maybe=Counter(known.captures_of(holds, Fate.UNKNOWN)),
    )


def _compare_releases(wallet: WalletSeen, holds: Sequence[HoldAsked]) -> Iterator[str]:
    released = Counter(
        entry.reference
        for entry in wallet.entries
        if entry.reason in {"RELEASE", "HOLD_EXPIRY"} and entry.account == "held"
    )
    for hold in holds:
        count = released[hold.hold_id] if hold.hold_id else 0
        if count > 1:
            yield f"hold {hold.hold_id} was given back {count} times"
        if hold.released is Fate.ACKNOWLEDGED and count != 1:
            yield f"hold {hold.hold_id} was released and its money is not back"


def _compare_once(
    what: str,
    *,
    found: Counter[tuple[str, int]],
    sure: Counter[tuple[str, int]],
    maybe: Counter[tuple[str, int]],
) -> Iterator[str]:
    """Everything acknowledged is there once; beyond it, only what was never answered."""
    if missing := sure - found:
        yield f"{what}: acknowledged and missing: {sorted(missing.elements())}"
    if extra := found - sure - maybe:
        yield f"{what}: there without being asked for: {sorted(extra.elements())}"


def _compare_credits(
    invoices: Sequence[InvoiceSeen], wallets: Sequence[WalletSeen]
) -> Iterator[str]:
    paid: Counter[str] = Counter()
    times: Counter[tuple[str, str]] = Counter()
    for wallet in wallets:
        applied = {
            (entry.transaction_id, entry.reference)
            for entry in wallet.entries
            if entry.reason == "APPLY"
        }
        for _, invoice_id in applied:
            times[wallet.wallet_id, invoice_id] += 1
        for entry in wallet.entries:
            if entry.reason == "APPLY":
                paid[entry.reference] -= entry.amount_minor
    for (wallet_id, invoice_id), count in sorted(times.items()):
        if count > 1:
            yield f"wallet {wallet_id} has paid invoice {invoice_id} {count} times"
    credits = {invoice.invoice_id: invoice.credits_minor for invoice in invoices}
    for invoice_id in sorted(credits.keys() | paid.keys()):
        if credits.get(invoice_id, 0) != paid[invoice_id]:
            yield (
                f"invoice {invoice_id} has credits of {credits.get(invoice_id)},"
                f" the wallets have paid {paid[invoice_id]}"
            )
