"""Whether the books agree with each other, and what they paid of invoices."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Sequence
from uuid import UUID

from libs.db import Snapshots
from libs.difference import Difference, compared
from libs.wire import Page, page_token, parse_page_token
from services.wallet.operations.paying import credit_message
from services.wallet.store import applications as store
from services.wallet.store.applications import Key, StoredApplication
from services.wallet.store.verification import CHECKS, count_rows
from tally.wallet.v1 import ledger_service_pb2 as pb
from tally.wallet.v1.wallet_service_pb2 import AppliedCredit, ApplyCreditsResponse

PAGE_SIZE = 500

Part = tuple[str, str, str, bool]  # Line, wallet, grant, captured.


async def check_invariants(
    snapshots: Snapshots, counts: Counter[str]
) -> AsyncGenerator[Difference, None]:
    """Give every contradiction in the books, and count in `counts` what was looked at.

    Each check reads at one instant, and so does each page of invoices: whoever posts meanwhile
    waits for nothing. It costs a pass over entries and grant uses for each of a dozen checks.
    """
    async with snapshots.begin() as conn:
        counts.update({**await count_rows(conn), "invoices asked to be paid": 0})
    for check in CHECKS:
        async with snapshots.begin() as conn:
            found = await check(conn)
        for difference in found:
            yield difference
    after: Key | None = None
    while True:
        async with snapshots.begin() as conn:
            page = await store.list_applications(conn, invoice_ids=(), after=after, limit=PAGE_SIZE)
            paid = await store.load_paid(conn, [(one.tenant, one.invoice_id) for one in page])
        for one in page:
            counts["invoices asked to be paid"] += 1
            credits = [credit_message(each) for each in paid[one.tenant, one.invoice_id]]
            for difference in answer_differences(one, credits):
                yield difference
        if len(page) < PAGE_SIZE:
            return
        after = (page[-1].tenant, page[-1].invoice_id)


def answer_differences(
    stored: StoredApplication, paid: Sequence[AppliedCredit]
) -> list[Difference]:
    """Return how the answer that an invoice got differs from what the ledger paid of it."""
    answered = _parts(ApplyCreditsResponse.FromString(stored.answer).credits)
    again = _parts(paid)
    found: list[Difference] = []
    for part in dict.fromkeys([*answered, *again]):
        line_id, wallet_id, grant_id, captured = part
        named = {
            "invoice_id": str(stored.invoice_id),
            "line_id": line_id,
            "wallet_id": wallet_id,
            "grant_id": grant_id,
            "source": "captured" if captured else "available",
        }
        amounts = (answered.get(part), again.get(part))
        found += compared(stored.tenant, "application", named, amount_minor=amounts)
    return found


async def list_applications(
    snapshots: Snapshots, *, invoice_ids: Sequence[UUID], page: Page
) -> pb.ListApplicationsResponse:
    """Return a page of invoices that asked to be paid, with what the ledger paid of them.

    Raises:
        PageTokenInvalid: the token is not of this list.
    """
    keys = parse_page_token(page.token, int, UUID)
    after: Key | None = keys or None  # type: ignore[assignment]
    async with snapshots.begin() as conn:
        found = await store.list_applications(
            conn, invoice_ids=invoice_ids, after=after, limit=page.size + 1
        )
        shown = found[: page.size]
        paid = await store.load_paid(conn, [(one.tenant, one.invoice_id) for one in shown])
    last = shown[-1] if len(found) > page.size else None
    return pb.ListApplicationsResponse(
        applications=[
            pb.Application(
                tenant=one.tenant,
                invoice_id=str(one.invoice_id),
                content_hash=one.content_hash,
                credits=[credit_message(each) for each in paid[one.tenant, one.invoice_id]],
                returned=one.returned,
            )
            for one in shown
        ],
        next_page_token=page_token(last.tenant, last.invoice_id) if last else "",
    )


def _parts(credits: Iterable[AppliedCredit]) -> Counter[Part]:
    parts: Counter[Part] = Counter()
    for one in credits:
        parts[one.line_id, one.wallet_id, one.grant_id, one.captured] += one.amount_minor
    return parts
