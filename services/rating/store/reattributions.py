"""Usage that must be computed again, since past events now count in other cells.

The command that changes the catalog empties the affected cells at once; later slices are folded
onto the empty ones. A job then adds what the slices before hold. Cells merge in any order, so the
folder never waits for the job.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID, uuid4

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Text,
    bindparam,
    delete,
    func,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.rating.domain.attribution import Term
from services.rating.domain.event import micros
from services.rating.domain.period import BillingPeriod, PeriodKind
from services.rating.domain.subscription import Subscription
from services.rating.store.applied import Lane
from services.rating.store.cell_parts import PARTS
from services.rating.store.periods import read_period, select_periods
from services.rating.store.schema import billing_periods, subscriptions, terms
from services.rating.store.usage_schema import (
    ambiguous,
    cells,
    reattributions,
    unattributed,
    valueless_days,
)

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Job:
    """A customer's usage from the day of `from_at` lacks the slices up to `applied`."""

    tenant: Tenant
    customer_id: str
    job_id: UUID
    from_at: datetime
    applied: Mapping[Lane, int]


async def find_job(conn: AsyncConnection, tenant: Tenant, customer_id: str) -> Job | None:
    """Return the job of a customer, if there is one."""
    jobs = await _find(conn, tenant=tenant, customer_id=customer_id)
    return jobs[0] if jobs else None


async def find_jobs(
    conn: AsyncConnection, customers: Collection[tuple[Tenant, str]]
) -> set[tuple[Tenant, str]]:
    """Return those of `customers`, given by tenant and id, that have a job."""
    columns = reattributions.c
    query = select(columns.tenant, columns.customer_id).where(
        among(columns.tenant, {tenant for tenant, _ in customers}),
        among(columns.customer_id, {customer_id for _, customer_id in customers}),
    )
    found = {(Tenant(row.tenant), row.customer_id) for row in await conn.execute(query)}
    return found & set(customers)


async def find_any_job(conn: AsyncConnection, but: Collection[UUID] = ()) -> Job | None:
    """Return some job, of all tenants; none of those whose ids are in `but`."""
    jobs = await _find(conn, ~among(reattributions.c.job_id, but))
    return jobs[0] if jobs else None


async def count_jobs(conn: AsyncConnection) -> int:
    """Return how many jobs there are, of all tenants."""
    return int((await conn.execute(select(func.count()).select_from(reattributions))).scalar_one())


async def save_job(
    conn: AsyncConnection,
    tenant: Tenant,
    customer_id: str,
    *,
    from_at: datetime,
    applied: Mapping[Lane, int],
) -> None:
    """Write the job of a customer, in place of the one it had."""
    row = {
        "job_id": uuid4(),
        "from_at": from_at,
        "applied": [[*lane, number] for lane, number in sorted(applied.items())],
    }
    writing = insert(reattributions).values(tenant=tenant, customer_id=customer_id, **row)
    await conn.execute(
        writing.on_conflict_do_update(index_elements=["tenant", "customer_id"], set_=row)
    )


async def finish_job(conn: AsyncConnection, job: Job) -> bool:
    """Delete `job`; False if another has taken its place, or finished it."""
    deleting = delete(reattributions).filter_by(
        tenant=job.tenant, customer_id=job.customer_id, job_id=job.job_id
    )
    return (await conn.execute(deleting)).rowcount == 1


async def has_usage(
    conn: AsyncConnection, tenant: Tenant, customer_id: str, terms: Iterable[UUID], at: datetime
) -> bool:
    """Tell whether an event of a customer at or after `at` may have been folded."""
    nowhere = select(1).where(
        unattributed.c.tenant == tenant,
        unattributed.c.customer_id == customer_id,
        unattributed.c.day >= at.astimezone(UTC).date(),
    )
    in_cells = select(1).where(
        cells.c.tenant == tenant,
        cells.c.term_id.in_(list(terms)),
        cells.c.day >= at.astimezone(UTC).date() - DAY,  # Whatever the zone.
        cells.c.last_time_us >= micros(at),
    )
    valueless = select(1).where(
        valueless_days.c.tenant == tenant,
        valueless_days.c.customer_id == customer_id,
        valueless_days.c.day >= at.astimezone(UTC).date(),
    )
    found = await conn.execute(select(nowhere.exists() | valueless.exists() | in_cells.exists()))
    return bool(found.scalar_one())


async def has_history(conn: AsyncConnection, tenant: Tenant, customer_id: str) -> bool:
    """Tell whether any event of a customer may ever have been folded, or is to be again."""
    asked = {"of_tenant": tenant, "of_customer": customer_id}
    return bool((await conn.execute(_HAS_HISTORY, asked)).scalar_one())


