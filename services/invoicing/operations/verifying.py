"""Whether invoices are what was frozen of their periods, and what the wallets paid of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import replace
from uuid import UUID

from libs.db import Snapshots
from libs.difference import Difference, Finding, Unverified, compared
from libs.tenant import Tenant
from services.invoicing.domain.creditable import creditable_of
from services.invoicing.domain.invoice import Status
from services.invoicing.domain.line import RatedPeriod
from services.invoicing.domain.note_verification import note_differences
from services.invoicing.domain.verification import (
    FrozenInvoice,
    credit_differences,
    invoice_differences,
)
from services.invoicing.operations.peers import Application, FrozenPeriod, Rating, Wallet
from services.invoicing.store import verification as store
from services.invoicing.store.coupon_uses import find_use_faults
from services.invoicing.store.progressive_verification import find_progressive_faults
from services.invoicing.store.verification import Billed, Key

INVOICES_AT_ONCE = 100


async def verify_invoices(
    snapshots: Snapshots, rating: Rating, counts: Counter[str]
) -> AsyncGenerator[Finding, None]:
    """Give every frozen invoice that is not what it bills, and what is wrong with the numbers.

    Invoices are read a hundred at a time, then what rating froze of their periods; then all that
    rating froze, to find it on exactly one invoice each. Nothing is asked of rating that freezes
    anything. An invoice is numbered and its periods are on it before rating closes them, so
    nothing is missed that happens meanwhile. Credit notes are compared with their
    invoices.

    Raises:
        Unavailable: rating or the database is away.
    """
    counts.update({"invoices": 0, "lines": 0, "credit notes": 0, "closes": 0})
    async for page in _pages(snapshots):
        period_ids = sorted({period_id for invoice in page for period_id, _ in invoice.closes})
        frozen = {
            (one.tenant, one.rated.period_id, one.rated.sequence): one.rated
            async for one in rating.closes(snapshots.tenant, period_ids)
        }
        async with snapshots.begin() as conn:
            notes = await store.load_notes(conn, [(one.tenant, one.invoice_id) for one in page])
        for invoice in page:
            counts["invoices"] += 1
            counts["lines"] += len(invoice.lines)
            on_it = notes.get((invoice.tenant, invoice.invoice_id), [])
            counts["credit notes"] += len(on_it)
            whole = creditable_of(invoice.lines, invoice.taxes, invoice.coupons)
            for difference in note_differences(invoice.tenant, whole, on_it):
                yield difference
            keys = [(invoice.tenant, *close) for close in invoice.closes]
            rated = [frozen[key] for key in keys if key in frozen]
            if invoice.crossing_id is not None:
                rated.append(await rating.crossing(Tenant(invoice.tenant), invoice.crossing_id))
            for difference in invoice_differences(invoice, rated):
                yield difference
    async for finding in _verify_billed_once(snapshots, rating, counts):
        yield finding
    async with snapshots.begin() as conn:
        faults = await store.find_number_faults(conn) + await find_progressive_faults(conn)
        faults += await find_use_faults(conn, limit=store.BROKEN_MAX)
    for fault in faults:
        yield fault


async def verify_credits(
    snapshots: Snapshots, wallet: Wallet, counts: Counter[str]
) -> AsyncGenerator[Finding, None]:
    """Give every invoice whose credits are not what the ledger paid of it.

    An invoice that is being finalized may have been paid already, and is not compared.

    Raises:
        Unavailable: wallet or the database is away.
    """
    counts.update({"invoices against the ledger": 0})
    async for page in _pages(snapshots):
        asked = [invoice.invoice_id for invoice in page]
        paid = {
            (one.tenant, one.invoice_id): one
            async for one in wallet.applications(snapshots.tenant, asked)
        }
        for invoice in page:
            counts["invoices against the ledger"] += 1
            for finding in _credit_findings(
                invoice, paid.get((invoice.tenant, invoice.invoice_id))
            ):
                yield finding
    found: list[Application] = []
    async for one in wallet.applications(snapshots.tenant, ()):
        found.append(one)
        if len(found) == INVOICES_AT_ONCE:
            for difference in await _find_unknown(snapshots, found):
                yield difference
            found = []
    for difference in await _find_unknown(snapshots, found):
        yield difference


async def _pages(snapshots: Snapshots) -> AsyncGenerator[Sequence[FrozenInvoice], None]:
    """Give all frozen invoices; each page is read at one instant."""
    after: Key | None = None
    while True:
        async with snapshots.begin() as conn:
            page = await store.load_frozen(conn, after=after, limit=INVOICES_AT_ONCE)
        if page:
            yield page
            after = (page[-1].tenant, page[-1].invoice_id)
        if len(page) < INVOICES_AT_ONCE:
            return


async def _verify_billed_once(
    snapshots: Snapshots, rating: Rating, counts: Counter[str]
) -> AsyncGenerator[Finding, None]:
    """Look for everything that rating has frozen on the invoices."""
    batch: list[FrozenPeriod] = []
    async for one in rating.closes(snapshots.tenant, ()):
        counts["closes"] += 1
        batch.append(one)
        if len(batch) == INVOICES_AT_ONCE:
            for finding in await _find_unbilled(snapshots, batch):
                yield finding
            batch = []
    for finding in await _find_unbilled(snapshots, batch):
        yield finding


async def _find_unbilled(snapshots: Snapshots, batch: Sequence[FrozenPeriod]) -> list[Finding]:
    keys = [(one.tenant, one.rated.period_id, one.rated.sequence) for one in batch]
    async with snapshots.begin() as conn:
        billed = await store.load_billed(conn, keys)
    return [
        finding
        for key, one in zip(keys, batch, strict=True)
        for finding in _billing_findings(one, billed[key])
    ]


def _billing_findings(one: FrozenPeriod, billed: Billed) -> Iterator[Finding]:
    rated = one.rated
    kind = "adjustment" if rated.sequence else "closed period"
    named = {"subscription_id": rated.subscription_id, "period_id": str(rated.period_id)}
    if rated.sequence:
        named["sequence"] = str(rated.sequence)
    if billed.given_back_minor is not None:
        amounts = (billed.given_back_minor, -rated.amount_minor)
        yield from compared(one.tenant, kind, named, given_back_minor=amounts)
        yield from compared(one.tenant, kind, named, invoices=(billed.invoice_count, 0))
        return
    if billed.invoice_count == 0 and billed.waits:
        if billed.waiting is None:
            yield Unverified(one.tenant, kind, named, "its invoice is being finalized")
        else:  # It fits on no invoice yet.
            waiting = _comparable(billed.waiting)
            same = waiting == _comparable(rated)
            amounts = (billed.waiting.amount_minor, rated.amount_minor)
            yield from compared(one.tenant, kind, named, amount_minor=amounts)
            if not same and amounts[0] == amounts[1]:
                yield Difference(one.tenant, kind, named, "fees", "other ones", "")
        return
    if billed.voided and billed.invoice_count == 0:
        return
    yield from compared(one.tenant, kind, named, invoices=(billed.invoice_count, 1))


def _comparable(rated: RatedPeriod) -> RatedPeriod:
    """Return what was frozen, without how it came here."""
    return replace(rated, trace_id="", usage_traceparents=())


def _credit_findings(invoice: FrozenInvoice, paid: Application | None) -> Iterator[Finding]:
    tenant, named = invoice.tenant, invoice.names
    if invoice.status is Status.FINALIZING:
        yield Unverified(tenant, "invoice", named, "it is being finalized")
        return
    if invoice.kind.bare and paid is None:
        return
    if paid is None:
        yield Difference(tenant, "invoice", named, "application", "", "none in the ledger")
        return
    if invoice.credits_minor:
        gone = (invoice.status is Status.VOIDED, paid.returned)
        if gone == (True, False):
            yield Unverified(tenant, "invoice", named, "wallets take back its credits")
        elif gone == (False, True):
            yield Difference(tenant, "invoice", named, "credits", "in force", "given back")
    hashes = (invoice.content_hash, paid.content_hash)
    yield from compared(tenant, "invoice", named, content_hash=hashes)
    yield from credit_differences(tenant, named, invoice.credits, paid.credits)


async def _find_unknown(
    snapshots: Snapshots, applications: Sequence[Application]
) -> list[Difference]:
    """Return what the ledger paid of invoices that do not exist, or are drafts still."""
    invoice_ids: set[UUID] = {one.invoice_id for one in applications}
    async with snapshots.begin() as conn:
        statuses = await store.load_statuses(conn, invoice_ids)
    return [
        Difference(
            one.tenant,
            "application",
            {"invoice_id": str(one.invoice_id)},
            "invoice",
            "paid",
            str(statuses.get((one.tenant, one.invoice_id), "")),
        )
        for one in applications
        if statuses.get((one.tenant, one.invoice_id), Status.DRAFT) is Status.DRAFT
    ]
