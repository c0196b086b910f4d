"""The world of a round: a tenant of its own, with plans, subscriptions and wallets."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from cli.client import SuiteClient
from libs.wire import timestamp
from tally.common.v1.money_pb2 import Money
from tally.rating.v1.charge_options_pb2 import Settle
from tally.rating.v1.meter_service_pb2 import Aggregation, CreateMeterRequest, Meter
from tally.rating.v1.plan_service_pb2 import (
    Charge,
    CreatePlanRequest,
    FixedCharge,
    IntervalUnit,
    Plan,
    PlanVersion,
    Price,
    StandardPrice,
    Tier,
    TieredPrice,
    Timing,
)
from tally.rating.v1.subscription_service_pb2 import CreateSubscriptionRequest, Subscription
from tally.wallet.v1.wallet_service_pb2 import (
    CreateWalletRequest,
    Grant,
    GrantCreditsRequest,
    GrantKind,
    Wallet,
)
from tests.chaos.calling import Caller
from tests.chaos.expected import (
    CALL,
    JOB,
    LEVEL,
    SETTLE_AMOUNT,
    TARIFFS,
    WEEK,
    AddOn,
    Rate,
    Seat,
    Settled,
    Tariff,
    Tiers,
)
from tests.chaos.known import Fate, GrantAsked, Known
from tests.chaos.terms import Terms

CURRENCY = "USD"
SEATS_PER_CUSTOMER = (1, 1, 2, 1)  # Every fourth customer has two subscriptions.
AMPLE_MINOR, SCARCE_MINOR = 10_000_000, 600


@dataclass(frozen=True, slots=True)
class Purse:
    """A wallet of the world."""

    wallet_id: str
    customer_id: str
    ample: bool  # It covers every invoice; else it runs dry.


@dataclass(slots=True)
class World:
    """Where a round takes place. `start` is a Monday; each subscription lives two weeks."""

    tenant: int
    start: datetime
    rng: random.Random
    client: SuiteClient
    customers: int
    caller: Caller = field(default_factory=Caller)
    known: Known = field(default_factory=Known)
    seats: Sequence[Seat] = ()
    purses: Sequence[Purse] = ()

    @property
    def starts(self) -> list[datetime]:
        """When its weeks begin."""
        return [self.start, self.start + WEEK]

    @property
    def end(self) -> datetime:
        """When all its subscriptions have ended."""
        return self.start + 2 * WEEK

    @property
    def terms(self) -> Terms:
        """Return what was agreed, for the comparison."""
        prepaid = frozenset(purse.customer_id for purse in self.purses if purse.ample)
        return Terms(self.seats, self.starts, prepaid)

    def new_id(self) -> str:
        """Return a UUID that is the same in each run of the round."""
        return new_id(self.rng)


def new_id(rng: random.Random) -> str:
    """Return a version 4 UUID made of `rng`."""
    return str(UUID(int=rng.getrandbits(128), version=4))


def money(amount_minor: int) -> Money:
    """Return an amount in the world's currency."""
    return Money(currency_code=CURRENCY, amount_minor=amount_minor)


async def furnish(world: World) -> None:
    """Create all that the round needs; nothing is killed yet."""
    await asyncio.gather(*(_create_meter(world, kind) for kind in (CALL, JOB, LEVEL)))
    await asyncio.gather(*(_create_plan(world, tariff) for tariff in TARIFFS.values()))
    world.seats = _draw_seats(world.rng, world.customers)
    customers = sorted({seat.customer_id for seat in world.seats})
    prepaid = customers[::2]  # Every other one has a wallet.
    world.purses = await asyncio.gather(
        *(_open_wallet(world, one, ample=place % 2 == 0) for place, one in enumerate(prepaid))
    )
    # Last: what is billed in advance is to find the wallets.
    await asyncio.gather(*(_subscribe(world, seat) for seat in world.seats))


def _draw_seats(rng: random.Random, customers: int) -> list[Seat]:
    """Return subscriptions that share all tariffs evenly."""
    seats: list[Seat] = []
    tariffs = sorted(TARIFFS)
    rng.shuffle(tariffs)
    for place in range(customers):
        customer = f"customer-{place}"
        for number in range(SEATS_PER_CUSTOMER[place % len(SEATS_PER_CUSTOMER)]):
            tariff = tariffs[len(seats) % len(tariffs)]
            delay = 60 * rng.randrange(0, 11, 2)
            seats.append(Seat(f"{customer}-{number}", customer, tariff, delay))
    return seats


