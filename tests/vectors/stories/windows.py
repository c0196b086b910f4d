"""From when to when the periods go that a step bills."""

from __future__ import annotations

from datetime import datetime, timedelta

from tally.invoicing.v1.invoice_service_pb2 import (
    InvoiceKind,
)
from tests.vectors.stories.step import BASE, USAGE, Step, at_of, end_of, first_of, text_of

SECOND = timedelta(seconds=1)


async def look_from(step: Step) -> str | None:
    window = await _fee_window(step)
    return None if window is None else text_of(window[0])


async def look_to(step: Step) -> str | None:
    window = await _fee_window(step)
    return None if window is None else text_of(window[1])


async def _fee_window(step: Step) -> tuple[datetime, datetime] | None:
    """Return the days of the base fee that is due, to their last second.

    Where usage alone is due, within a longer period, that is none of its days: they end as it
    begins.
    """
    early = _early_period(step)
    if early is not None:
        return early
    base = await step.due(BASE)
    if base:
        return first_of(base[-1]), end_of(base[-1]) - SECOND
    if not await step.due(USAGE):
        return None
    for one in await step.world.list_periods(step.subscription_id):
        start, end = at_of(one.usage_period.start), at_of(one.usage_period.end)
        if one.kind == BASE and start <= step.at < end:
            return first_of(one), start
    return None


def _early_period(step: Step) -> tuple[datetime, datetime] | None:
    """Return the period, to its last second, of a progressive invoice, if the step made one."""
    if not step.invoices or step.invoice.kind != InvoiceKind.INVOICE_KIND_PROGRESSIVE:
        return None
    period = step.invoice.period
    return at_of(period.start), at_of(period.end) - SECOND


async def look_charges_from(step: Step) -> str | None:
    early = _early_period(step)
    if early is not None:
        return text_of(early[0])
    usage = await step.ended()
    return text_of(at_of(usage[-1].usage_period.start)) if usage else None


async def look_charges_to(step: Step) -> str | None:
    early = _early_period(step)
    if early is not None:
        return text_of(early[1])
    usage = await step.ended()
    return text_of(at_of(usage[-1].usage_period.end) - SECOND) if usage else None


async def look_new_from(step: Step) -> str:
    return text_of(first_of(await step.period_of(-1, BASE)))


async def look_new_to(step: Step) -> str:
    return text_of(end_of(await step.period_of(-1, BASE)) - SECOND)


async def look_old_charges_from(step: Step) -> str:
    return text_of(at_of((await step.period_of(-2, USAGE)).usage_period.start))


async def look_old_charges_to(step: Step) -> str:
    return text_of(at_of((await step.period_of(-2, USAGE)).usage_period.end))
