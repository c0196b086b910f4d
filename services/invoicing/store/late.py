"""Late usage of closed periods, and the adjustments that bill it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Row, bindparam, case, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.invoicing.domain.invoice import Invoice
from services.invoicing.domain.line import RatedPeriod
from services.invoicing.store.encoding import from_json, to_json
from services.invoicing.store.schema import adjustments, invoice_periods, invoices, late_periods

GATHERING = timedelta(minutes=10)  # Late usage of a customer is awaited that long,
BETWEEN_GATHERINGS = timedelta(days=1)  # and so long after the last time.


class Outcome(StrEnum):
    """What becomes of an adjustment."""

    LINE = "line"  # Lines of an invoice, or of the customer's next one that has room for them.
    NOTE = "note"  # Credit notes on the invoices of its period.


@dataclass(frozen=True, slots=True)
class Adjustment:
    """The `sequence`-th adjustment of a period; `rated` is None until rating has answered."""

    period_id: UUID
    sequence: int
    rated: RatedPeriod | None


@dataclass(frozen=True, slots=True)
class LateUsage:
    """A closed period whose usage changed; the versions of a period only grow.

    `at_once`: nothing more is awaited.
    """

    period_id: UUID
    customer_id: str
    currency: str
    late_version: int
    at_once: bool = False


async def note_late_usage(
    conn: AsyncConnection, tenant: Tenant, changed: Collection[LateUsage], *, now: datetime
) -> None:
    """Remember that closed periods' usage changed; an older version changes nothing.

    What they now cost is asked for in ten minutes, and at most once a day for a customer, if more
    may follow.
    """
    if not changed:
        return
    gathered = await _last_gathered(conn, tenant, {one.customer_id for one in changed})
    sellers = await _find_sellers(conn, tenant, {one.period_id for one in changed})
    row = insert(late_periods)
    known = func.greatest(late_periods.c.late_version, late_periods.c.adjusted_version)
    news = row.excluded.late_version > known
    due_at = func.least(late_periods.c.due_at, row.excluded.due_at)
    await conn.execute(
        row.on_conflict_do_update(
            index_elements=["tenant", "period_id"],
            set_={
                "late_version": func.greatest(
                    late_periods.c.late_version, row.excluded.late_version
                ),
                "due_at": case((news, due_at), else_=late_periods.c.due_at),
            },
        ),
        [
            {
                "tenant": tenant,
                "period_id": one.period_id,
                "customer_id": one.customer_id,
                "currency": one.currency,
                "entity_code": sellers.get(one.period_id, ""),
                "late_version": one.late_version,
                "due_at": now
                if one.at_once
                else gathering_at(gathered.get((one.customer_id, one.currency)), now),
            }
            for one in sorted(changed, key=lambda one: one.period_id)
        ],
    )


def gathering_at(gathered_at: datetime | None, now: datetime) -> datetime:
    """Return when a customer's late usage of `now` is asked for, after it was at `gathered_at`."""
    soon = now + GATHERING
    return soon if gathered_at is None else max(soon, gathered_at + BETWEEN_GATHERINGS)


async def claim_adjustments(
    conn: AsyncConnection, tenant: Tenant, drafts: Sequence[Invoice]
) -> dict[UUID, list[Adjustment]]:
    """Give locked drafts what their customers' late usage still owes, or is owed.

    Returns all that each has claimed, now or in an attempt before: so a retry asks rating for the
    same sequences. What another unfinished invoice asks for is left to it. Of two drafts of one
    customer the first takes all that its billing entity has billed.
    """
    customers = {draft.customer_id for draft in drafts}
    late = select(late_periods).filter_by(tenant=tenant)
    of_customers = late.where(among(late_periods.c.customer_id, customers))
    ordered = of_customers.order_by(late_periods.c.period_id).with_for_update()
    periods: dict[tuple[str, str], list[Row[Any]]] = {}
    for row in await conn.execute(ordered):
        periods.setdefault((row.customer_id, row.currency), []).append(row)
    claiming = [draft for draft in drafts if (draft.customer_id, draft.currency) in periods]
    for draft in claiming:  # Few customers have late usage.
        of_customer = periods[draft.customer_id, draft.currency]
        mine = [row for row in of_customer if row.entity_code in ("", draft.entity_code)]
        periods[draft.customer_id, draft.currency] = [row for row in of_customer if row not in mine]
        await _claim(conn, tenant, draft, mine)
    return await load_claimed(conn, tenant, [one.invoice_id for one in claiming])


async def _claim(
    conn: AsyncConnection, tenant: Tenant, draft: Invoice, periods: Sequence[Row[Any]]
) -> None:
    of_customer = {"tenant": tenant, "customer_id": draft.customer_id, "currency": draft.currency}
    fresh = await find_fresh(conn, of_customer, periods)
    await conn.execute(
        update(adjustments)
        .filter_by(**of_customer, invoice_id=None)
        .where(
            adjustments.c.outcome.is_distinct_from(Outcome.NOTE),
            among(adjustments.c.period_id, [row.period_id for row in periods]),
        )
        .values(invoice_id=draft.invoice_id)
    )
    if fresh:
        await ask(conn, of_customer, fresh, invoice_id=draft.invoice_id)