async def find_early_usage(
    conn: AsyncConnection, tenant: Tenant, subscription: Subscription, event_types: Collection[str]
) -> datetime | None:
    """Return an instant from which on events before `subscription` starts may be carried by it.

    They are among those of nobody, or are carried by a later life of its id; None: there are none.
    """
    nobody = select(func.min(unattributed.c.day)).where(
        unattributed.c.tenant == tenant,
        unattributed.c.customer_id == subscription.customer_id,
        among(unattributed.c.event_type, event_types),
        unattributed.c.day <= subscription.start.astimezone(UTC).date(),
    )
    of_id = select(subscriptions.c.subscription_uid).filter_by(
        tenant=tenant,
        customer_id=subscription.customer_id,
        subscription_id=subscription.subscription_id,
    )
    early = select(terms.c.term_id).where(
        terms.c.tenant == tenant, terms.c.early, terms.c.subscription_uid.in_(of_id)
    )
    carried = select(func.min(cells.c.day)).where(
        cells.c.tenant == tenant, cells.c.term_id.in_(early)
    )
    found = [(await conn.execute(nobody)).scalar(), (await conn.execute(carried)).scalar()]
    days = [day for day in found if day is not None]
    # Whatever the zone that a day is of.
    return datetime.combine(min(days) - DAY, time.min, tzinfo=UTC) if days else None


async def lock_usage_periods(
    conn: AsyncConnection, tenant: Tenant, first_days: Mapping[UUID, date]
) -> Sequence[BillingPeriod]:
    """Lock the usage periods of terms that hold days from `first_days` on, by id."""
    columns = billing_periods.c
    query = (
        select_periods()
        .where(
            columns.tenant == tenant,
            columns.kind == PeriodKind.USAGE,
            columns.term_id.in_(list(first_days)),
        )
        .order_by(columns.period_id)
        .with_for_update(of=billing_periods, key_share=True)
    )
    found = [read_period(row) for row in await conn.execute(query)]
    return [each for each in found if each.usage_days.end_day > first_days[each.term_id]]


async def find_usage_days(
    conn: AsyncConnection, tenant: Tenant, first_days: Mapping[UUID, date]
) -> list[tuple[int, UUID, date]]:
    """Return a day, as (tenant, term, day), in each of the periods `lock_usage_periods` locks."""
    columns = billing_periods.c
    query = select(columns.term_id, columns.fee_first_day, columns.usage_end_day).where(
        columns.tenant == tenant,
        columns.kind == PeriodKind.USAGE,
        columns.term_id.in_(list(first_days)),
    )
    return [
        (tenant, row.term_id, row.fee_first_day)
        for row in await conn.execute(query)
        if row.usage_end_day > first_days[row.term_id]
    ]


async def empty_cells(
    conn: AsyncConnection,
    tenant: Tenant,
    customer_id: str,
    first_days: Mapping[UUID, date],
    *,
    counts_from: date,
) -> None:
    """Forget the usage of terms from their `first_days` on. Their periods are locked.

    And the counts of events of nobody, or of one of several, on UTC days from `counts_from` on.
    """
    for term_id, first_day in sorted(first_days.items()):
        for table in (cells, *PARTS):
            await conn.execute(
                delete(table).where(
                    table.c.tenant == tenant,
                    table.c.term_id == term_id,
                    table.c.day >= first_day,
                )
            )
    for table in (unattributed, ambiguous):
        await conn.execute(
            delete(table).where(
                table.c.tenant == tenant,
                table.c.customer_id == customer_id,
                table.c.day >= counts_from,
            )
        )


def first_days_of(terms: Iterable[Term], from_at: datetime) -> dict[UUID, date]:
    """Return the local day of `from_at` for each term: the first one in the zones of its legs."""
    found: dict[UUID, date] = {}
    for term in terms:
        day = from_at.astimezone(term.zone).date()
        found[term.term_id] = min(day, found.get(term.term_id, day))
    return found


async def _find(conn: AsyncConnection, *chosen: ColumnElement[bool], **key: object) -> list[Job]:
    found = select(reattributions).filter_by(**key).where(*chosen)
    query = found.order_by(reattributions.c.from_at).limit(1)
    return [
        Job(
            tenant=Tenant(row.tenant),
            customer_id=row.customer_id,
            job_id=row.job_id,
            from_at=row.from_at.astimezone(UTC),
            applied={Lane(shard, part): number for shard, part, number in row.applied},
        )
        for row in await conn.execute(query)
    ]


def _has_history() -> Select[tuple[bool]]:
    """Ask all tables that a fold, or a job, leaves something of a customer in."""
    tenant, customer_id = (
        bindparam("of_tenant", type_=Integer),
        bindparam("of_customer", type_=Text),
    )
    named = [
        select(1).where(each.c.tenant == tenant, each.c.customer_id == customer_id).exists()
        for each in (unattributed, valueless_days, reattributions)
    ]
    of_customer = (
        (cells.c.tenant == tenant)
        & (subscriptions.c.tenant == tenant)
        & (subscriptions.c.customer_id == customer_id)
    )
    of_term = (terms.c.tenant == tenant) & (terms.c.term_id == cells.c.term_id)
    of_subscription = (terms.c.tenant == tenant) & (
        terms.c.subscription_uid == subscriptions.c.subscription_uid
    )
    counted = (
        select(1)
        .select_from(subscriptions.join(terms, of_subscription).join(cells, of_term))
        .where(of_customer)
    )
    return select(or_(*named, counted.exists()))


_HAS_HISTORY = _has_history()  # Made once: every new subscription asks.
