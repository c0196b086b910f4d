"""Usage of a meter by windows of time and by properties of its events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.errors import FieldInvalid
from libs.period import DayPeriod, Period, local_midnight
from libs.wire import PAGE_BYTES_MAX, period_message
from services.rating.domain.attribution import Catalog, Term
from services.rating.domain.event import instant_of, micros
from services.rating.domain.folding import Folded
from services.rating.domain.meter import Meter
from services.rating.domain.period import BillingPeriod
from services.rating.domain.subscription import Subscription
from services.rating.domain.usage import Span, span_of, units
from services.rating.domain.usage_query import (
    Sources,
    UsageQuery,
    UsageRows,
    check_count,
    clipped,
    has_dimensions,
    log_sources,
    meter_by,
    needs_whole_periods,
    split_sources,
)
from services.rating.domain.windows import (
    FIRST_ORDINAL,
    Window,
    Windows,
    cut_windows,
    make_windows,
)
from services.rating.operations.messages import shown
from services.rating.operations.refolding import Refolding, fold_again, load_refolding
from services.rating.operations.usage import UsageReader
from services.rating.store.cells import load_cells
from services.rating.store.meters import load_meter
from services.rating.store.periods import list_usage_periods
from services.rating.store.subscriptions import load_newest
from services.rating.store.usage import count_cells
from tally.rating.v1 import usage_service_pb2 as pb

LOG_TIME_MAX = timedelta(days=35)
CELLS_AT_ONCE = 20_000  # In memory.
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class TermDay:
    """A day of a term, whose cells are asked for."""

    period_id: UUID
    term_id: UUID
    usage_days: DayPeriod
    window: int
    cell_count: int
    part: Period  # The day's instants, as far as the term has them.
    in_log: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """How a query is answered: what of each term is read from its cells, what from the log."""

    query: UsageQuery
    meter: Meter
    windows: Windows
    refolding: Refolding
    sources: Sequence[tuple[Term, Sources]]
    spans: Sequence[Span]  # Of each window, where they are billing periods.

    def span(self, window: int) -> Span | None:
        """Return over what levels are weighed in a window; None where none are."""
        return self.spans[window] if self.spans else None


async def query_usage(reader: UsageReader, query: UsageQuery) -> pb.QueryUsageResponse:
    """Return what a meter counted of the newest life of a subscription, by windows and groups.

    Cells are read as of one instant, and the log up to where the cells were then.

    Raises:
        SubscriptionNotFound: there is none of that id.
        MeterNotFound: there is none of that code.
        FieldInvalid: there are too many windows, or days to read from the log.
        UsageQueryTooLarge: there are too many events or rows.
        Unavailable: a shard of the log is away.
    """
    async with reader.snapshots.begin() as conn:
        plan = await _plan(conn, reader, query)
        rows = UsageRows(query, plan.meter)
        days = await _find_days(conn, reader, plan)
        logged = [day for day in days if day.in_log]
        parts = [part for _, each in plan.sources for part in each.parts]
        _check_log_time(query, [*parts, *(day.part for day in logged)])
        await _add_cells(conn, reader, plan, [day for day in days if not day.in_log], rows)
    await _add_log(reader, plan, rows)
    await _add_logged_days(reader, plan, logged, rows)
    return _answer(plan, rows)


async def _plan(conn: AsyncConnection, reader: UsageReader, query: UsageQuery) -> Plan:
    subscription = await load_newest(conn, reader.tenant, query.subscription_id)
    meter = await load_meter(conn, reader.tenant, query.meter_code)
    zone = ZoneInfo(query.time_zone or subscription.time_zone)
    asked = clipped(query, zone, subscription.start, subscription.end)
    periods: Sequence[BillingPeriod] = ()
    if query.window is Window.PERIOD:
        uid = subscription.subscription_uid
        found = await list_usage_periods(conn, reader.tenant, uid, asked)
        periods = [period for period in found if period.usage.overlaps(asked)]
        windows = cut_windows((period.usage for period in periods), asked)
    else:
        windows = make_windows(query.window, zone, asked)
    refolding = await load_refolding(conn, reader.tenant, subscription.customer_id)
    terms = _terms_of(subscription, refolding.catalog.terms[subscription.customer_id])
    whole = windows.whole
    sources = [] if whole is None else [(t, _sources(query, meter, t, zone, whole)) for t in terms]
    parts = [part for _, each in sources for part in each.parts]
    _check_log_time(query, parts)
    if needs_whole_periods(meter) and (parts or _are_cut(windows, periods)):
        problem = f"{meter.code} is known of whole billing periods and by its dimensions only"
        raise FieldInvalid("meter_code", problem)
    return Plan(query, meter, windows, refolding, sources, [span_of(each) for each in periods])


def _are_cut(windows: Windows, periods: Sequence[BillingPeriod]) -> bool:
    return list(windows.periods) != [period.usage for period in periods]


def _terms_of(subscription: Subscription, terms: Iterable[Term]) -> list[Term]:
    life = (subscription.subscription_id, micros(subscription.start))
    of_life = [term for term in terms if (term.subscription_id, term.subscription_start) == life]
    return [term for term in of_life if not term.early]


def _sources(query: UsageQuery, meter: Meter, term: Term, zone: ZoneInfo, whole: Period) -> Sources:
    days_fit = query.window is Window.PERIOD or (query.window is Window.DAY and zone == term.zone)
    if days_fit and has_dimensions(meter, query.keys):
        return split_sources(term, whole)
    return log_sources(term, whole)


def _check_log_time(query: UsageQuery, parts: Iterable[Period]) -> None:
    total = sum((part.end - part.start for part in parts), timedelta())
    if total > LOG_TIME_MAX:
        problem = (
            f"is so late that {total} must be read from the log, at most {LOG_TIME_MAX.days} days"
            " may be: only days and periods in the subscription's zone, by dimensions of the"
            " meter, are stored"
        )
        raise FieldInvalid("end", problem)


async def _add_cells(
    conn: AsyncConnection,
    reader: UsageReader,
    plan: Plan,
    days: Sequence[TermDay],
    rows: UsageRows,
) -> None:
    """Add stored cells, some days at a time."""
    keys = [dimension.key for dimension in plan.meter.dimensions]
    for some in _chunks(days):
        found = await load_cells(conn, reader.tenant, some)
        for day in some:
            for cell in found.get(day.period_id, {}).get(plan.meter.meter_id, ()):
                rows.add(day.window, keys, cell)
        rows.check_values()


async def _find_days(conn: AsyncConnection, reader: UsageReader, plan: Plan) -> list[TermDay]:
    """Return the days that have cells."""
    days = []
    for term, sources in plan.sources:
        counts = await count_cells(
            conn, reader.tenant, term.term_id, plan.meter.meter_id, sources.days
        )
        for day, found in counts.items():
            part = _part_of(term, day)
            window = plan.windows.find(part.start)
            assert window is not None, "whole days lie within the windows"
            days.append(
                TermDay(
                    period_id=uuid4(),
                    term_id=term.term_id,
                    usage_days=DayPeriod(day, day + DAY),
                    window=window,
                    cell_count=found.cell_count,
                    part=part,
                    in_log=found.in_log,
                )
            )
    return days


def _chunks(days: Sequence[TermDay]) -> Iterator[list[TermDay]]:
    """Part `days` so that memory holds the cells of each part."""
    chunk: list[TermDay] = []
    count = 0
    for day in days:
        chunk.append(day)
        count += day.cell_count
        if count >= CELLS_AT_ONCE:
            yield chunk
            chunk, count = [], 0
    if chunk:
        yield chunk


def _part_of(term: Term, day: date) -> Period:
    """Return what a term has of a local day of which it has some."""
    start = max(local_midnight(day, term.zone), instant_of(term.start))
    end = local_midnight(day + DAY, term.zone)
    return Period(start, end if term.end is None else min(end, instant_of(term.end)))


async def _add_logged_days(
    reader: UsageReader, plan: Plan, days: Sequence[TermDay], rows: UsageRows
) -> None:
    """Add whole days that are kept in the log."""
    keys = plan.query.keys
    windows = {(day.term_id, day.usage_days.first_day): day.window for day in days}
    folded = await fold_again(
        reader.log,
        replace(plan.refolding, catalog=_by_keys(plan)),
        sorted({day.part for day in days}, key=lambda part: part.start),
        terms={day.term_id for day in days},
        event_type=plan.meter.event_type,
    )
    for key, cell in folded.cells.items():
        window = windows.get((key.term_id, key.day))
        if window is not None:
            rows.add(window, keys, replace(cell, day=key.day))
    rows.check_values()


def _by_keys(plan: Plan) -> Catalog:
    meters = {plan.meter.event_type: [meter_by(plan.meter, plan.query.keys)]}
    return replace(plan.refolding.catalog, meters=meters)


async def _add_log(reader: UsageReader, plan: Plan, rows: UsageRows) -> None:
    """Add what the log holds of the rest."""
    keys = plan.query.keys
    parts = {part for _, sources in plan.sources for part in sources.parts}
    folded = await fold_again(
        reader.log,
        replace(plan.refolding, catalog=_by_keys(plan)),
        sorted(parts, key=lambda part: part.start),
        terms={term.term_id for term, _ in plan.sources},
        event_type=plan.meter.event_type,
        days=plan.windows.ordinals,
    )
    _add_folded(folded, keys, rows)


def _add_folded(folded: Folded, keys: Sequence[str], rows: UsageRows) -> None:
    for key, cell in folded.cells.items():
        rows.add(key.day.toordinal() - FIRST_ORDINAL, keys, cell)
    rows.check_values()


def _answer(plan: Plan, rows: UsageRows) -> pb.QueryUsageResponse:
    windows = plan.windows.periods
    answer = pb.QueryUsageResponse(
        rows=[
            pb.UsageRow(
                window=period_message(windows[window].start, windows[window].end),
                group_values=values,
                units=shown(units(cell, plan.meter, span=plan.span(window))),
                event_count=cell.event_count,
            )
            for window, values, cell in rows.in_order()
        ]
    )
    check_count("bytes", answer.ByteSize(), PAGE_BYTES_MAX)
    return answer