async def find_fresh(
    conn: AsyncConnection, of_customer: dict[str, Any], periods: Sequence[Row[Any]]
) -> list[Row[Any]]:
    """Return those of a customer's late periods that changed since rating was asked."""
    known = (await conn.execute(select(adjustments).filter_by(**of_customer, rated=None))).all()
    asked = {row.period_id for row in known}
    return [
        row
        for row in periods
        if row.late_version > row.adjusted_version and row.period_id not in asked
    ]


async def load_claimed(
    conn: AsyncConnection, tenant: Tenant, invoice_ids: Collection[UUID]
) -> dict[UUID, list[Adjustment]]:
    """Return the adjustments that invoices have claimed, by period and sequence."""
    found: dict[UUID, list[Adjustment]] = {invoice_id: [] for invoice_id in invoice_ids}
    if not found:
        return found
    mine = select(adjustments).filter_by(tenant=tenant)
    theirs = mine.where(among(adjustments.c.invoice_id, invoice_ids))
    for row in await conn.execute(theirs.order_by(adjustments.c.period_id, adjustments.c.sequence)):
        found[row.invoice_id].append(adjustment_of(row))
    return found


async def ask(
    conn: AsyncConnection,
    of_customer: dict[str, Any],
    periods: Sequence[Row[Any]],
    *,
    invoice_id: UUID | None,
) -> None:
    """Write down the next adjustment of each period, before rating is asked for it."""
    await conn.execute(
        update(late_periods)
        .filter_by(tenant=of_customer["tenant"])
        .where(late_periods.c.period_id.in_([row.period_id for row in periods]))
        .values(last_sequence=late_periods.c.last_sequence + 1, due_at=None)
    )
    await conn.execute(
        insert(adjustments),
        [
            {
                **of_customer,
                "period_id": row.period_id,
                "sequence": row.last_sequence + 1,
                "invoice_id": invoice_id,
            }
            for row in periods
        ],
    )


async def save_adjustments(
    conn: AsyncConnection,
    tenant: Tenant,
    rated: Sequence[RatedPeriod],
    *,
    now: datetime,
    invoice_id: UUID | None = None,
    outcome: Outcome | None = Outcome.LINE,
    covered: Mapping[UUID, int] | None = None,
) -> None:
    """Store rating's answers and what becomes of them.

    As lines without `invoice_id` they wait for the customer's next invoice, and without `outcome`
    for that of their period. `covered` is what counted as given back by hand, by period; what
    changed since rating answered is due `now`.
    """
    if not rated:
        return
    answers = [
        {
            "of_period": one.period_id,
            "of_sequence": one.sequence,
            "answer": to_json(one),
            "through": one.late_version,
            "by_hand": (covered or {}).get(one.period_id, 0),
        }
        for one in rated
    ]
    await conn.execute(
        update(adjustments)
        .filter_by(tenant=tenant)
        .where(
            adjustments.c.period_id == bindparam("of_period"),
            adjustments.c.sequence == bindparam("of_sequence"),
        )
        .values(
            rated=bindparam("answer"),
            invoice_id=invoice_id,
            outcome=outcome,
            covered_minor=bindparam("by_hand"),
        ),
        answers,
    )
    version = func.greatest(late_periods.c.adjusted_version, bindparam("through"))
    due_at = func.coalesce(late_periods.c.due_at, now)
    await conn.execute(
        update(late_periods)
        .filter_by(tenant=tenant)
        .where(late_periods.c.period_id == bindparam("of_period"))
        .values(
            adjusted_version=version,
            due_at=case((late_periods.c.late_version > version, due_at), else_=None),
        ),
        answers,
    )


def adjustment_of(row: Row[Any]) -> Adjustment:
    rated = None if row.rated is None else from_json(row.rated, RatedPeriod)
    return Adjustment(row.period_id, row.sequence, rated)


async def _find_sellers(
    conn: AsyncConnection, tenant: Tenant, period_ids: Collection[UUID]
) -> dict[UUID, str]:
    """Return the billing entities whose invoices bill periods, by period."""
    billing = (
        (invoice_periods.c.tenant == invoices.c.tenant)
        & (invoice_periods.c.invoice_id == invoices.c.invoice_id)
        & invoice_periods.c.live
    )
    query = select(invoice_periods.c.period_id, invoices.c.entity_code).join(invoices, billing)
    of_periods = query.where(
        invoice_periods.c.tenant == tenant, among(invoice_periods.c.period_id, period_ids)
    )
    return {row.period_id: row.entity_code for row in await conn.execute(of_periods)}


async def _last_gathered(
    conn: AsyncConnection, tenant: Tenant, customer_ids: Collection[str]
) -> dict[tuple[str, str], datetime]:
    of = (late_periods.c.customer_id, late_periods.c.currency)
    query = select(*of, func.max(late_periods.c.gathered_at)).filter_by(tenant=tenant)
    gathered = query.where(
        among(late_periods.c.customer_id, customer_ids), late_periods.c.gathered_at.is_not(None)
    )
    return {(one, other): at for one, other, at in await conn.execute(gathered.group_by(*of))}
