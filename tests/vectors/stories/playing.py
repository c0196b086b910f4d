"""Playing stories: all together through one stretch of time, each in a tenant of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from tally.invoicing.v1.invoice_service_pb2 import Invoice, InvoiceStatus
from tests.fake_stripe import charging
from tests.suite import Suite
from tests.vectors.cases import Case
from tests.vectors.comparing import differences
from tests.vectors.given import Given
from tests.vectors.stories import paying, wallets
from tests.vectors.stories.seeing import look
from tests.vectors.stories.step import Step
from tests.vectors.stories.verbs import VERBS
from tests.vectors.stories.world import World, instant

Faults = Mapping[tuple[str, str], Sequence[str]]  # What was wrong with each case, by its key.

SECOND = timedelta(seconds=1)
# A run of a story bills all of its day, which is billed here as it is due.
EARLY = ("set_numbering",)
ANY_INSTANT = datetime(2026, 1, 1, tzinfo=UTC)  # Of stories that say no time.
FIRST_STEP = -1  # The place of what is given before the first step.


@dataclass(slots=True)
class Story:
    """A case while it is played, and what was found wrong."""

    case: Case
    given: Given
    world: World
    faults: list[str] = field(default_factory=list)

    @property
    def steps(self) -> Sequence[Mapping[str, Any]]:
        """Its steps as they are written."""
        found: Sequence[Mapping[str, Any]] = self.case.whole["steps"]
        return found


@dataclass(frozen=True, slots=True)
class Moment:
    """A step, or what a story begins with, and when."""

    at: datetime
    story: Story
    place: int
    early: bool = False  # What is set before anything is billed that day.


async def play(suite: Suite, cases: Sequence[Case]) -> Faults:
    """Play stories on a suite whose clock stands before all of them."""
    async with AsyncExitStack() as stack:
        if any(one["verb"] == "decline" for case in cases for one in _actions(case)):
            fake = stack.enter_context(charging(suite)).fake
            fake.cards[paying.DECLINED] = "insufficient_funds"
        stories = [
            Story(
                case,
                Given(case.given),
                World(
                    await stack.enter_async_context(suite.client(suite.new_tenant())),
                    _start(case),
                ),
            )
            for case in cases
        ]
        moments = sorted(
            (moment for story in stories for moment in _moments(story)),
            key=lambda moment: (moment.at, moment.place),
        )
        for at, together in groupby(moments, key=lambda moment: moment.at):
            await suite.advance(at)
            for moment in together:
                await _play(suite, moment)
    return {story.case.key: story.faults for story in stories}


async def _play(suite: Suite, moment: Moment) -> None:
    """Do what a moment says, until it fails for the first time: the rest would fail as well."""
    story, world = moment.story, moment.story.world
    if story.faults:
        return
    world.now = moment.at
    try:
        if moment.early:
            await _set_early(moment)
        elif moment.place == FIRST_STEP:
            await _begin(suite, story)
        else:
            await _step(suite, moment)
        if moment.place == len(story.steps) - 1 and not moment.early:
            await world.end()
    except Exception as error:  # Whatever it is, the other stories are played.
        details = getattr(error, "details", None)
        said = details() if callable(details) else error
        story.faults.append(f"steps.{moment.place}: {type(error).__name__}: {said}")


async def _begin(suite: Suite, story: Story) -> None:
    world, given = story.world, story.given
    await world.give(given)
    for name, wallet in world.wallets.items():
        if wallet.value("exists_at_start"):
            await wallets.open_wallet(world, name)
    if given.has("subscriptions"):
        for one in given.each("subscriptions"):
            anchor = one.value("subscription_at")
            await world.subscribe(
                one.text("id"),
                one.text("customer"),
                one.text("plan"),
                one.text("billing_time"),
                start=instant(one.text("started_at")),
                anchor=None if anchor is None else instant(anchor),
            )
    if given.has("payments") and given.text("payments") != "always_succeed":
        raise ValueError(f"the payments {given.text('payments')} are unknown")
    await suite.settle()
    # Wallets are read when they are opened.
    unread = (path for path in given.unread() if not path.startswith("given.wallets["))
    story.faults += [f"{path} is unknown" for path in unread]


async def _set_early(moment: Moment) -> None:
    """Set what periods are billed by that become due before the step's run, on its day."""
    for written in moment.story.steps[moment.place]["do"]:
        if written["verb"] in EARLY:
            action = Given({key: written[key] for key in written if key != "at"})
            await VERBS[written["verb"]](moment.story.world, action)