async def _create_meter(world: World, kind: str) -> None:
    counts = kind == JOB
    meter = Meter(
        code=kind,
        aggregation=Aggregation.AGGREGATION_COUNT if counts else Aggregation.AGGREGATION_SUM,
        value_property="" if counts else "value",
        recurring=kind == LEVEL,
    )
    request = CreateMeterRequest(request_id=world.new_id(), meter=meter)
    await world.caller.ask(world.client.meters.CreateMeter, request)


async def _create_plan(world: World, tariff: Tariff) -> None:
    version = PlanVersion(
        interval_unit=IntervalUnit.INTERVAL_UNIT_WEEK,
        charges=[_charge(code, rate) for code, rate in tariff.charges.items()],
        fixed_charges=[_fixed_charge(code, one) for code, one in tariff.add_ons.items()],
    )
    if tariff.base_minor:
        version.base_amount = f"{tariff.base_minor // 100}.{tariff.base_minor % 100:02}"
        version.base_timing = Timing.TIMING_IN_ARREARS
    plan = Plan(code=tariff.code, name=tariff.code.title(), currency_code=CURRENCY)
    request = CreatePlanRequest(request_id=world.new_id(), plan=plan, version=version)
    await world.caller.ask(world.client.plans.CreatePlan, request)


def _charge(code: str, rate: Rate) -> Charge:
    made = Charge(code=code, meter_code=rate.kind, price=_price(rate.tiers))
    made.prorated = rate.kind == LEVEL
    made.pay_in_advance = rate.settled is not Settled.WITH_WEEK
    made.not_invoiced = rate.settled is Settled.APART
    if rate.settled is Settled.DAILY:
        made.settle = Settle.SETTLE_DAILY
    if rate.settled is Settled.BY_AMOUNT:
        made.settle, made.settle_amount = Settle.SETTLE_AMOUNT, SETTLE_AMOUNT
    return made


def _fixed_charge(code: str, add_on: AddOn) -> FixedCharge:
    advance, arrears = Timing.TIMING_IN_ADVANCE, Timing.TIMING_IN_ARREARS
    return FixedCharge(
        code=code,
        price=Price(standard=StandardPrice(unit_amount=add_on.unit_amount)),
        units=str(add_on.units),
        timing=advance if add_on.in_advance else arrears,
        prorated=True,
    )


def _price(tiers: Tiers) -> Price:
    graduated = [
        Tier(up_to="" if last is None else str(last), unit_amount=amount) for last, amount in tiers
    ]
    return Price(graduated=TieredPrice(tiers=graduated))


async def _subscribe(world: World, seat: Seat) -> None:
    subscription = Subscription(
        subscription_id=seat.subscription_id,
        customer_id=seat.customer_id,
        plan_code=seat.tariff,
        start=timestamp(world.start),
        end=timestamp(world.end),
        collection_delay_s=seat.delay_seconds,
    )
    request = CreateSubscriptionRequest(request_id=world.new_id(), subscription=subscription)
    await world.caller.ask(world.client.subscriptions.CreateSubscription, request)


async def _open_wallet(world: World, customer_id: str, *, ample: bool) -> Purse:
    wallet = Wallet(customer_id=customer_id, currency_code=CURRENCY)
    opened = await world.caller.ask(
        world.client.wallets.CreateWallet,
        CreateWalletRequest(request_id=world.new_id(), wallet=wallet),
    )
    purse = Purse(opened.wallet.wallet_id, customer_id, ample)
    await grant_credits(world, purse, AMPLE_MINOR if ample else SCARCE_MINOR, world.rng)
    return purse


async def grant_credits(
    world: World, purse: Purse, amount_minor: int, rng: random.Random, *, patient: bool = True
) -> None:
    """Put credit into a wallet, and remember it.

    Raises:
        GaveUp, Strange: see `Caller.ask`.
    """
    asked = GrantAsked(purse.wallet_id, new_id(rng), amount_minor)
    world.known.grants.append(asked)
    request = GrantCreditsRequest(
        request_id=asked.reference,
        grant=Grant(
            wallet_id=purse.wallet_id,
            kind=GrantKind.GRANT_KIND_PURCHASED,
            amount=money(amount_minor),
            reference=asked.reference,
        ),
    )
    answer = await world.caller.ask(world.client.wallets.GrantCredits, request, patient=patient)
    asked.fate, asked.grant_id = Fate.ACKNOWLEDGED, answer.grant.grant_id
