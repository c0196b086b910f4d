"""Writing the billing periods of subscriptions ahead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.rating.domain.calendar import Stretch, stretches_after, through
from services.rating.domain.period import PlannedPeriod, planned_periods
from services.rating.domain.plan import PlanVersion
from services.rating.domain.subscription import Subscription
from services.rating.domain.trial import Trial
from services.rating.operations.reconciling import with_seats
from services.rating.operations.trials import load_trials
from services.rating.store import periods
from services.rating.store.subscriptions import Extent, load_extents, save_extents


@dataclass(frozen=True, slots=True)
class Unwritten:
    """A locked subscription whose next billing periods are to be written, with its one term.

    `held_codes` are the meters of which it takes over units that its customer has paid for.
    """

    tenant: Tenant
    subscription: Subscription
    version: PlanVersion
    term_id: UUID
    held_codes: frozenset[str] = frozenset()
    is_new: bool = False  # None of its periods is written.

    def held_in(self, planned: PlannedPeriod) -> frozenset[str]:
        """Return those that a period holds: the one in which the subscription starts.

        Unless a week or month starts as well.
        """
        stretch = planned.stretch
        whole = stretch.whole.instants(ZoneInfo(self.subscription.time_zone))
        begins = stretch.usage.start == self.subscription.start
        renewed = stretch.usage.start == whole.start
        return self.held_codes if begins and not renewed else frozenset()


async def write_periods(
    conn: AsyncConnection, unwritten: Sequence[Unwritten], *, now: datetime
) -> None:
    """Write the periods of locked subscriptions up to the ones that follow the present ones."""
    before = await _load_extents(conn, unwritten)
    versions = {each.version.plan_version_id: each.version for each in unwritten}
    seats = await with_seats(conn, {each.tenant for each in unwritten}, versions)
    billed = [(one.tenant, one.subscription, one.version) for one in unwritten]
    trials = await load_trials(conn, billed)
    planned: list[periods.Planned] = []
    after: list[tuple[Tenant, UUID, Extent]] = []
    for each in unwritten:
        subscription, uid = each.subscription, each.subscription.subscription_uid
        ahead = stretches_after(
            subscription.calendar(each.version.interval),
            start=subscription.start,
            end=subscription.end,
            after=before[uid].written_day,
        )
        chosen = list(through(ahead, now))
        planned += [
            periods.Planned(each.tenant, subscription, each.term_id, one, each.held_in(one))
            for one in _planned(
                chosen,
                subscription,
                each.version,
                renews=each.version.plan_version_id in seats,
                trial=trials.get(uid),
            )
        ]
        after.append((each.tenant, uid, _extent(chosen, subscription, before[uid])))
    await periods.insert_periods(conn, planned)
    await save_extents(conn, after)


async def _load_extents(
    conn: AsyncConnection, unwritten: Sequence[Unwritten]
) -> dict[UUID, Extent]:
    written = [each for each in unwritten if not each.is_new]
    known = {each.subscription.subscription_uid: Extent(None, None) for each in unwritten}
    if written:
        uids = [each.subscription.subscription_uid for each in written]
        known |= await load_extents(conn, {each.tenant for each in written}, uids)
    return known


def _planned(
    chosen: Iterable[Stretch],
    subscription: Subscription,
    version: PlanVersion,
    *,
    renews: bool = False,
    trial: Trial | None = None,
) -> Iterator[PlannedPeriod]:
    return planned_periods(
        chosen,
        version,
        start=subscription.start,
        collection_delay=timedelta(seconds=subscription.collection_delay_s),
        renews=renews,
        trial=trial,
        months=subscription.months(version),
        billed_from=subscription.billed_from,
    )


def _extent(chosen: list[Stretch], subscription: Subscription, before: Extent) -> Extent:
    """Return how far periods are written once `chosen` are; more are needed as the last starts."""
    if not chosen:
        return Extent(before.written_day, None)
    last = chosen[-1]
    goes_on = subscription.end is None or last.usage.end < subscription.end
    return Extent(last.whole.first_day, last.usage.start if goes_on else None)