async def _step(suite: Suite, moment: Moment) -> None:
    """Play a step; actions that say when are at other instants of it."""
    story, world = moment.story, moment.story.world
    step = story.steps[moment.place]
    before = {one.invoice_id: one.status for one in await world.list_invoices()}
    noted = {one.credit_note_id for one in await world.list_notes()}
    for number, written in enumerate(step["do"]):
        action = Given(written, f"steps.{moment.place}.do[{number}]")
        for key in ("text", "at"):
            if action.has(key):
                action.value(key)
        # What comes before the end of its subscription is within it, if only just.
        ends = any(one["verb"] == "terminate" for one in step["do"][number:])
        world.events_at = moment.at - SECOND if ends else None
        await VERBS[action.text("verb")](world, action)
        await suite.settle()
        story.faults += [f"{path} is unknown" for path in action.unread()]
    run = any(one["verb"] == "run_billing" for one in step["do"])
    known = {invoice_id for of_step in world.made for invoice_id in of_step}
    made = [
        one
        for one in await world.list_invoices()
        if one.invoice_id not in (known if run else before)
        and (not run or _on_its_day(world, one, moment.at))
    ]
    world.made.append([one.invoice_id for one in made])
    notes = [one for one in await world.list_notes() if one.credit_note_id not in noted]
    former = [one for one in await world.list_notes() if one.credit_note_id in noted]
    played = Step(
        world,
        moment.at,
        step["do"],
        made or await _named(world, step) or await _finalized(world, before),
        notes,
        former if "invoice" in step["do"][-1] else [],
    )
    got = await look(played, step["expect"], made=len(made))
    story.faults += differences(step["expect"], got, f"steps.{moment.place}")
    if moment.place == len(story.steps) - 1:
        at_last = await look(played, story.case.expect, made=len(made))
        story.faults += differences(story.case.expect, at_last)


async def _named(world: World, step: Mapping[str, Any]) -> list[Invoice]:
    """Return the invoice that the last action names, if it names one."""
    reference = step["do"][-1].get("invoice")
    if reference is None:
        return []
    return [await world.find(reference)]


async def _finalized(world: World, before: Mapping[str, int]) -> list[Invoice]:
    """Return the invoices that have become final."""
    final = InvoiceStatus.INVOICE_STATUS_FINALIZED
    found = await world.list_invoices()
    return [one for one in found if one.status == final and before[one.invoice_id] != final]


def _on_its_day(world: World, invoice: Invoice, at: datetime) -> bool:
    customer_id = invoice.customer_id
    return world.day(_created(invoice), customer_id) == world.day(at, customer_id)


def _moments(story: Story) -> list[Moment]:
    found = [Moment(story.world.now, story, FIRST_STEP)]
    at = story.world.now
    for place, step in enumerate(story.steps):
        at = instant(step["at"]) if "at" in step else at
        if any(one["verb"] in EARLY for one in step["do"]):
            midnight = at.replace(hour=0, minute=0, second=0)
            found.append(Moment(midnight - SECOND, story, place, early=True))
        found.append(Moment(at, story, place))
    return found


def _actions(case: Case) -> list[Mapping[str, Any]]:
    return [one for step in case.whole["steps"] for one in step["do"]]


def _start(case: Case) -> datetime:
    """Return when what is given is there: as its first subscription starts, or the first step."""
    starts = [instant(one["started_at"]) for one in case.given.get("subscriptions", ())]
    steps = [instant(step["at"]) for step in case.whole["steps"] if "at" in step]
    return min(starts + steps, default=ANY_INSTANT)


def _created(invoice: Any) -> datetime:
    return instant(invoice.created_at.ToJsonString())
